//! Completions and man pages: made from the command line's own definition, and from the table of settings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell as Known, generate};
use clap_mangen::Man;

use crate::exit::Exit;
use crate::settings::Error;
use crate::settings::keys::{Key, tables};
use crate::verbs::out::print;

/// The shells that there are completions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// A shell's completions for the command.
pub fn completions(mut command: Command, shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => Known::Bash,
        Shell::Zsh => Known::Zsh,
        Shell::Fish => Known::Fish,
    };
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Where a shell's completions belong, for those who see them scroll by.
pub fn place(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => {
            "put them there: rds-tether completions bash > ~/.local/share/bash-completion/completions/rds-tether"
        }
        Shell::Zsh => "put them into a folder of $fpath: rds-tether completions zsh > ~/.zfunc/_rds-tether",
        Shell::Fish => "put them there: rds-tether completions fish > ~/.config/fish/completions/rds-tether.fish",
    }
}

/// The man pages by the names of their files: one for the command, one for each verb, and one for the settings file.
pub fn pages(command: Command) -> BTreeMap<String, String> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let name = command.get_name().to_owned();
    let mut pages = BTreeMap::from([(format!("{name}.5"), settings_page(&name))]);
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let verb = verb.clone().display_name(format!("{name}-{}", verb.get_name()));
        pages.insert(format!("{name}-{}.1", verb.get_name()), render(verb));
    }
    pages.insert(format!("{name}.1"), render(command));
    pages
}

/// Where to put the man pages.
#[derive(Args)]
pub struct Pages {
    /// The page of this verb, or the one of the settings file [default: that of the command]
    #[arg(value_name = "VERB|settings", conflicts_with = "dir")]
    page: Option<String>,
    /// Directory for the files; it must exist [default: print all to standard output]
    #[arg(long, value_name = "DIR", env = "RDS_TETHER_MAN_DIR")]
    dir: Option<PathBuf>,
}

impl Pages {
    /// Prints the pages of a command, or writes them.
    ///
    /// # Errors
    /// There is no such page, or one cannot be written.
    pub fn put(&self, command: Command) -> anyhow::Result<Exit> {
        let name = command.get_name().to_owned();
        let mut pages = pages(command);
        if let Some(dir) = &self.dir {
            write(&pages, dir)?;
            return Ok(Exit::Settled);
        }
        let is_terminal = stdout().is_terminal();
        let file = match self.page.as_deref() {
            Some("settings") => Some(format!("{name}.5")),
            Some(verb) => Some(format!("{name}-{verb}.1")),
            None => is_terminal.then(|| format!("{name}.1")),
        };
        let text = match file {
            None => pages.into_values().collect(),
            Some(file) => pages.remove(&file).ok_or_else(|| {
                let page = self.page.as_deref().unwrap_or_default();
                let fix = "give a verb, or settings: rds-tether --help lists the verbs";
                Error::usage(format!("there is no page {page:?}"), fix.to_owned())
            })?,
        };
        if !is_terminal || !is_shown(&text) {
            print(&text)?;
        }
        Ok(Exit::Settled)
    }
}

/// Shows a page with man, which formats it and pages; false if there is no man that can.
fn is_shown(page: &str) -> bool {
    let man = process::Command::new("man")
        .args(["-l", "-"])
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut man) = man else { return false };
    // A reader that ends before it has read everything has seen enough.
    let _ = man.stdin.take().map(|mut stdin| stdin.write_all(page.as_bytes()));
    man.wait().is_ok_and(|status| status.success())
}

/// Writes the pages into a directory.
///
/// # Errors
/// The first file that cannot be written, by name.
pub fn write(pages: &BTreeMap<String, String>, directory: &Path) -> io::Result<()> {
    for (name, page) in pages {
        let path = directory.join(name);
        std::fs::write(&path, page)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(())
}

fn render(command: Command) -> String {
    let mut page = Vec::new();
    // Writing to memory cannot fail.
    let _ = Man::new(command).render(&mut page);
    String::from_utf8_lossy(&page).into_owned()
}

fn settings_page(name: &str) -> String {
    let mut page = format!(
        ".TH {name} 5 \"\" \"{name} {}\"\n.SH NAME\n{name} \\- the settings file of \\fB{name}\\fR(1)\n.SH SYNOPSIS\n\
         .I /etc/rds\\-tether/config.toml\n.SH DESCRIPTION\n{}\n",
        env!("CARGO_PKG_VERSION"),
        plain(
            "A TOML file. Keys that are not listed here are errors. A flag beats its environment variable, which beats the \
             file. On SIGHUP rds-tether run reads the file again: all of it or, if there is an error in it, nothing. A \
             DURATION is a number with a unit, such as 30s, 5m or 1h30m; a CIDR is a network such as 10.0.0.0/16, or one \
             address."
        )
    );
    for table in tables() {
        // Writing to a String cannot fail.
        let _ = writeln!(page, ".SH {}\n{}.", quoted(table.header), plain(&table.about));
        for key in &table.keys {
            let _ = write_key(&mut page, key);
        }
    }
    let _ = writeln!(page, ".SH SEE ALSO\n\\fB{}\\fR(1)", plain(name));
    page
}

fn write_key(page: &mut String, key: &Key) -> std::fmt::Result {
    let default = match &key.default {
        Some(default) => format!(" Default: {default}."),
        None => " Must be given.".into(),
    };
    writeln!(
        page,
        ".TP\n\\fB{}\\fR = {}\n{}",
        key.name,
        plain(&key.value),
        plain(&format!("{}.{default}", key.about))
    )
}

/// Text in which roff finds nothing of its own.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", plain(text).replace('"', "\\(dq"))
}
