//! A connection to the database whose changes are to be streamed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

use super::Security;
use super::conversation::{Breach, Conversation, Protection};
use crate::probe::{Depth, Stage, Trouble, Trust, begin_tls, probe, shake_hands};
use crate::text::shortened;

/// The port of PostgreSQL where the URL names none.
const PORT: u16 = 5432;
/// How long one that let no client in may take to show what it is.
const SNIFF_MAX: Duration = Duration::from_secs(2);
/// How the server lists this session (pg_stat_activity).
const APPLICATION: &str = "rds-tether doctor";

/// Where the database is, and how to talk to it.
#[derive(Clone)]
pub struct Source {
    config: Config,
    trust: Trust,
    /// Whether the session is for as many questions as there will be.
    is_kept: bool,
    /// Whether the connection is to be encrypted, and the certificate verified.
    pub security: Security,
}

/// A session with the database.
pub struct Session {
    /// Asks the server.
    pub client: Client,
    /// Whether the connection is encrypted, whatever the server says.
    pub is_encrypted: bool,
    breach: Arc<OnceLock<Breach>>,
    connection: JoinHandle<Result<(), tokio_postgres::Error>>,
}

/// Who logs in to one member of a database, and why.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The role.
    pub user: &'a str,
    /// The database.
    pub database: &'a str,
    /// The password, or what IAM gives for one.
    pub password: &'a [u8],
    /// What the server lists the session as (pg_stat_activity).
    pub application: &'a str,
    /// How long the server may take for a statement.
    pub statement_timeout: Duration,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The name leads nowhere.
    Lookup(String),
    /// The address does not answer, or TLS failed.
    Trouble(String, Trouble),
    /// The server said no: SQLSTATE and message.
    Server(String, String),
    /// The server asked for or said what it should not.
    Breach(Breach),
    /// No answer came in time to this.
    Late(String),
    /// A failure of another kind, in its own words.
    Other(String),
}

