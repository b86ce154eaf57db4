//! Logs in to one member; and asks one once, with what people want to know besides.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::question::{Answer, FUNCTIONS, Flavour, Ungranted};
use super::{Lead, Secret, password_in};
use crate::aws::token;
use crate::clock::Clock;
use crate::database::{Login, Refused, Session, Source};
use crate::planner::endpoint::Endpoint;
use crate::planner::lead::Says;
use crate::text::shortened;

/// As the server lists the session of a visit.
const APPLICATION: &str = "rds-tether doctor";
/// What the role may and has that nobody needs to ask who the writer is, and how many sessions there is room for. Of roles that it is
/// in, those count by which it may write, read or own something, or administer.
const RIGHTS: &str = "\
    WITH me AS (SELECT * FROM pg_roles WHERE rolname = current_user), \
    own AS (SELECT c.relowner, format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c \
            JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'), \
    strong AS (SELECT oid FROM pg_roles WHERE rolname IN ('pg_write_all_data', 'pg_read_all_data', 'pg_write_server_files', \
                 'pg_read_server_files', 'pg_execute_server_program', 'pg_signal_backend', 'pg_maintain', 'rds_superuser', \
                 'rds_replication') OR rolsuper UNION SELECT relowner FROM own) \
    SELECT current_setting('max_connections'), me.rolconnlimit, \
           (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = me.oid), me.rolsuper, \
           concat_ws(' ', CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END, \
                     CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END, \
                     CASE WHEN rolbypassrls THEN 'BYPASSRLS' END), \
           (SELECT string_agg(quote_ident(g.rolname), ', ' ORDER BY g.rolname) FROM pg_roles g \
            WHERE EXISTS (SELECT FROM pg_auth_members m WHERE m.member = me.oid AND m.roleid = g.oid) \
              AND EXISTS (SELECT FROM strong WHERE pg_has_role(g.oid, strong.oid, 'MEMBER'))), \
           (SELECT count(*) FROM own WHERE relowner = me.oid), (SELECT min(name) FROM own WHERE relowner = me.oid) \
    FROM me";

/// One member, and how to log in to it.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    /// Where it is.
    pub address: SocketAddr,
    /// Whose name its certificate has to show.
    pub endpoint: &'a Endpoint,
    /// The member's own name, where it is known: the one that IAM's tokens are for.
    pub name: Option<&'a str>,
    /// Who logs in.
    pub lead: &'a Lead,
    /// For when a token is signed.
    pub clock: Clock,
}

/// Why a member was not heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// There is nothing to log in with.
    Secret(String),
    /// Who gives what to log in with takes too long.
    SecretLate,
    /// There is no session.
    Refused(Refused),
    /// There was one, and no answer: an SQLSTATE, if the server gave one, and why.
    Unanswered(Option<String>, String),
    /// No time was left to ask it.
    NotAsked,
}

/// What one member said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// How long the log-in took.
    pub took: Duration,
    /// How the database knows its members, or what is to be granted for it to say so.
    pub flavour: Result<Flavour, Ungranted>,
    /// Whether it has a part of what a Multi-AZ DB cluster's extension has now.
    pub has_old_tools: bool,
    /// What it answered, where it could be asked.
    pub answer: Option<Answer>,
    /// What it says of itself by that.
    pub says: Says,
    /// What the role may and has, or why that is not known.
    pub rights: Result<Rights, String>,
}

/// What a role may and has that it needs not, and what room there is for its sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// `max_connections` of the server.
    pub max_connections: u32,
    /// The role's CONNECTION LIMIT, if it has one.
    pub limit: Option<u32>,
    /// Its sessions of now, this one included.
    pub sessions: u32,
    /// Whether it may do everything.
    pub is_superuser: bool,
    /// The attributes by which it may do more than log in, as SQL has them: `SUPERUSER CREATEDB`.
    pub attributes: String,
    /// The roles that it is in and that may read, write, own or administer something, as SQL has them.
    pub roles: String,
    /// How many tables of the database it owns.
    pub tables: u64,
    /// One of them.
    pub table: String,
}

/// What a member, or the way to it, takes its time for.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A session with a member, and which functions it has that tell of the topology, and whether they may be called.
pub type Entered = (Box<dyn Member>, BTreeMap<String, bool>);

