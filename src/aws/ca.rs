//! The CAs whose certificates AWS's servers may have: the system's, or those of AWS_CA_BUNDLE, as for other tools of AWS. The SDK
//! for Rust does not read that variable. And where AWS publishes the CAs of RDS, each partition its own.

use std::ffi::OsString;
use std::path::Path;

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::file;
use crate::planner::wrong::Wrong;

/// The variable that names a file of certificates in the place of the system's.
const VARIABLE: &str = "AWS_CA_BUNDLE";

/// Reads the file that the environment names, if it does.
///
/// # Errors
/// If it cannot be read, or has no certificate in it that can be used.
#[allow(
    clippy::disallowed_methods,
    reason = "a variable of AWS's own is read where AWS is reached"
)]
pub fn from_env() -> Result<Option<Vec<u8>>, Wrong> {
    let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    named.map(|path: OsString| read(Path::new(&path))).transpose()
}

fn read(path: &Path) -> Result<Vec<u8>, Wrong> {
    let shown = path.display();
    let wrong = |why: String| {
        let what = format!("{VARIABLE} names {shown}, {why}");
        Wrong::new(what, "name a file of CA certificates in PEM, or unset it")
    };
    let pem =
        file::read(path, file::CERTIFICATES_MAX).map_err(|error| wrong(format!("which cannot be read: {error}")))?;
    let usable = usable(&String::from_utf8_lossy(&pem));
    if usable.is_empty() {
        return Err(wrong("which has no certificate in it that can be used".into()));
    }
    Ok(usable.into_bytes())
}

/// The certificates of a file without those that rustls cannot use: at one of them the SDK would end the process.
fn usable(pem: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = pem.split_inclusive(END).filter(|block| block.ends_with(END));
    let is_usable = |block: &&str| {
        let read = CertificateDer::from_pem_slice(block.as_bytes());
        read.is_ok_and(|certificate| RootCertStore::empty().add(certificate).is_ok())
    };
    blocks.filter(is_usable).map(|block| format!("{block}\n")).collect()
}

/// What is trusted when AWS is called. A bundle that has gone bad since the start trusts nobody, and the log says why.
pub(super) fn context() -> TlsContext {
    let store = match from_env() {
        Ok(None) => TrustStore::default(),
        Ok(Some(pem)) => TrustStore::empty().with_pem_certificate(pem),
        Err(Wrong { what, .. }) => {
            tracing::error!("{what}: no server of AWS is trusted");
            TrustStore::empty()
        }
    };
    let built = TlsContext::builder().with_trust_store(store).build();
    built.unwrap_or_default()
}

/// How to get the CAs of RDS in the partition (L8) that one of these names is of; a name of one's own tells none.
pub fn of_rds<'a>(names: impl IntoIterator<Item = &'a str>) -> &'static str {
    const GLOBAL: &str = "curl -O https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem";
    const GOV_CLOUD: &str = "curl -O https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem";
    const CHINA: &str = "curl -O https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem";
    // No page that can be cited names its address.
    const SOVEREIGN: &str = "get global-bundle.pem of the European Sovereign Cloud as its RDS User Guide says (Using SSL/TLS to encrypt \
                             a connection)";
    let published = names.into_iter().find_map(|name| {
        let name = name.trim_end_matches('.');
        let is_gov = name.split('.').any(|label| label.starts_with("us-gov-"));
        match name {
            name if name.ends_with(".amazonaws.com.cn") => Some(CHINA),
            name if name.ends_with(".amazonaws.eu") => Some(SOVEREIGN),
            name if name.ends_with(".amazonaws.com") && is_gov => Some(GOV_CLOUD),
            name if name.ends_with(".amazonaws.com") => Some(GLOBAL),
            _ => None,
        }
    });
    published.unwrap_or(GLOBAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_cas_of_its_own() {
        for (names, part) in [
            (
                &["o.cluster-abc.eu-west-1.rds.amazonaws.com"] as &[&str],
                "pki.rds.amazonaws.com/global",
            ),
            (
                &["o.abc.us-gov-east-1.rds.amazonaws.com"],
                "pki.us-gov-west-1.rds.amazonaws.com/global",
            ),
            (
                &["o.abc.rds.cn-northwest-1.amazonaws.com.cn"],
                "s3.cn-north-1.amazonaws.com.cn/global",
            ),
            (
                &["o.cluster-abc.eusc-de-east-1.rds.amazonaws.eu"],
                "European Sovereign Cloud",
            ),
            (
                &["db.example", "o.abc.us-gov-west-1.rds.amazonaws.com"],
                "us-gov-west-1",
            ),
            (&["db.example"], "pki.rds.amazonaws.com/global"),
            (&[], "pki.rds.amazonaws.com/global"),
        ] {
            assert!(of_rds(names.iter().copied()).contains(part), "{names:?}");
        }
    }
}
