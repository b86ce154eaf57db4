//! Takes out of a report what tells whose it is: names, addresses, the account, and the words of others. What was measured stays. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::report::Report;

/// The addresses that AWS's resolver has in every VPC, which tell nothing of anybody.
const EVERYBODYS: [&str; 2] = ["169.254.169.253", "fd00:ec2::253"];

/// Takes it out.
pub fn redact(report: &mut Report) {
    let mut names = Names::default();
    report.redacted = true;
    report.endpoint = names.endpoint(&report.endpoint);
    report.command = report.command.as_deref().map(without_identifier);
    if let Some(group) = &mut report.target_group {
        group.arn = "target-group".to_owned();
        group.name = "target-group".to_owned();
    }
    for address in report.old_addresses.iter_mut().chain(&mut report.new_addresses) {
        *address = names.of("address", address);
    }
    for mark in &mut report.marks {
        let kind = match mark.by {
            Some("name_server") => "name-server",
            Some("event" | "name_servers") => "",
            _ => "address",
        };
        if let Some(which) = mark.by_which.as_mut().filter(|_| !kind.is_empty()) {
            *which = names.of(kind, which);
        }
        mark.of = mark.of.as_deref().map(|of| names.of("through", of));
    }
    for not_watched in &mut report.not_watched {
        let kind = kind_of(not_watched.what);
        not_watched.of = not_watched.of.as_deref().map(|of| names.of(kind, of));
        not_watched.detail = None;
    }
    for lane in &mut report.lanes {
        lane.of = names.of(kind_of(lane.what), &lane.of);
        lane.address = lane.address.as_deref().map(|address| names.of("address", address));
        for span in &mut lane.spans {
            span.detail = None;
            for address in &mut span.addresses {
                *address = names.of("address", address);
            }
        }
    }
    for event in &mut report.events {
        event.text = None;
    }
}

fn kind_of(what: &str) -> &'static str {
    match what {
        "dns" => "name-server",
        "through" | "writer_through" => "through",
        _ => "address",
    }
}

/// A command without the identifier in it.
fn without_identifier(command: &str) -> String {
    let mut words: Vec<&str> = command.split(' ').collect();
    for index in 1..words.len() {
        if words[index - 1].ends_with("-identifier") {
            words[index] = "IDENTIFIER";
        }
    }
    words.join(" ")
}

/// What stands for what: the same for the same.
#[derive(Default)]
struct Names {
    given: BTreeMap<&'static str, Vec<String>>,
}

impl Names {
    fn of(&mut self, kind: &'static str, text: &str) -> String {
        // A port tells nothing, and whether two have the same address does.
        let (host, port) = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
            (Ok(address), _) => (address.ip().to_string(), format!(":{}", address.port())),
            (_, Ok(ip)) => (ip.to_string(), String::new()),
            _ => match text.rsplit_once(':') {
                Some((host, port)) => (host.to_owned(), format!(":{port}")),
                None => (text.to_owned(), String::new()),
            },
        };
        if EVERYBODYS.contains(&host.as_str()) {
            return text.to_owned();
        }
        let known = self.given.entry(kind).or_default();
        let position = known.iter().position(|known| *known == host).unwrap_or_else(|| {
            known.push(host);
            known.len() - 1
        });
        format!("{kind}-{}{port}", position + 1)
    }

    fn endpoint(&self, text: &str) -> String {
        let port = text.rsplit_once(':').map_or("", |(_, port)| port);
        format!("endpoint:{port}")
    }
}