impl Source {
    /// Reads a connection URL or key=value string. The error repeats nothing of it but the name of a file.
    pub fn new(url: &str, bundle: Option<&Trust>) -> Result<Self, String> {
        const WRITE: &str = "write postgres://USER:PASSWORD@HOST:5432/DATABASE";
        if ends_early(url) {
            return Err(format!(
                "--database cannot be read: its user or password has an @, /, ? or # as it is; write %40, %2F, %3F or %23 for \
                 it: {WRITE}"
            ));
        }
        let (url, root) = take(url, "sslrootcert");
        let (url, mode) = take(&url, "sslmode");
        let mut config: Config = url
            .parse()
            .map_err(|error| format!("--database cannot be read{}; {WRITE}", reason(&error)))?;
        let in_file = root
            .filter(|root| root != "system")
            .map(|root| Trust::in_file(Path::new(&root)));
        let in_file = in_file.transpose().map_err(|error| error.to_string())?;
        let trust = bundle.cloned().or(in_file);
        // Written in another way, such as with blanks round the =, it is left to the client's parser.
        let mode = mode.as_deref().or(match config.get_ssl_mode() {
            SslMode::Disable => Some("disable"),
            SslMode::Require => Some("require"),
            _ => None,
        });
        let security = match (mode, &trust) {
            (Some("disable"), _) => Security::Plain,
            (Some("verify-full" | "verify-ca"), None) => {
                return Err("--database with sslmode=verify-full needs --ca-bundle FILE".into());
            }
            (None | Some("allow" | "prefer"), None) => Security::Preferred,
            (Some("require"), None) => Security::Unverified,
            (None | Some("allow" | "prefer" | "require" | "verify-full" | "verify-ca"), Some(_)) => Security::Verified,
            (Some(_), _) => {
                return Err(
                    "--database has an sslmode that is none; write disable, prefer, require or verify-full".into(),
                );
            }
        };
        // It is given a connection that speaks TLS already, if any.
        config.ssl_mode(SslMode::Disable);
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION);
        }
        let is_tcp = config.get_hosts().iter().all(|host| matches!(host, Host::Tcp(_)));
        if !is_tcp || (config.get_hosts().is_empty() && config.get_hostaddrs().is_empty()) {
            return Err(format!("--database names no host to connect to over TCP; {WRITE}"));
        }
        Ok(Self {
            config,
            trust: trust.unwrap_or_else(Trust::anybody),
            is_kept: false,
            security,
        })
    }

    /// One address, that has to show by its certificate that it is the server of this name, for a session that is kept. Nobody's
    /// functions or operators but PostgreSQL's own are found by their bare names there.
    pub fn at(address: SocketAddr, name: &str, trust: &Trust, login: &Login<'_>) -> Self {
        let mut config = Config::new();
        config
            .host(name)
            .hostaddr(address.ip())
            .port(address.port())
            .user(login.user)
            .dbname(login.database)
            .password(login.password)
            .application_name(login.application)
            .options(format!(
                "-c search_path=pg_catalog -c statement_timeout={}",
                login.statement_timeout.as_millis()
            ))
            .ssl_mode(SslMode::Disable);
        Self {
            config,
            trust: trust.clone(),
            security: Security::Verified,
            is_kept: true,
        }
    }

    /// The first host's name.
    pub fn host(&self) -> String {
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            _ => self
                .config
                .get_hostaddrs()
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }

    /// The database and its address for messages, without the password.
    pub fn title(&self) -> String {
        let port = self.config.get_ports().first().copied().unwrap_or(PORT);
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("{}:{port}/{database}", self.host())
    }

    /// Connects to the first address that answers.
    pub async fn connect(&self, end: Instant) -> Result<Session, Refused> {
        let addresses = timeout_at(end, self.addresses())
            .await
            .map_err(|_| late("when looking the host up"))??;
        let mut refused = Refused::Lookup("the host has no address".into());
        for (address, name) in addresses {
            match timeout_at(end, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.begin(stream, address, &name, end).await,
                Ok(Err(error)) => refused = Refused::Trouble(address.to_string(), Trouble::of_connect(&error)),
                Err(_) => return Err(Refused::Trouble(address.to_string(), Trouble::TimedOut(Stage::Tcp))),
            }
        }
        Err(refused)
    }

    async fn begin(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        name: &str,
        end: Instant,
    ) -> Result<Session, Refused> {
        let (stream, is_encrypted) = self.secured(stream, name, end).await.map_err(|trouble| match trouble {
            Trouble::TimedOut(stage) => late(&stage.to_string()),
            trouble => Refused::Trouble(address.to_string(), trouble),
        })?;
        let begun = self.log_in(stream, is_encrypted, end).await;
        // Who is asked for TLS has shown by that what it is.
        let is_unknown = |refused: &Refused| {
            self.security == Security::Plain
                && matches!(refused, Refused::Other(_) | Refused::Breach(Breach::TooLong(_)))
        };
        match begun {
            Err(refused) if is_unknown(&refused) => Err(other_engine(address, name, end).await.unwrap_or(refused)),
            begun => begun,
        }
    }

    /// Logs in to a server over a connection on which nothing of PostgreSQL's own protocol has been said, by then. Whoever calls it
    /// has seen to its protection.
    ///
    /// # Errors
    /// Why there is no session.
    pub async fn log_in(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        is_encrypted: bool,
        end: Instant,
    ) -> Result<Session, Refused> {
        let protection = Protection {
            security: self.security,
            is_encrypted,
            is_kept: self.is_kept,
        };
        let breach = Arc::default();
        let stream = Conversation::new(stream, protection, Arc::clone(&breach));
        match timeout_at(end, self.config.connect_raw(stream, NoTls)).await {
            Ok(Ok((client, connection))) => Ok(Session {
                client,
                is_encrypted,
                breach,
                connection: tokio::spawn(connection),
            }),
            Ok(Err(error)) => Err(match breach.get() {
                Some(breach) => Refused::Breach(breach.clone()),
                None => Refused::of(&error),
            }),
            Err(_) => Err(late("to the log-in")),
        }
    }

    /// The connection as it is asked for, and whether that is encrypted.
    async fn secured(&self, mut stream: TcpStream, name: &str, end: Instant) -> Result<(Box<dyn Wire>, bool), Trouble> {
        if self.security == Security::Plain {
            return Ok((Box::new(stream), false));
        }
        match begin_tls(&mut stream, end).await {
            Ok(()) => Ok((Box::new(shake_hands(stream, name, &self.trust, end).await?), true)),
            Err(Trouble::TlsRefused) if self.security == Security::Preferred => Ok((Box::new(stream), false)),
            Err(trouble) => Err(trouble),
        }
    }

    async fn addresses(&self) -> Result<Vec<(SocketAddr, String)>, Refused> {
        let ports = self.config.get_ports();
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(PORT);
        let hosts = self.config.get_hosts();
        let fixed = self.config.get_hostaddrs();
        let mut addresses = Vec::new();
        for (index, ip) in fixed.iter().enumerate() {
            let name = match hosts.get(index) {
                Some(Host::Tcp(name)) => name.clone(),
                _ => ip.to_string(),
            };
            addresses.push((SocketAddr::new(*ip, port(index)), name));
        }
        let named = if fixed.is_empty() { hosts } else { &[] };
        for (index, host) in named.iter().enumerate() {
            let Host::Tcp(name) = host else { continue };
            let found = lookup_host((name.as_str(), port(index))).await;
            let found = found.map_err(|error| Refused::Lookup(format!("{name}: {error}")))?;
            addresses.extend(found.map(|address| (address, name.clone())));
        }
        Ok(addresses)
    }
}

