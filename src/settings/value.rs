//! The texts of single settings: each is read the same way from a flag, the environment and a file.

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::aws;
use crate::aws::arn::{Arn, Region, RoleArn, TopicArn};
use crate::planner::answer::Quorum;
use crate::planner::candidate::{Probe, ProbePatience};
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::history::GAP;
use crate::planner::pattern::Pattern;
use crate::planner::target::Family;
use crate::planner::wrong::Wrong;
use crate::probe::Trust;
use crate::proxy::Readiness;
use crate::proxy::route::Linger;

/// The port of DNS.
const DNS_PORT: u16 = 53;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// A duration such as `30s`, `5m` or `1h30m`, of so many milliseconds at least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<const LEAST: u64, const MOST: u64>(pub Duration);

/// Waits longer than a day are slips of the pen, and answers are not remembered for ever.
pub type Wait = Span<0, DAY>;
/// DNS is asked at least a second apart, and so often that a look with its back-off never leaves a gap in seeing, which
/// would restart every clock.
pub type Interval = Span<SECOND, MINUTE>;
/// A look at DNS that takes longer than this would outlast the answers it waits for.
pub type Deadline = Span<100, DEADLINE_MAX>;
const DEADLINE_MAX: u64 = 10 * SECOND;
/// Two looks a second apart, where the first proves nothing.
const LOOKS_MAX: u64 = DEADLINE_MAX + SECOND + DEADLINE_MAX;
const _: () = assert!(Duration::from_millis(MINUTE + LOOKS_MAX).as_secs() < GAP.as_secs());
/// A client that waits longer than this for its connection has given up.
pub type Dial = Span<100, { 5 * MINUTE }>;
/// Trouble that lasts less than a second passes unseen, and one of more than a day is no news.
pub type Lasting = Span<SECOND, DAY>;
/// A time limit of less than a second ends before anything is seen; more than the longest waits together is no limit.
pub type Limit = Span<SECOND, { 3 * DAY }>;

impl<const LEAST: u64, const MOST: u64> FromStr for Span<LEAST, MOST> {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let signed: Option<SignedDuration> = text.trim().parse().ok();
        let Some(span) = signed.and_then(|signed| Duration::try_from(signed).ok()) else {
            return Err(Wrong::new(
                format!("{text:?} is no duration"),
                "write a number with a unit, such as 30s, 5m or 1h30m",
            ));
        };
        let [least, most] = [LEAST, MOST].map(Duration::from_millis);
        if !(least..=most).contains(&span) {
            let [least, most] = [least, most].map(friendly);
            return Err(Wrong::new(
                format!("{text:?} is out of range"),
                format!("give a duration from {least} to {most}"),
            ));
        }
        Ok(Self(span))
    }
}

impl<const LEAST: u64, const MOST: u64> From<Span<LEAST, MOST>> for Duration {
    fn from(span: Span<LEAST, MOST>) -> Self {
        span.0
    }
}

fn friendly(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| format!("{duration:?}"), |signed| format!("{signed:#}"))
}

/// Reads a wait, or the word that stands for one without an end.
fn wait_or(text: &str, word: &str) -> Result<Option<Duration>, Wrong> {
    if text.trim() == word {
        return Ok(None);
    }
    let wait: Result<Wait, Wrong> = text.parse();
    let wait = wait.map_err(|Wrong { what, fix }| Wrong::new(what, format!("{fix}; or write {word}")))?;
    Ok(Some(wait.0))
}

impl FromStr for Linger {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        Ok(wait_or(text, "never")?.map_or(Self::Never, Self::For))
    }
}

/// How often a proxy connects to a database that no session speaks for; none: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeInterval(pub Option<Duration>);

impl FromStr for ProbeInterval {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        match wait_or(text, "never")? {
            Some(interval) if interval < Duration::from_millis(SECOND) => Err(Wrong::new(
                format!("{text:?} is too often to connect to a database"),
                "write 1s or more, or never",
            )),
            interval => Ok(Self(interval)),
        }
    }
}

impl FromStr for ProbePatience {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        Ok(wait_or(text, "forever")?.map_or(Self::Forever, Self::For))
    }
}

/// A CIDR such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr(pub IpNet);

impl FromStr for Cidr {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(ip)));
        }
        let net: IpNet = text
            .parse()
            .map_err(|_| Wrong::new(format!("{text:?} is no CIDR"), "write for example 10.0.0.0/16"))?;
        if net != net.trunc() {
            let what = format!("{text:?} has bits set behind its prefix");
            return Err(Wrong::new(what, format!("write {}", net.trunc())));
        }
        Ok(Self(net))
    }
}