/// How members are logged in to: [`Sessions`] of PostgreSQL, or in tests what stands in for them.
pub trait Entrance: Send + Sync + 'static {
    /// Logs in, and asks how the database knows its members, as [`FUNCTIONS`] does; each may take as long as `limit`.
    fn log_in<'a>(
        &'a self,
        door: Door<'a>,
        application: &'a str,
        limit: Duration,
    ) -> Later<'a, Result<Entered, Unheard>>;
}

/// A session with a member.
pub trait Member: Send + Sync {
    /// Asks for what [`Flavour::question`] asks.
    fn ask(&self, flavour: Flavour, limit: Duration) -> Later<'_, Result<Answer, Unheard>>;

    /// Waits for its end, and says why it has ended.
    fn ended(&mut self) -> Later<'_, String>;

    /// Leaves, without waiting for anybody.
    fn abandon(self: Box<Self>);
}

/// Sessions of PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub struct Sessions;

impl Entrance for Sessions {
    fn log_in<'a>(
        &'a self,
        door: Door<'a>,
        application: &'a str,
        limit: Duration,
    ) -> Later<'a, Result<Entered, Unheard>> {
        Box::pin(async move {
            let (session, functions) = door.open(application, limit).await?;
            Ok((Box::new(session) as Box<dyn Member>, functions))
        })
    }
}

impl Member for Session {
    fn ask(&self, flavour: Flavour, limit: Duration) -> Later<'_, Result<Answer, Unheard>> {
        Box::pin(ask(self, flavour, limit))
    }

    fn ended(&mut self) -> Later<'_, String> {
        Box::pin(self.ended())
    }

    fn abandon(self: Box<Self>) {
        (*self).abandon();
    }
}

impl Door<'_> {
    /// Logs in, and asks how the database knows its members; each may take as long as `limit`.
    ///
    /// # Errors
    /// What keeps it from being heard.
    pub async fn open(&self, application: &str, limit: Duration) -> Result<(Session, BTreeMap<String, bool>), Unheard> {
        let end = Instant::now() + limit;
        let password = self.password(limit).await?;
        let login = Login {
            user: &self.lead.user,
            database: &self.lead.database,
            password: &password,
            application,
            statement_timeout: limit,
        };
        let source = Source::at(self.address, self.endpoint.host(), &self.lead.trust, &login);
        let session = source.connect(end).await.map_err(Unheard::Refused)?;
        let functions = functions(&session, limit).await?;
        Ok((session, functions))
    }

    /// Asks once.
    ///
    /// # Errors
    /// What keeps it from being heard.
    pub async fn visit(&self, limit: Duration) -> Result<Visit, Unheard> {
        let began = Instant::now();
        let (session, functions) = self.open(APPLICATION, limit).await?;
        let took = began.elapsed();
        let flavour = Flavour::of(&functions, &self.lead.user);
        let (answer, says) = match &flavour {
            Ok(flavour) => {
                let answer = ask(&session, *flavour, limit).await?;
                (Some(answer.clone()), answer.says(*flavour))
            }
            Err(ungranted) => (None, Says::Denied(ungranted.to_string())),
        };
        let rights = match rows(&session, RIGHTS, limit).await {
            Ok(rows) => rows.first().map(rights).ok_or_else(|| "no answer".to_owned()),
            Err(unheard) => Err(unheard.to_string()),
        };
        // A server that is there ends its side by itself.
        session.abandon();
        Ok(Visit {
            took,
            has_old_tools: flavour == Ok(Flavour::Plain) && functions.keys().any(|name| name.starts_with("rds_tools.")),
            flavour,
            answer,
            says,
            rights,
        })
    }

    /// Logs in and asks once what it says of itself; each may take as long as `limit`.
    pub async fn says(&self, application: &str, limit: Duration) -> Says {
        let asked = async {
            let (session, functions) = self.open(application, limit).await?;
            let says = match Flavour::of(&functions, &self.lead.user) {
                Ok(flavour) => ask(&session, flavour, limit).await?.says(flavour),
                Err(ungranted) => Says::Denied(ungranted.to_string()),
            };
            session.abandon();
            Ok::<Says, Unheard>(says)
        };
        asked.await.unwrap_or_else(|unheard| unheard.says())
    }

    async fn password(&self, limit: Duration) -> Result<Vec<u8>, Unheard> {
        match &self.lead.secret {
            Secret::File(path) => password_in(path).map_err(Unheard::Secret),
            Secret::Iam => {
                let host = self.name.unwrap_or(self.endpoint.host());
                let token = token::of(host, self.endpoint.port(), &self.lead.user, self.clock.now());
                match timeout(limit, token).await {
                    Ok(token) => token.map(String::into_bytes).map_err(Unheard::Secret),
                    Err(_) => Err(Unheard::SecretLate),
                }
            }
        }
    }
}

