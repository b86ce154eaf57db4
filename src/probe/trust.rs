//! Which certificates are believed, and TLS with who has one of them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::file;
use crate::planner::wrong::Wrong;

/// So much of a digest tells files apart that nobody has made alike on purpose.
const MARK_BYTES: usize = 8;

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

impl Trust {
    /// Believes certificates that the CAs of a PEM file have signed, for the name asked for.
    pub fn in_file(path: &Path) -> Result<Self, Wrong> {
        let shown = path.display().to_string();
        let pem = file::read(path, file::CERTIFICATES_MAX).map_err(|error| {
            let what = format!("cannot read the CA bundle {shown}: {error}");
            Wrong::new(what, "name a file of CA certificates that this user may read")
        })?;
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
            let why = first_error.unwrap_or_default();
            return Err(Wrong::new(
                format!("the CA bundle {shown} has no certificate in it that can be used{why}"),
                "it must be PEM (BEGIN CERTIFICATE)",
            ));
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

    /// Tells one bundle from another, for people: the beginning of its SHA-256, as `sha256sum` prints it.
    pub fn mark(&self) -> String {
        let digest = Sha256::digest(&self.pem);
        let digest: String = digest
            .iter()
            .take(MARK_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("sha256:{digest}")
    }

    /// Speaks TLS over a connection that is ready for it.
    ///
    /// # Errors
    /// If this is no name, the connection breaks, or the certificate is not believed: the error then holds a `rustls::Error`.
    pub async fn handshake<S>(&self, name: &str, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
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
