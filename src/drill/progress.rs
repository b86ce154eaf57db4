//! What is told of a drill while it goes on: a line for each thing that is seen to change. Pure.

use std::collections::BTreeMap;

use super::record::{Record, Series};
use super::report::NotWatched;
use super::table::unwatched;
use super::{Observation, Reach, Seen};
use crate::planner::lead::Says;
use crate::planner::target::State;
use crate::text::join;

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Neither.
    Plain,
    /// Not as it should be.
    Bad,
}

/// What is new in a look, given what was seen before it.
pub fn news(before: &Record, look: &Observation) -> Vec<(Tone, String)> {
    match &look.seen {
        Seen::Dns(server, said) => {
            let known = before.dns.get(server).and_then(Series::now);
            let line = match said {
                _ if known == Some(said) => None,
                Ok(named) => Some((Tone::Plain, format!("DNS {server} names {}", join(named)))),
                Err(_) if known.is_some_and(Result::is_err) => None,
                Err(why) => Some((Tone::Bad, format!("DNS {server} gives no address: {why}"))),
            };
            line.into_iter().collect()
        }
        Seen::Group(Ok(targets)) => {
            let none = BTreeMap::new();
            let known = before.group.now().unwrap_or(&none);
            let listed = targets
                .iter()
                .filter(|(target, state)| known.get(target) != Some(state));
            let listed = listed.map(|(target, state)| {
                let tone = if *state == State::Healthy {
                    Tone::Good
                } else {
                    Tone::Plain
                };
                (tone, format!("target {target} is {}", state.as_str()))
            });
            let gone = known.keys().filter(|target| !targets.contains_key(target));
            let gone = gone.map(|target| (Tone::Plain, format!("target {target} is not listed any more")));
            listed.chain(gone).collect()
        }
        Seen::Group(Err(error)) => match before.unlisted.now() {
            Some(Some(_)) => Vec::new(),
            _ => vec![(Tone::Bad, format!("targets: {error}"))],
        },
        Seen::Address(address, reach) => {
            let known = before.addresses.get(address).and_then(Series::now);
            told(known, reach, &address.to_string())
        }
        Seen::Through(way, reach) => {
            let known = before.ways.get(way).and_then(Series::now);
            let address = way.address.to_string();
            let name = way.through.to_string();
            let subject = if name == address {
                name
            } else {
                format!("{name} ({address})")
            };
            told(known, reach, &format!("through {subject}"))
        }
        Seen::Member(ip, says, _) => {
            let known = before.members.get(ip).and_then(Series::now);
            if known.map(Says::name) == Some(says.name()) {
                return Vec::new();
            }
            let tone = match says {
                Says::Writer => Tone::Good,
                Says::Reader => Tone::Plain,
                _ => Tone::Bad,
            };
            vec![(tone, format!("member {ip}: {says}"))]
        }
        Seen::Event(event) => vec![(Tone::Plain, format!("event: {}", event.text))],
        Seen::Gone(watched, why) => {
            let line = unwatched(&NotWatched::of(watched, why));
            vec![(Tone::Bad, format!("not watched: {line}"))]
        }
    }
}

fn told(known: Option<&Reach>, reach: &Reach, subject: &str) -> Vec<(Tone, String)> {
    if known.map(Reach::name) == Some(reach.name()) {
        return Vec::new();
    }
    let (tone, words) = match reach {
        Reach::Sessions => (Tone::Good, "takes sessions".to_owned()),
        Reach::Writer => (Tone::Good, "reaches the writer".to_owned()),
        Reach::Reader => (Tone::Bad, "reaches a reader".to_owned()),
        Reach::Lost(why) => (Tone::Bad, format!("lost: {why}")),
        Reach::NotAsked(why) => (Tone::Bad, format!("not watched: {why}")),
    };
    vec![(tone, format!("{subject} {words}"))]
}
