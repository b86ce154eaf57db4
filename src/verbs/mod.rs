//! The command line: its verbs, each with its own flags. `doctor` has a room of its own.

pub mod check;
pub mod drill;
mod finders;
pub mod iam;
pub mod init;
pub mod manual;
pub mod named;
pub mod once;
pub mod out;
pub mod run;
pub mod sql;
pub mod status;

use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::doctor::flags::DoctorFlags;
use crate::exit::Exit;
use crate::logging::{self, LogFormat, Logging};
use crate::settings::{self, Flags, OneShot, Output, ProxyFlags};
use crate::{discover, dns, doctor, proxy};
use out::{paint, print, remark, say};

/// Keeps the IP target groups of a Network Load Balancer equal to the address an RDS or Aurora endpoint has now.
#[derive(Parser)]
#[command(version, long_version = env!("TETHER_VERSION"), arg_required_else_help = true, after_help = after_help())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// How to log.
    #[command(flatten)]
    pub logging: Logging,
}

/// What stands below the help of the command itself.
fn after_help() -> String {
    format!(
        "{EXIT_CODES}\n\n{}",
        examples("plan", &["--endpoint HOST:PORT --target-group NAME"])
    )
}

const EXIT_CODES: &str = "Exit codes: 0 settled, 1 unexpected, 2 changes pending (plan), 3 refused by a guard or by ELB, \
    4 still waiting (sync, drill), 64 usage, 69 DNS or AWS unavailable, 77 denied, 78 bad settings or no such target group";

/// What to do.
#[derive(Subcommand)]
pub enum Verb {
    /// Write the settings for an endpoint
    #[command(after_help = examples("init", &["", "HOST:PORT", "HOST:PORT --target-group NAME --settings-file config.toml --yes", "HOST:PORT --tags"]))]
    Init(init::Init),
    /// Look once and print what would change; never writes
    #[command(after_help = examples("plan", &["--endpoint HOST:PORT --target-group NAME", "--config config.toml --output json"]))]
    Plan(OneShot),
    /// Converge once and verify
    #[command(after_help = examples("sync", &["--endpoint HOST:PORT --target-group NAME", "--config config.toml --timeout 5m"]))]
    Sync(OneShot),
    /// Follow until told to stop (SIGHUP re-reads the settings)
    #[command(after_help = examples("run", &["--endpoint HOST:PORT --target-group NAME", "--config config.toml --observe"]))]
    Run(Serving<Flags>),
    /// Listen on an address and carry bytes to the address that an endpoint has now
    #[command(after_help = examples("proxy", &["--listen 0.0.0.0:5432 --endpoint HOST:PORT", "--listen 0.0.0.0:5432 --endpoint HOST:PORT --http 127.0.0.1:9477"]))]
    Proxy(Serving<ProxyFlags>),
    /// Say whether the settings are good, all mistakes at once; looks at nothing else
    #[command(after_help = examples("check", &["", "--config config.toml"]))]
    Check(check::Check),
    /// Check everything that has to be right, and say how to fix what is not; writes nothing unless asked to
    #[command(after_help = format!("{}\n\n{}", examples("doctor", &["--config config.toml", "--only dns"]), doctor::check::listing()))]
    Doctor(DoctorFlags),
    /// Show where every binding and proxy stands: asks the process, or looks; never writes
    #[command(after_help = examples("status", &["--http 127.0.0.1:9477", "--config config.toml --watch"]))]
    Status(status::Status),
    /// Measure a failover that you trigger; never writes
    #[command(after_help = examples("drill", &["--endpoint HOST:PORT --target-group NAME --through HOST:PORT", "--config config.toml --svg drill.svg --redact"]))]
    Drill(drill::Drill),
    /// Print the least IAM policy that the settings need, ready for aws iam put-role-policy; calls nothing
    #[command(after_help = examples("iam", &["--config config.toml", "--config config.toml --for lambda"]))]
    Iam(iam::flags::IamFlags),
    /// Print the SQL that makes a database ready to be streamed from; runs none of it
    #[command(after_help = examples("sql", &["--database postgres://ADMIN:PASSWORD@HOST:5432/DATABASE --user clickpipes", "--table shop.orders > setup.sql"]))]
    Sql(sql::Sql),
    /// Print a shell's completions
    #[command(after_help = examples("completions", &["bash", "zsh"]))]
    Completions {
        /// The shell
        shell: manual::Shell,
    },
    /// Show the man page on a terminal; else print all of them, or write them as files
    #[command(after_help = examples("man", &["", "run", "--dir man"]))]
    Man(manual::Pages),
}

