//! Certificates made on the spot.

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// The first and the last year that a certificate is valid in.
pub type Years = (i32, i32);

/// Years that hold whenever a test runs.
pub const NOW: Years = (2020, 2090);

/// A certificate authority of one test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A server's certificate and its key, each as text and in DER.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The certificate.
    pub pem: String,
    /// The same in DER.
    pub der: Vec<u8>,
    /// The key.
    pub key_pem: String,
    /// The same in DER.
    pub key_der: Vec<u8>,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// On a machine without random numbers.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        // Who has the same name as its issuer is taken by OpenSSL to have signed itself.
        parameters
            .distinguished_name
            .push(DnType::CommonName, "the authority of a test");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(parameters, key),
            pem,
        }
    }

    /// A server's certificate for these names that is valid in these years.
    ///
    /// # Panics
    /// If one is no name.
    #[must_use]
    pub fn certify(&self, names: &[&str], years: Years) -> Certified {
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters(names, years).signed_by(&key, &self.issuer);
        Certified::new(&certificate.expect("a certificate"), &key)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Certified {
    /// A certificate that vouches for itself.
    ///
    /// # Panics
    /// If one is no name.
    #[must_use]
    pub fn by_itself(names: &[&str], years: Years) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters(names, years).self_signed(&key);
        Self::new(&certificate.expect("a certificate"), &key)
    }

    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
        }
    }
}

fn parameters(names: &[&str], years: Years) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(names).expect("names");
    parameters.not_before = date_time_ymd(years.0, 1, 1);
    parameters.not_after = date_time_ymd(years.1, 1, 1);
    parameters
}
