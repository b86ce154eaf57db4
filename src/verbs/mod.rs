//! The command line: its verbs, each with its own flags. `doctor` has a room of its own.

pub mod check;
pub mod iam;
pub mod manual;
pub mod once;
mod out;
pub mod run;
pub mod status;

use std::io::stdout;

use clap::{Args, Parser, Subcommand};
pub use out::say;

use crate::doctor::flags::DoctorFlags;
use crate::exit::Exit;
use crate::logging::{self, LogFormat, Logging};
use crate::settings::{self, Flags, OneShot, Output, ProxyFlags};
use crate::{dns, doctor, proxy};
use out::print;

/// Keeps the IP target groups of a Network Load Balancer equal to the address an RDS or Aurora endpoint has now.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// How to log.
    #[command(flatten)]
    pub logging: Logging,
}

const EXIT_CODES: &str = "Exit codes: 0 settled, 1 unexpected, 2 changes pending (plan), 3 refused by a guard or by ELB, \
    4 still waiting (sync), 64 usage, 69 DNS or AWS unavailable, 77 denied, 78 bad settings or no such target group";

/// What to do.
#[derive(Subcommand)]
pub enum Verb {
    /// Look once and print what would change; never writes
    Plan(OneShot),
    /// Converge once and verify
    Sync(OneShot),
    /// Follow until told to stop (SIGHUP re-reads the settings)
    Run(Serving<Flags>),
    /// Listen on an address and carry bytes to the address that an endpoint has now
    Proxy(Serving<ProxyFlags>),
    /// Say whether the settings are good, all mistakes at once; looks at nothing else
    Check(check::Check),
    /// Check everything that has to be right, and say how to fix what is not; writes nothing unless asked to
    #[command(after_help = doctor::check::listing())]
    Doctor(DoctorFlags),
    /// Show where every binding and proxy stands: asks the running process, or looks; never writes
    Status(status::Status),
    /// Print the least IAM policy that the settings need, ready for aws iam put-role-policy; calls nothing
    Iam(iam::flags::IamFlags),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: manual::Shell,
    },
    /// Print the man pages, or write them as files
    Man(manual::Pages),
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
            Self::Run(given) => run::run(|| given.flags.settings(), given.replace).await,
            Self::Proxy(given) => run::run(|| given.flags.settings(), given.replace).await,
            Self::Doctor(flags) => examine(flags).await,
            Self::Check(given) => Ok(given.read()?),
            Self::Status(given) => given.show().await,
            Self::Iam(flags) => Ok(flags.print()?),
            Self::Completions { shell } => {
                print(&manual::completions(settings::command_line::<Cli>(), *shell));
                Ok(Exit::Settled)
            }
            Self::Man(given) => Ok(given.put(settings::command_line::<Cli>())?),
        }
    }
}

async fn examine(flags: &DoctorFlags) -> anyhow::Result<Exit> {
    let order = flags.order()?;
    let sections = doctor::examine(flags.settings(), &order).await;
    let text = match flags.look.output {
        Output::Text => doctor::draw::text(&sections),
        Output::Json => doctor::draw::json(&sections),
    };
    say(&mut stdout(), &text);
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
    } else if error.is::<status::NobodyKnows>() {
        Exit::Unavailable
    } else {
        Exit::Unexpected
    }
}