/// Commands to begin with.
fn examples(verb: &str, arguments: &[&str]) -> String {
    let lines = arguments
        .iter()
        .map(|arguments| format!("  rds-tether {verb} {arguments}"));
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    format!("Examples:\n{}", lines.join("\n"))
}

/// What to serve, and whether another process does already.
#[derive(Args, Clone, Debug)]
pub struct Serving<F: Args> {
    /// What to serve.
    #[command(flatten)]
    flags: F,
    /// Let proxies listen beside another process that serves the same endpoints on the same addresses, and is stopped then
    #[arg(long)]
    replace: bool,
}

impl Verb {
    /// How it logs unless told otherwise.
    pub fn log_format(&self) -> LogFormat {
        match self {
            Self::Run(_) | Self::Proxy(_) => logging::default_format(),
            // Their log stands beside progress and results that are made to be read.
            _ => LogFormat::Text,
        }
    }

    /// Does it.
    pub async fn run(&self) -> anyhow::Result<Exit> {
        match self {
            Self::Plan(given) => given.plan().await,
            Self::Sync(given) => given.sync().await,
            Self::Init(given) => given.begin().await,
            Self::Run(given) => {
                let read = async || named::resolved(&given.flags, None).await?.settings();
                run::run(read, given.replace).await
            }
            Self::Proxy(given) => run::run(async || given.flags.settings(), given.replace).await,
            Self::Doctor(flags) => examine(flags).await,
            Self::Check(given) => given.read().await,
            Self::Status(given) => given.show().await,
            Self::Drill(given) => given.watch().await,
            Self::Iam(flags) => flags.print().await,
            Self::Sql(given) => given.print().await,
            Self::Completions { shell } => {
                print(&manual::completions(settings::command_line::<Cli>(), *shell))?;
                if stdout().is_terminal() {
                    remark(manual::place(*shell));
                }
                Ok(Exit::Settled)
            }
            Self::Man(given) => given.put(settings::command_line::<Cli>()),
        }
    }
}

async fn examine(flags: &DoctorFlags) -> anyhow::Result<Exit> {
    let order = flags.order()?;
    let limit = flags.look.timeout.map(Duration::from);
    let read = match named::resolved(&flags.look.flags, limit).await {
        Ok(resolved) => {
            let mut flags = flags.clone();
            flags.look.flags = resolved;
            flags.settings()
        }
        Err(error) => Err(error),
    };
    let sections = doctor::examine(read, &order).await;
    match flags.look.output {
        Output::Text => paint(&doctor::draw::text(&sections), logging::is_coloured(&stdout()))?,
        Output::Json => say(&doctor::draw::json(&sections))?,
    }
    Ok(doctor::draw::exit(&sections))
}

/// The exit code of a verb that was ended by an error.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    let may_pass = |may_pass| if may_pass { Exit::Unavailable } else { Exit::Settings };
    if let Some(error) = error.downcast_ref::<settings::Error>() {
        error.exit
    } else if let Some(error) = error.downcast_ref::<dns::Error>() {
        may_pass(error.may_pass())
    } else if let Some(error) = error.downcast_ref::<proxy::Error>() {
        may_pass(error.may_pass())
    } else if let Some(error) = error.downcast_ref::<discover::Unseen>() {
        error.exit()
    } else if error.is::<status::NobodyKnows>() {
        Exit::Unavailable
    } else {
        Exit::Unexpected
    }
}