/// What a conversation needs.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

impl Session {
    /// Waits until the session has ended, and says why.
    pub async fn ended(&mut self) -> String {
        match (&mut self.connection).await {
            Ok(Err(error)) => self.why(&error),
            Ok(Ok(())) | Err(_) => "the server has ended the session".to_owned(),
        }
    }

    /// Ends it without a word to a server that is not heard any more.
    pub fn abandon(self) {
        self.connection.abort();
    }

    /// Why a question was not answered.
    pub fn why(&self, error: &tokio_postgres::Error) -> String {
        (self.breach.get()).map_or_else(|| whole(error), Breach::to_string)
    }
}

fn late(what: &str) -> Refused {
    Refused::Late(what.to_owned())
}

/// Asks whether it is PostgreSQL at all that did not let a client in; nothing if it is, or nobody knows.
async fn other_engine(address: SocketAddr, name: &str, end: Instant) -> Option<Refused> {
    let limit = SNIFF_MAX.min(end.saturating_duration_since(Instant::now()));
    let trust = Trust::anybody();
    match probe(address, Depth::Tls(name, &trust), limit).await {
        Err(trouble @ (Trouble::Mysql(..) | Trouble::NotPostgres(_) | Trouble::Closed(Stage::Postgres, _))) => {
            Some(Refused::Trouble(address.to_string(), trouble))
        }
        _ => None,
    }
}

/// Whether the user or the password of a URL has a character by which it ends for one reader and not for another: then some of it is
/// taken for the host's name, or for something else that is shown.
fn ends_early(url: &str) -> bool {
    // A value of key=value may have what begins a URL.
    let Some((_, rest)) = url.split_once("://").filter(|(scheme, _)| !scheme.contains('=')) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    rest.matches('@').count() > 1 || rest.contains('@') && !authority.contains('@')
}

/// Why a text cannot be read, in those words of the client's that repeat nothing of it.
fn reason(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default();
    let is_fixed = ["invalid value for option", "unterminated", "unexpected EOF"]
        .iter()
        .any(|words| cause.starts_with(words));
    if is_fixed { format!(": {cause}") } else { String::new() }
}