/// Asks which functions there are, and whether they may be called, as [`Flavour::of`] takes it.
///
/// # Errors
/// There is no answer.
pub async fn functions(session: &Session, limit: Duration) -> Result<BTreeMap<String, bool>, Unheard> {
    let rows = rows(session, FUNCTIONS, limit).await?;
    let function = |row| Some((column(row, 0)?.to_owned(), column(row, 1)? == "t"));
    Ok(rows.iter().filter_map(function).collect())
}

/// Asks for what [`Flavour::question`] asks.
///
/// # Errors
/// There is no answer.
pub async fn ask(session: &Session, flavour: Flavour, limit: Duration) -> Result<Answer, Unheard> {
    let rows = rows(session, flavour.question(), limit).await?;
    let column = |n| column(rows.first()?, n).map(str::to_owned);
    Ok(Answer {
        recovery: column(0),
        read_only: column(1),
        own: column(2),
        writers: column(3),
        members: column(4),
    })
}

async fn rows(session: &Session, question: &str, limit: Duration) -> Result<Vec<SimpleQueryRow>, Unheard> {
    let asked = timeout(limit, session.client.simple_query(question)).await;
    let messages = asked
        .map_err(|_| Unheard::Unanswered(None, "no answer in time".to_owned()))?
        .map_err(|error| {
            let state = error.code().map(SqlState::code).map(str::to_owned);
            Unheard::Unanswered(state, session.why(&error))
        })?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

/// The text of a column; none where the server has sent no such column, or no text.
fn column(row: &SimpleQueryRow, n: usize) -> Option<&str> {
    row.try_get(n).ok().flatten()
}

fn rights(row: &SimpleQueryRow) -> Rights {
    let text = |n| shortened(column(row, n).unwrap_or_default());
    Rights {
        max_connections: text(0).parse().unwrap_or_default(),
        // -1 stands for none.
        limit: text(1).parse().ok(),
        sessions: text(2).parse().unwrap_or_default(),
        is_superuser: text(3) == "t",
        attributes: text(4),
        roles: text(5),
        tables: text(6).parse().unwrap_or_default(),
        table: text(7),
    }
}

impl Unheard {
    /// The SQLSTATE that the server gave.
    pub fn state(&self) -> Option<&str> {
        match self {
            Self::Refused(Refused::Server(state, _)) | Self::Unanswered(Some(state), _) => Some(state),
            _ => None,
        }
    }

    /// Whether the server has as many sessions as it, or the role, may have.
    pub fn is_for_want_of_room(&self) -> bool {
        self.state() == Some("53300")
    }

    /// Whether it is a statement alone that has failed, so that the session goes on: the server ends none but by an SQLSTATE of operator
    /// intervention or of the connection.
    pub fn is_passing(&self) -> bool {
        let ends = |state: &str| state.starts_with("57P") || state.starts_with("08");
        matches!(self, Self::Unanswered(Some(state), _) if !ends(state))
    }

    /// What the member says by it.
    pub fn says(&self) -> Says {
        let why = self.to_string();
        match (self, self.state()) {
            // Invalid authorization, no such database, insufficient privilege, no such function or schema, too many connections
            // (PostgreSQL documentation, "PostgreSQL Error Codes").
            (_, Some("28000" | "28P01" | "3D000" | "42501" | "42883" | "3F000" | "53300")) => Says::Denied(why),
            // It starts up, or is in recovery without taking sessions.
            (_, Some("57P03")) => Says::Neither(why),
            (Self::Secret(_) | Self::SecretLate, _) => Says::Denied(why),
            (Self::Refused(Refused::Breach(_)), _) => Says::Impostor(why),
            (Self::Refused(Refused::Trouble(_, trouble)), _) if trouble.is_of_another() => Says::Impostor(why),
            (Self::Refused(_) | Self::Unanswered(..) | Self::NotAsked, _) => Says::Silent(why),
        }
    }
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "{refused}"),
            Self::Secret(why) | Self::Unanswered(_, why) => f.write_str(why),
            Self::SecretLate => f.write_str("no credentials came in time to sign a token of IAM"),
            Self::NotAsked => f.write_str("no time was left to ask it"),
        }
    }
}
