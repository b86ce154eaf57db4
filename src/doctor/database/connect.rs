//! A connection to the database whose changes are to be streamed.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_postgres::{Client, Config};
use tokio_rustls::client::TlsStream;

use crate::probe::{Depth, Stage, Trouble, Trust, probe};

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
    /// Whether the connection is to be encrypted, and the certificate verified.
    pub security: Security,
}

/// The protection of the connection that the URL's sslmode and the CA bundle ask for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// `disable`
    Plain,
    /// Encrypted if the server can.
    Preferred,
    /// Encrypted, to whoever answers.
    Unverified,
    /// Encrypted, to the server that the certificate names.
    Verified,
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
    /// A failure of another kind, in its own words.
    Other(String),
}

impl Source {
    /// Reads a connection URL or key=value string. The error never repeats it.
    pub fn new(url: &str, bundle: Option<&Trust>) -> Result<Self, String> {
        let (url, root) = take(url, "sslrootcert");
        let (url, mode) = take(&url, "sslmode");
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            format!(
                "--database cannot be read: {}; write postgres://USER:PASSWORD@HOST:5432/DATABASE",
                whole(&error)
            )
        })?;
        let in_file = root
            .filter(|root| root != "system")
            .map(|root| Trust::in_file(Path::new(&root)));
        let in_file = in_file.transpose().map_err(|error| error.to_string())?;
        let trust = bundle.cloned().or(in_file);
        let security = match (mode.as_deref(), &trust) {
            (Some("disable"), _) => Security::Plain,
            (Some("verify-full" | "verify-ca"), None) => {
                return Err("--database with sslmode=verify-full needs --ca-bundle FILE".into());
            }
            (None | Some("allow" | "prefer"), None) => Security::Preferred,
            (Some("require"), None) => Security::Unverified,
            (None | Some("allow" | "prefer" | "require" | "verify-full" | "verify-ca"), Some(_)) => Security::Verified,
            (Some(other), _) => {
                return Err(format!(
                    "--database has sslmode={other}; write disable, prefer, require or verify-full"
                ));
            }
        };
        config.ssl_mode(match security {
            Security::Plain => SslMode::Disable,
            Security::Preferred => SslMode::Prefer,
            Security::Unverified | Security::Verified => SslMode::Require,
        });
        config.ssl_negotiation(SslNegotiation::Postgres);
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION);
        }
        let is_tcp = config.get_hosts().iter().all(|host| matches!(host, Host::Tcp(_)));
        if !is_tcp || (config.get_hosts().is_empty() && config.get_hostaddrs().is_empty()) {
            return Err(
                "--database names no host to connect to over TCP; write postgres://USER:PASSWORD@HOST:5432/DATABASE"
                    .into(),
            );
        }
        Ok(Self {
            config,
            trust: trust.unwrap_or_else(Trust::anybody),
            security,
        })
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
    pub async fn connect(&self, end: Instant) -> Result<Client, Refused> {
        let late = |what: &str| Refused::Other(format!("no answer within --timeout {what}"));
        let addresses = timeout_at(end, self.addresses())
            .await
            .map_err(|_| late("when looking the host up"))??;
        let mut refused = Refused::Lookup("the host has no address".into());
        for (address, name) in addresses {
            let stream = match timeout_at(end, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    refused = Refused::Trouble(address.to_string(), Trouble::of_connect(&error));
                    continue;
                }
                Err(_) => return Err(Refused::Trouble(address.to_string(), Trouble::TimedOut(Stage::Tcp))),
            };
            let tls = Tls {
                trust: self.trust.clone(),
                name: name.clone(),
            };
            let connected = timeout_at(end, self.config.connect_raw(stream, tls)).await;
            let failed = match connected {
                Ok(Ok((client, connection))) => {
                    // Its end is seen by the queries that then fail.
                    tokio::spawn(connection);
                    return Ok(client);
                }
                Ok(Err(error)) => Refused::of(&address.to_string(), &error),
                Err(_) => late("to the log-in"),
            };
            return Err(match failed {
                Refused::Other(_) | Refused::Trouble(_, Trouble::TlsRefused) => {
                    other_engine(address, &name, end).await.unwrap_or(failed)
                }
                failed => failed,
            });
        }
        Err(refused)
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

/// The text without one of its parameters, and its value.
fn take(url: &str, key: &str) -> (String, Option<String>) {
    let is_url = url.contains("://");
    let (head, parameters) = match url.split_once('?') {
        Some((head, parameters)) if is_url => (head, parameters),
        None if is_url => return (url.to_owned(), None),
        _ => ("", url),
    };
    let separator = if is_url { "&" } else { " " };
    let mut value = None;
    let mut rest = Vec::new();
    for parameter in parameters.split(separator) {
        match parameter.split_once('=') {
            Some((name, given)) if name.trim() == key => value = Some(given.trim_matches('\'').to_owned()),
            _ => rest.push(parameter),
        }
    }
    let rest = rest.join(separator);
    let text = if is_url { format!("{head}?{rest}") } else { rest };
    (text.trim_end_matches('?').to_owned(), value)
}

/// An error of the client and its cause.
pub fn whole(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} (SQLSTATE {})", error.message(), error.code().code()),
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}").replace("error error", "error"),
            None => error.to_string(),
        },
    }
}

impl Refused {
    fn of(address: &str, error: &tokio_postgres::Error) -> Self {
        if let Some(error) = error.as_db_error() {
            return Self::Server(error.code().code().to_owned(), error.message().to_owned());
        }
        let cause = std::error::Error::source(error);
        if error.to_string().contains("TLS handshake")
            && let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<io::Error>())
        {
            return Self::Trouble(address.to_owned(), Trouble::of_handshake(cause));
        }
        if cause.is_some_and(|cause| cause.to_string().contains("does not support TLS")) {
            return Self::Trouble(address.to_owned(), Trouble::TlsRefused);
        }
        Self::Other(whole(error))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(why) => write!(f, "the host is not found: {why}"),
            Self::Trouble(address, trouble) => write!(f, "{address}: {trouble}"),
            Self::Server(code, message) => write!(f, "the server refuses: {message} (SQLSTATE {code})"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// Speaks TLS with a server of this name.
struct Tls {
    trust: Trust,
    name: String,
}

impl TlsConnect<TcpStream> for Tls {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move { self.trust.handshake(&self.name, stream).await.map(Encrypted) })
    }
}

/// A TLS connection as the client takes it.
struct Encrypted(TlsStream<TcpStream>);

impl tokio_postgres::tls::TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
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
            ("postgres://u:secret@h/d?sslmode=maybe", "sslmode=maybe"),
            ("postgres://u:secret@h:port/d", "--database"),
            ("postgres://u:secret@h/d?pool=7", "--database"),
            ("host=/var/run/postgresql password=secret", "over TCP"),
            ("secret", "--database"),
            ("postgres://u:secret@h/d?sslrootcert=/nowhere", "/nowhere"),
        ] {
            let error = Source::new(url, None).err().unwrap_or_default();
            assert!(error.contains(why) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