/// The text without one of its parameters, and its value.
fn take(url: &str, key: &str) -> (String, Option<String>) {
    let is_url = url.contains("://");
    let (head, parameters): (&str, Vec<&str>) = match url.split_once('?') {
        Some((head, parameters)) if is_url => (head, parameters.split('&').collect()),
        None if is_url => return (url.to_owned(), None),
        _ => ("", words(url)),
    };
    let mut value = None;
    let mut rest = Vec::new();
    for parameter in parameters {
        match parameter.split_once('=') {
            Some((name, given)) if name.trim() == key => value = Some(given.trim_matches('\'').to_owned()),
            _ => rest.push(parameter),
        }
    }
    let text = if is_url {
        format!("{head}?{}", rest.join("&"))
    } else {
        rest.join(" ")
    };
    (text.trim_end_matches('?').to_owned(), value)
}

/// The parts of a connection string between its blanks, but for those within quotes or behind a backslash.
fn words(text: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_between = |char: char| {
        let is_between = char.is_whitespace() && !is_quoted && !is_escaped;
        is_quoted ^= char == '\'' && !is_escaped;
        is_escaped = char == '\\' && !is_escaped;
        is_between
    };
    text.split(is_between).collect()
}

/// How the connection has ended, if that is what an error tells.
fn end_in(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::UnexpectedEof => Some("the server has closed the connection"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Some("the server has reset the connection"),
        io::ErrorKind::TimedOut => Some("the server is not heard any more"),
        _ => None,
    }
}

/// An error of the client and its cause.
fn whole(error: &tokio_postgres::Error) -> String {
    let (text, state) = match error.as_db_error() {
        Some(error) => (
            error.message().to_owned(),
            format!(" (SQLSTATE {})", error.code().code()),
        ),
        None => match std::error::Error::source(error) {
            Some(cause) if let Some(end) = end_in(cause) => (end.to_owned(), String::new()),
            Some(cause) => (
                format!("{error}: {cause}").replace("error error", "error"),
                String::new(),
            ),
            None => (error.to_string(), String::new()),
        },
    };
    shortened(&text) + &state
}

impl Refused {
    fn of(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(error) => Self::Server(error.code().code().to_owned(), shortened(error.message())),
            None => Self::Other(whole(error)),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(why) => write!(f, "the host is not found: {why}"),
            Self::Trouble(address, trouble) => write!(f, "{address}: {trouble}"),
            Self::Server(code, message) => write!(f, "the server refuses: {message} (SQLSTATE {code})"),
            Self::Breach(breach) => breach.fmt(f),
            Self::Late(what) => write!(f, "no answer in time {what}"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_to_talk() {
        for (url, security) in [
            ("postgres://u:p@h/d", Security::Preferred),
            ("postgres://u:p@h/d?sslmode=require", Security::Unverified),
            ("postgres://u:p@h/d?connect_timeout=3&sslmode=disable", Security::Plain),
            ("host=h user=u password=p sslmode=require", Security::Unverified),
            ("host=h user=u", Security::Preferred),
            ("host=h user=u password='x://y@z@w'", Security::Preferred),
            (
                "host=h password='a sslmode=disable b' sslmode = require",
                Security::Unverified,
            ),
        ] {
            let source = Source::new(url, None).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(source.security, security, "{url}");
        }
        let titled = Source::new("postgres://u:p@h:6432/d", None).map(|source| source.title());
        assert_eq!(titled, Ok("h:6432/d".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (url, why) in [
            ("postgres://u:secret@h/d?sslmode=verify-full", "needs --ca-bundle"),
            ("postgres://u:secret@h/d?sslmode=maybe", "an sslmode that is none"),
            ("postgres://u:secret@h:port/d", "--database"),
            ("postgres://u:secret@h/d?pool=7", "--database"),
            ("host=/var/run/postgresql password=secret", "over TCP"),
            ("secret", "--database"),
            // Whoever reads it otherwise takes the rest of the password for the host's name.
            ("postgres://u:a@secret?x@h/d", "has an @"),
            ("postgres://u:secret@h/d?sslrootcert=/nowhere", "/nowhere"),
        ] {
            let error = Source::new(url, None).err().unwrap_or_default();
            assert!(error.contains(why) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
