//! Where AWS publishes the CAs of RDS: each partition has its own (L8).

/// How to get the CAs of the partition that one of these names is of; a name of one's own tells none.
pub fn fetch<'a>(names: impl IntoIterator<Item = &'a str>) -> &'static str {
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
            assert!(fetch(names.iter().copied()).contains(part), "{names:?}");
        }
    }
}
