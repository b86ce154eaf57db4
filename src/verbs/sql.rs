//! `sql`: what an administrator runs so that changes can be streamed out of a database. It only reads.

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::aws::ca;
use crate::database::Source;
use crate::doctor::database::refusal;
use crate::doctor::database::script::{Unwritten, Wish, script};
use crate::doctor::flags::Secret;
use crate::exit::Exit;
use crate::planner::wrong::Wrong;
use crate::settings::Error;
use crate::settings::value::{Bundle, Limit};
use crate::verbs::out::print;

/// How long connecting and asking may take.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The most of a name: it would cut off the rest (NAMEDATALEN).
const NAME_MAX_BYTES: usize = 63;

/// The database, and what is to be streamed out of it.
#[derive(Args)]
pub struct Sql {
    /// Database to look at, as any user that may connect: postgres://USER:PASSWORD@HOST:5432/DATABASE
    #[arg(long, value_name = "URL")]
    database: Secret,
    /// User that streams; need not be there yet [default: that of --database]
    #[arg(long, value_name = "NAME", value_parser = role)]
    user: Option<String>,
    /// Publication that is streamed; need not be there yet
    #[arg(long, value_name = "NAME", default_value = "tether", value_parser = name)]
    publication: String,
    /// Table to publish, as SQL names it; repeatable [default: those of the publication, or else all of the database]
    #[arg(long = "table", value_name = "NAME")]
    tables: Vec<String>,
    /// CA certificates (PEM) that the database's has to be signed by
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<Bundle>,
    /// Give up after this long [default: 30s]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Limit>,
}

impl Sql {
    /// Looks at the database and prints the script: standard output is that and nothing else.
    pub async fn print(&self) -> anyhow::Result<Exit> {
        let end = Instant::now() + self.timeout.map_or(TIMEOUT_DEFAULT, Duration::from);
        let bundle = self.ca_bundle.as_ref().map(Bundle::trust).transpose()?;
        let source = Source::new(self.database.reveal(), bundle.as_ref()).map_err(|what| Error::usage(what, None))?;
        let wish = Wish {
            user: self.user.clone(),
            publication: self.publication.clone(),
            tables: self.tables.clone(),
        };
        let written = script(&source, &wish, end).await;
        let written = written.map_err(|unwritten| why(&unwritten, &source))?;
        print(&written)?;
        Ok(Exit::Settled)
    }
}

/// A name that PostgreSQL takes, quoted or not.
fn name(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new(
            "a name has at least one character",
            "give one, or leave it out",
        ));
    }
    if text.len() > NAME_MAX_BYTES {
        let what = format!("{text:?} has more than the {NAME_MAX_BYTES} bytes that PostgreSQL keeps of a name");
        return Err(Wrong::new(what, "take a shorter one"));
    }
    Ok(text.to_owned())
}

/// A name that a role can have. What is granted to `public` is granted to everybody, quoted or not.
fn role(text: &str) -> Result<String, Wrong> {
    let text = name(text)?;
    if text == "public" || text == "none" || text.starts_with("pg_") {
        let what = format!("{text:?} is reserved: PostgreSQL has no user of this name");
        return Err(Wrong::new(what, "name the user that streams, such as clickpipes"));
    }
    Ok(text)
}

/// Why nothing is printed.
fn why(unwritten: &Unwritten, source: &Source) -> Error {
    let (exit, fix) = match unwritten {
        Unwritten::Refused(refused) => {
            let outcome = refusal(refused, ca::of_rds([source.host().as_str()]));
            (outcome.exit(), outcome.fix().unwrap_or_default().to_owned())
        }
        Unwritten::Unanswered(_) => (Exit::Unexpected, "try again, or as another user".to_owned()),
        Unwritten::Standby => (Exit::Unexpected, "name the writer in --database".to_owned()),
        Unwritten::NoSuch(_) => (
            Exit::Usage,
            "name tables with their schemas, and those with odd names in double quotes: --table 'shop.\"Order\"'"
                .to_owned(),
        ),
        Unwritten::Empty => (
            Exit::Unexpected,
            "name the database that has the tables at the end of --database".to_owned(),
        ),
    };
    let what = format!("database {}: {unwritten}", source.title());
    Error {
        exit,
        ..Error::usage(what, fix)
    }
}
