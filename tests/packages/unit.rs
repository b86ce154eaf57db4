//! The unit files: what they say, and what systemd-analyze says of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The units by name; those that serve are sandboxed alike.
pub const UNITS: [&str; 4] = [
    "rds-tether.service",
    "rds-tether.socket",
    "rds-tether-sync.service",
    "rds-tether-sync.timer",
];
pub const SERVICES: [&str; 2] = ["rds-tether.service", "rds-tether-sync.service"];

/// A unit file.
pub struct Unit {
    text: String,
}

impl Unit {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { text }
    }

    /// One of this repository.
    pub fn shipped(name: &str) -> Self {
        Self::read(&folder().join(name))
    }

    /// All values of a setting, in order.
    pub fn all(&self, key: &str) -> Vec<&str> {
        let settings = self.text.lines().filter_map(|line| line.split_once('='));
        settings
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value)
            .collect()
    }

    /// The value of a setting that is there once.
    #[track_caller]
    pub fn one(&self, key: &str) -> &str {
        match self.all(key)[..] {
            [value] => value,
            _ => panic!("{key} is not there once in:\n{}", self.text),
        }
    }
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd")
}

/// Fails if a unit is not tested or not shipped because it is not listed here.
#[test]
fn the_units_are_those_of_the_folder() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let units: BTreeSet<String> = names
        .filter(|name| !["README.md", "config.toml"].contains(&name.as_str()))
        .collect();
    assert_eq!(units, UNITS.map(str::to_owned).into());
}

/// Fails if one of the services may do what the other may not.
#[test]
fn both_services_are_sandboxed_alike() {
    let [daemon, sync] = SERVICES.map(|name| {
        let text = Unit::shipped(name).text;
        let (_, rest) = text
            .split_once("# It opens sockets and reads")
            .expect("where the sandbox begins");
        rest.split("\n[").next().unwrap().trim().to_owned()
    });
    assert!(daemon.lines().count() > 25, "{daemon}");
    assert_eq!(daemon, sync);
}

/// Fails if a service that cannot start for bad settings is started over and over, or one that may recover is not.
#[test]
fn the_service_is_started_again_unless_its_settings_are_bad() {
    let unit = Unit::shipped("rds-tether.service");
    assert_eq!(unit.one("Restart"), "always");
    assert_eq!(unit.one("RestartPreventExitStatus"), "64 78");
    assert_eq!(unit.one("StartLimitIntervalSec"), "0");
    assert_eq!((unit.one("Type"), unit.one("WatchdogSec")), ("notify", "30s"));
    assert_eq!(
        unit.all("ExecReload"),
        ["/usr/bin/rds-tether check", "/bin/kill -HUP $MAINPID"]
    );
    // Two for each of its 10,000 sessions, and what it keeps for itself.
    assert!(unit.one("LimitNOFILE").parse::<u32>().unwrap() >= 2 * 10_000 + 512);
}
