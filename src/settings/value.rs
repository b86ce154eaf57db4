//! The texts of single settings, read the same way from a flag, the environment and a file.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;

use crate::planner::candidate::ProbePatience;
use crate::proxy::route::Linger;

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// A duration such as `30s`, `5m` or `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let signed: Result<SignedDuration, _> = text.trim().parse();
        let unsigned = signed.ok().and_then(|signed| Duration::try_from(signed).ok());
        let hint = || format!("{text:?} is no duration; write a number with a unit, such as 30s, 5m or 1h30m");
        unsigned.map(Self).ok_or_else(hint)
    }
}

/// A CIDR such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr(pub IpNet);

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(ip)));
        }
        let net: IpNet = text
            .parse()
            .map_err(|_| format!("{text:?} is no CIDR; write for example 10.0.0.0/16"))?;
        if net != net.trunc() {
            return Err(format!(
                "{text:?} has bits set behind its prefix; write {}",
                net.trunc()
            ));
        }
        Ok(Self(net))
    }
}

/// A name server's address, with port 53 unless another is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameServer(pub SocketAddr);

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        let with_port = text.parse::<SocketAddr>().ok();
        let addr = with_port.or_else(|| Some(SocketAddr::new(bare.parse().ok()?, DNS_PORT)));
        match addr {
            Some(addr) if addr.port() > 0 && !addr.ip().is_unspecified() => Ok(Self(addr)),
            _ => Err(format!(
                "{text:?} is no name server's address; write ADDR or ADDR:PORT, for example 10.0.0.2 or [fd00::2]:53"
            )),
        }
    }
}

/// An address and a port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let hint = || {
            let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
            let port = port.unwrap_or("5432");
            format!("{text:?} is no address to listen on; write ADDR:PORT, for example 0.0.0.0:{port} or [::]:{port}")
        };
        text.parse().map(Self).map_err(|_| hint())
    }
}

impl FromStr for Linger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Span::or_word(text, "never")?.map_or(Self::Never, |span| Self::For(span.0)))
    }
}

impl FromStr for ProbePatience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Span::or_word(text, "forever")?.map_or(Self::Forever, |span| Self::For(span.0)))
    }
}

/// The ARN of an IAM role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArn(pub String);

impl FromStr for RoleArn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.trim().splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", _, "iam", "", account, resource] if account.len() == 12 && resource.starts_with("role/") => {
                Ok(Self(text.trim().to_owned()))
            }
            _ => Err(format!(
                "{text:?} is no role ARN; it looks like arn:aws:iam::111122223333:role/NAME"
            )),
        }
    }
}

impl Span {
    /// Reads a wait, or the word that stands for one without an end.
    fn or_word(text: &str, word: &str) -> Result<Option<Self>, String> {
        if text.trim() == word {
            return Ok(None);
        }
        let span = Self::within(text, &super::WAIT_RANGE).map_err(|error| format!("{error}; or write {word}"))?;
        Ok(Some(span))
    }

    /// Reads a duration within a range.
    pub fn within(text: &str, range: &RangeInclusive<Duration>) -> Result<Self, String> {
        let span: Self = text.parse()?;
        if range.contains(&span.0) {
            return Ok(span);
        }
        let (least, most) = (friendly(*range.start()), friendly(*range.end()));
        Err(format!(
            "{text:?} is out of range; give a duration from {least} to {most}"
        ))
    }
}

fn friendly(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| format!("{duration:?}"), |signed| format!("{signed:#}"))
}

/// Characters of a message that are worth reading; some repeat what they are about.
const MESSAGE_MAX_CHARS: usize = 500;

/// A message without what makes it too long to read.
pub fn shorten(message: &str) -> String {
    if message.chars().count() <= MESSAGE_MAX_CHARS {
        return message.to_owned();
    }
    // The end says what is expected, the beginning what is wrong.
    let half = MESSAGE_MAX_CHARS / 2;
    let start: String = message.chars().take(half).collect();
    let end: String = message
        .chars()
        .rev()
        .take(half)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    format!("{start} [...] {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            (" 2s ", 2000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for text in [
            "",
            "30",
            "s",
            "-5s",
            "5 bananas",
            "five minutes",
            "1e9999s",
            "99999999999999999999h",
        ] {
            let error = text.parse::<Span>().expect_err(text);
            assert!(error.contains("with a unit"), "{error}");
        }
    }

    #[test]
    fn cidrs_are_networks() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("fd00::/8", "fd00::/8"),
        ] {
            assert_eq!(
                text.parse::<Cidr>().map(|cidr| cidr.0.to_string()),
                Ok(shown.to_owned())
            );
        }
        for (text, hint) in [
            ("10.0.0.5/8", "write 10.0.0.0/8"),
            ("10.0.0.0/33", "no CIDR"),
            ("", "no CIDR"),
            ("x", "no CIDR"),
        ] {
            let error = text.parse::<Cidr>().expect_err(text);
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn what_to_listen_on_is_an_address_with_a_port() {
        for text in ["0.0.0.0:5432", "127.0.0.1:0", "[::]:5432"] {
            assert_eq!(
                text.parse::<Listen>().map(|listen| listen.0.to_string()),
                Ok(text.to_owned())
            );
        }
        for (text, hint) in [
            ("5432", "write ADDR:PORT, for example 0.0.0.0:5432"),
            (":6432", "0.0.0.0:6432"),
            ("localhost:5432", "no address to listen on"),
            ("0.0.0.0", "no address to listen on"),
            ("0.0.0.0:99999", "no address to listen on"),
            ("", "no address to listen on"),
        ] {
            let error = text.parse::<Listen>().expect_err(text);
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn a_linger_is_a_duration_or_never() {
        assert_eq!("never".parse(), Ok(Linger::Never));
        assert_eq!("0s".parse(), Ok(Linger::For(Duration::ZERO)));
        assert_eq!("5s".parse(), Ok(Linger::For(Duration::from_secs(5))));
        for text in ["", "5", "ever", "25h"] {
            let error = text.parse::<Linger>().expect_err(text);
            assert!(error.contains("never"), "{error}");
        }
    }

    #[test]
    fn name_servers_are_addresses() {
        for (text, shown) in [
            ("10.0.0.2", "10.0.0.2:53"),
            ("10.0.0.2:5353", "10.0.0.2:5353"),
            ("fd00::2", "[fd00::2]:53"),
            ("[fd00::2]", "[fd00::2]:53"),
            ("[fd00::2]:5353", "[fd00::2]:5353"),
        ] {
            assert_eq!(
                text.parse::<NameServer>().map(|server| server.0.to_string()),
                Ok(shown.to_owned())
            );
        }
        for text in ["", "dns.example", "10.0.0.2:0", "10.0.0.2:x", "0.0.0.0", "10.0.0"] {
            let error = text.parse::<NameServer>().expect_err(text);
            assert!(error.contains("no name server"), "{error}");
        }
    }
}
