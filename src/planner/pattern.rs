//! Which endpoints may be followed for somebody else's word.

use std::fmt;
use std::str::FromStr;

use super::endpoint::Endpoint;
use super::wrong::Wrong;

/// An endpoint, or a text with stars for many: `*.abc123.eu-west-1.rds.amazonaws.com`. A star stands for any characters of a name, dots
/// included; the end of a pattern says whose names they are. A port is any, unless one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    host: String,
    port: Option<u16>,
}

/// A pattern as messages show one.
const EXAMPLE: &str = "*.abc123.eu-west-1.rds.amazonaws.com";

impl Pattern {
    /// The names, with their stars.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the endpoint is one of those.
    pub fn covers(&self, endpoint: &Endpoint) -> bool {
        self.port.is_none_or(|port| port == endpoint.port()) && covers(&self.host, endpoint.host())
    }
}

/// Whether a text with stars covers another. Each star takes as little as it can, which finds a way if there is one.
fn covers(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl FromStr for Pattern {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        let wrong = |why: &str| {
            let fix = format!("write names as DNS has them, a star for any characters: {EXAMPLE}");
            Err(Wrong::new(format!("{text:?} {why}"), fix))
        };
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => match port.parse::<u16>() {
                Ok(port) if port > 0 => (host, Some(port)),
                _ => return wrong("does not end in a port from 1 to 65535"),
            },
            None => (text, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'*');
        if host.is_empty() || !host.bytes().all(is_of_name) {
            return wrong("is no pattern of endpoints");
        }
        let end = host.rsplit('*').next().unwrap_or_default();
        let labels = end.split('.').skip(usize::from(host.contains('*')));
        if labels.clone().count() < 2 || labels.clone().any(str::is_empty) {
            return wrong("does not say whose names they are: it has to end in a domain");
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_the_names_of_its_domain_and_no_others() {
        const OURS: &str = "*.abc123.eu-west-1.rds.amazonaws.com";
        for (pattern, endpoint, is_covered) in [
            (OURS, "orders.abc123.eu-west-1.rds.amazonaws.com:5432", true),
            (OURS, "ORDERS.abc123.eu-west-1.rds.amazonaws.com.:3306", true),
            (OURS, "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432", false),
            (OURS, "abc123.eu-west-1.rds.amazonaws.com:5432", false),
            (
                OURS,
                "orders.abc123.eu-west-1.rds.amazonaws.com.evil.example:5432",
                false,
            ),
            (OURS, "orders.xabc123.eu-west-1.rds.amazonaws.com:5432", false),
            ("orders*.example.com", "orders-7.example.com:5432", true),
            ("orders*.example.com", "orders.deep.example.com:5432", true),
            ("orders*.example.com", "reorders.example.com:5432", false),
            ("*-prod-*.example.com", "a-prod-b.example.com:1", true),
            ("*-prod-*.example.com", "a-prod.example.com:1", false),
            ("*a*a.example.com", "a.example.com:1", false),
            ("*a*a.example.com", "aa.example.com:1", true),
            ("orders.example.com", "orders.example.com:1", true),
            ("orders.example.com", "orders.example.comm:1", false),
            ("*.example.com:5432", "orders.example.com:5432", true),
            ("*.example.com:5432", "orders.example.com:5433", false),
        ] {
            let parsed: Pattern = pattern.parse().expect(pattern);
            let endpoint: Endpoint = endpoint.parse().expect(endpoint);
            assert_eq!(parsed.covers(&endpoint), is_covered, "{pattern} {endpoint}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn a_pattern_says_whose_names_they_are() {
        for (text, why) in [
            ("", "no pattern"),
            ("*", "has to end in a domain"),
            ("*.com", "has to end in a domain"),
            ("orders.*", "has to end in a domain"),
            ("*example.com", "has to end in a domain"),
            ("*..example.com", "has to end in a domain"),
            ("orders", "has to end in a domain"),
            ("*.example.com:0", "port"),
            ("*.example.com:x", "port"),
            ("*.exämple.com", "no pattern"),
            ("*.example.com/x", "no pattern"),
            ("a b.example.com", "no pattern"),
        ] {
            let wrong = text.parse::<Pattern>().expect_err(text);
            assert!(wrong.what.contains(why), "{text}: {wrong}");
        }
    }
}
