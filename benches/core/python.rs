//! A virtual environment with what the Python side needs, made once and kept below the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The interpreter of the environment.
///
/// # Errors
/// Why there is none, such as a missing Python or no network.
pub fn interpreter() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-python");
    let interpreter = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(interpreter);
    }
    println!("making {} ...", folder.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(|error| error.to_string())?;
    run(Command::new(&interpreter)
        .args(["-m", "pip", "install", "--quiet", "-r"])
        .arg(requirements))?;
    fs::write(&installed, REQUIREMENTS).map_err(|error| error.to_string())?;
    Ok(interpreter)
}

/// Its name and version, and those of some of what it was given.
pub fn versions(interpreter: &Path, of: &[&str]) -> String {
    let output = Command::new(interpreter).arg("--version").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let packages = REQUIREMENTS.lines().filter_map(|line| line.split_once("=="));
    let packages = packages.filter(|(name, _)| of.contains(name));
    let packages: Vec<String> = packages.map(|(name, version)| format!("{name} {version}")).collect();
    format!("{} with {}", version.unwrap_or_default(), packages.join(" and "))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
