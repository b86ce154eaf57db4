//! Asks an address whether the database is there: connects, asks PostgreSQL for TLS, and checks the certificate.
//!
//! It knows nothing of who asks or why, and changes nothing on the other side: the connection ends before any start-up message.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

/// SSLRequest: its length, and a code that no protocol version has (PostgreSQL documentation, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The most names of a certificate that are worth repeating.
const NAMES_MAX: usize = 4;

/// How much to ask for.
#[derive(Clone, Copy, Debug)]
pub enum Depth<'a> {
    /// A TCP connection.
    Tcp,
    /// That, an answer to PostgreSQL's SSLRequest, and a TLS handshake with a server of this name.
    Tls(&'a str, &'a Trust),
}

/// Which certificates are believed.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    /// The file's text; two bundles are the same if it is.
    pem: Arc<[u8]>,
    /// Whether certificate and name are verified at all.
    pub verifies: bool,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem && self.verifies == other.verifies
    }
}

impl Eq for Trust {}

/// What answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// How long the TCP connection took.
    pub connected: Duration,
    /// The TLS version, if that far was asked for, for example `TLSv1_3`.
    pub tls: Option<String>,
}

/// How far a probe came before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The TCP connection.
    Tcp,
    /// The answer to SSLRequest.
    Postgres,
    /// The TLS handshake.
    Tls,
}

/// What is wrong, by what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The host answers that nothing listens there.
    Refused,
    /// The network leads nowhere.
    Unreachable(String),
    /// Nothing came in time.
    TimedOut(Stage),
    /// The connection was ended from the other side, or broke.
    Closed(Stage, String),
    /// What answers is not PostgreSQL; the first byte it said.
    NotPostgres(u8),
    /// PostgreSQL does not speak TLS.
    TlsRefused,
    /// TLS could not be agreed upon.
    Handshake(String),
    /// The certificate is for other names: these.
    WrongName(Vec<String>),
    /// Nobody who is trusted has signed the certificate.
    UnknownCa,
    /// The certificate is no longer valid.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate cannot be used for another reason.
    BadCertificate(String),
}

/// Why a file is no bundle of CA certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// It cannot be read.
    #[error("cannot read the CA bundle {0}: {1}")]
    Unreadable(String, String),
    /// There is nothing usable in it.
    #[error("the CA bundle {0} has no certificate in it that can be used{1}; it must be PEM (BEGIN CERTIFICATE)")]
    Empty(String, String),
}

impl Trust {
    /// Believes certificates that the CAs of a PEM file have signed, for the name asked for.
    pub fn in_file(path: &Path) -> Result<Self, BadBundle> {
        let shown = path.display().to_string();
        let unreadable = |why: &dyn fmt::Display| BadBundle::Unreadable(shown.clone(), why.to_string());
        let pem = std::fs::read(path).map_err(|error| unreadable(&error))?;
        let mut roots = RootCertStore::empty();
        let mut first_error = None;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            // One that rustls cannot use must not hide the others.
            let added = certificate
                .map_err(|error| error.to_string())
                .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
            if let Err(error) = added {
                first_error.get_or_insert(format!(" ({error})"));
            }
        }
        if roots.is_empty() {
            return Err(BadBundle::Empty(shown, first_error.unwrap_or_default()));
        }
        let config = builder(|builder| builder.with_root_certificates(roots).with_no_client_auth());
        Ok(Self {
            config,
            pem: pem.into(),
            verifies: true,
        })
    }

    /// Believes any certificate: the connection is encrypted, but nobody knows to whom.
    pub fn anybody() -> Self {
        let config = builder(|builder| {
            let verifier = Arc::new(Credulous(ring::default_provider()));
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth()
        });
        Self {
            config,
            pem: Arc::default(),
            verifies: false,
        }
    }

    /// Speaks TLS over a connection that is ready for it.
    pub async fn handshake<S>(&self, name: &str, stream: S) -> io::Result<TlsStream<S>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn builder(finish: impl FnOnce(Builder) -> ClientConfig) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    // ring has suites for both versions; that is known when it is built.
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("ring serves TLS 1.2 and 1.3");
    Arc::new(finish(builder))
}