/// A name server's address, with port 53 unless another is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameServer(pub SocketAddr);

impl FromStr for NameServer {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        let with_port = text.parse::<SocketAddr>().ok();
        let addr = with_port.or_else(|| Some(SocketAddr::new(bare.parse().ok()?, DNS_PORT)));
        match addr {
            Some(addr) if addr.port() > 0 && !addr.ip().is_unspecified() => Ok(Self(addr)),
            _ => Err(Wrong::new(
                format!("{text:?} is no name server's address"),
                "write ADDR or ADDR:PORT, for example 10.0.0.2 or [fd00::2]:53",
            )),
        }
    }
}

/// An address and a port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl FromStr for Listen {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        text.parse().map(Self).map_err(|_| {
            let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
            let port = port.unwrap_or("5432");
            Wrong::new(
                format!("{text:?} is no address to listen on"),
                format!("write ADDR:PORT, for example 0.0.0.0:{port} or [::]:{port}"),
            )
        })
    }
}

/// CA certificates: a file's name as the command line gives it, which is read with the settings, each time anew; or what the
/// file holds that a settings file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// To be read.
    In(PathBuf),
    /// Read.
    Read(Trust),
}

impl Bundle {
    /// Reads it, if it is not read yet.
    pub fn trust(&self) -> Result<Trust, Wrong> {
        match self {
            Self::In(path) => Trust::in_file(path),
            Self::Read(trust) => Ok(trust.clone()),
        }
    }
}

impl FromStr for Bundle {
    type Err = Wrong;

    fn from_str(path: &str) -> Result<Self, Wrong> {
        Trust::in_file(Path::new(path)).map(Self::Read)
    }
}

/// A role to assume.
#[derive(Clone, Debug, serde::Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, expecting = "a table: { arn = \"...\", external_id = \"...\" }")]
pub struct AssumeRole {
    /// The role.
    pub arn: RoleArn,
    /// What its trust policy asks for, if it does.
    pub external_id: Option<String>,
}

impl AssumeRole {
    pub(super) fn settings(self) -> aws::AssumeRole {
        let Self { arn, external_id } = self;
        aws::AssumeRole { arn, external_id }
    }
}

/// Stands between the two parts of a [`Wrong`] in an error of serde's, which is one text.
pub(super) const APART: char = '\u{1f}';

/// Reads a text of a file as the same text of a flag is read.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = Wrong>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let read = text.parse();
        read.map_err(|Wrong { what, fix }| E::custom(format_args!("{what}{APART}{fix}")))
    }
}

macro_rules! read_as_texts {
    ($($type:ty),+) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        })+
    };
}

read_as_texts!(
    Arn,
    Endpoint,
    Role,
    Probe,
    ProbePatience,
    Quorum,
    TopicArn,
    RoleArn,
    Linger,
    Family,
    Readiness,
    ProbeInterval,
    Pattern,
    Region
);
read_as_texts!(Cidr, NameServer, Listen, Bundle);

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Span<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData))
    }
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
            assert_eq!(
                text.parse(),
                Ok(Span::<0, DAY>(Duration::from_millis(millis))),
                "{text}"
            );
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
            let error = text.parse::<Wait>().expect_err(text).to_string();
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
            let error = text.parse::<Cidr>().expect_err(text).to_string();
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
            let error = text.parse::<Listen>().expect_err(text).to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn a_linger_is_a_duration_or_never() {
        assert_eq!("never".parse(), Ok(Linger::Never));
        assert_eq!("0s".parse(), Ok(Linger::For(Duration::ZERO)));
        assert_eq!("5s".parse(), Ok(Linger::For(Duration::from_secs(5))));
        for text in ["", "5", "ever", "25h"] {
            let error = text.parse::<Linger>().expect_err(text).to_string();
            assert!(error.contains("never"), "{error}");
        }
    }

    #[test]
    fn a_probe_interval_is_a_duration_of_a_second_at_least_or_never() {
        for (text, interval) in [("never", None), ("1s", Some(1)), ("10s", Some(10)), ("2m", Some(120))] {
            let interval = ProbeInterval(interval.map(Duration::from_secs));
            assert_eq!(text.parse(), Ok(interval), "{text}");
        }
        for text in ["", "10", "0s", "999ms", "always", "25h"] {
            let error = text.parse::<ProbeInterval>().expect_err(text).to_string();
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
            let error = text.parse::<NameServer>().expect_err(text).to_string();
            assert!(error.contains("no name server"), "{error}");
        }
    }
}