/// Connects to an address and asks as far as `depth` says, all within `limit`.
pub async fn probe(address: SocketAddr, depth: Depth<'_>, limit: Duration) -> Result<Reached, Trouble> {
    let start = Instant::now();
    let end = start + limit;
    let connected = timeout_at(end, TcpStream::connect(address)).await;
    let mut stream = connected
        .map_err(|_| Trouble::TimedOut(Stage::Tcp))?
        .map_err(|error| Trouble::of_connect(&error))?;
    let connected = start.elapsed();
    let Depth::Tls(name, trust) = depth else {
        return Ok(Reached { connected, tls: None });
    };
    timeout_at(end, ask_for_tls(&mut stream))
        .await
        .map_err(|_| Trouble::TimedOut(Stage::Postgres))??;
    let tls = timeout_at(end, trust.handshake(name, stream))
        .await
        .map_err(|_| Trouble::TimedOut(Stage::Tls))?
        .map_err(|error| Trouble::of_handshake(&error))?;
    let version = tls.get_ref().1.protocol_version();
    Ok(Reached {
        connected,
        tls: version.map(|version| format!("{version:?}")),
    })
}

async fn ask_for_tls(stream: &mut TcpStream) -> Result<(), Trouble> {
    let closed = |error: io::Error| Trouble::Closed(Stage::Postgres, plain(&error));
    stream.write_all(&SSL_REQUEST).await.map_err(closed)?;
    match stream.read_u8().await.map_err(closed)? {
        b'S' => Ok(()),
        b'N' => Err(Trouble::TlsRefused),
        other => Err(Trouble::NotPostgres(other)),
    }
}

/// The words for an error that people know it by.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "the other side closed the connection".into(),
        ErrorKind::ConnectionReset => "the other side reset the connection".into(),
        _ => error.to_string(),
    }
}

impl Trouble {
    /// What a failure to connect means.
    pub fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut => Self::TimedOut(Stage::Tcp),
            ErrorKind::ConnectionReset => Self::Closed(Stage::Tcp, plain(error)),
            _ => Self::Unreachable(error.to_string()),
        }
    }

    /// What a failed handshake means.
    pub fn of_handshake(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(certificate)) => Self::of_certificate(certificate),
            Some(other) => Self::Handshake(other.to_string()),
            None => match error.kind() {
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    Self::Closed(Stage::Tls, plain(error))
                }
                _ => Self::Handshake(error.to_string()),
            },
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::NotValidForName => Self::WrongName(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                // Each is wrapped in the name of its type: DnsName("...").
                let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
                Self::WrongName(presented.iter().map(bare).collect())
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownCa,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            // A self-signed CA certificate in the place of a server's.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Self::UnknownCa,
            other => Self::BadCertificate(other.to_string()),
        }
    }

    /// How far the probe came.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Refused | Self::Unreachable(_) => Stage::Tcp,
            Self::TimedOut(stage) | Self::Closed(stage, _) => *stage,
            Self::NotPostgres(_) | Self::TlsRefused => Stage::Postgres,
            Self::Handshake(_)
            | Self::WrongName(_)
            | Self::UnknownCa
            | Self::Expired
            | Self::NotYetValid
            | Self::BadCertificate(_) => Stage::Tls,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "to the connection",
            Self::Postgres => "to PostgreSQL's SSLRequest",
            Self::Tls => "to the TLS handshake",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused: the host is there, nothing listens on the port"),
            Self::Unreachable(why) => write!(f, "no way to the address: {why}"),
            Self::TimedOut(stage) => write!(f, "no answer in time {stage}"),
            Self::Closed(stage, why) => write!(f, "{why} instead of an answer {stage}"),
            Self::NotPostgres(byte) => {
                write!(
                    f,
                    "what answers is not PostgreSQL: its first byte is {byte:#04x}, neither S nor N"
                )
            }
            Self::TlsRefused => f.write_str("PostgreSQL answers, but speaks no TLS"),
            Self::Handshake(why) => write!(f, "TLS could not be agreed upon: {why}"),
            Self::WrongName(names) if names.is_empty() => f.write_str("the certificate names another server"),
            Self::WrongName(names) => {
                let more = names.len().saturating_sub(NAMES_MAX);
                let shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
                write!(f, "the certificate is for {shown}")?;
                if more > 0 {
                    write!(f, " and {more} more")
                } else {
                    Ok(())
                }
            }
            Self::UnknownCa => f.write_str("no CA of the bundle has signed the certificate"),
            Self::Expired => f.write_str("the certificate has expired"),
            Self::NotYetValid => f.write_str("the certificate is not valid yet"),
            Self::BadCertificate(why) => write!(f, "the certificate cannot be used: {why}"),
        }
    }
}

/// Takes every certificate, but insists that its owner speaks.
#[derive(Debug)]
struct Credulous(CryptoProvider);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
