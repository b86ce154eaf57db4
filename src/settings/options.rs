//! All tables together, and what they come to.

use std::net::SocketAddr;

use serde::Deserialize;

use super::lead::NEEDS_BUNDLE;
use super::table::{Dns, Http, Notify, Proxy, TargetGroup};
use super::{Settings, discover};
use crate::planner::wrong::Wrong;

/// All tables, as a file has them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub target_group: Vec<TargetGroup>,
    pub discover: Vec<discover::Table>,
    pub proxy: Vec<Proxy>,
    pub dns: Dns,
    pub http: Http,
    pub notify: Notify,
}

/// What a key says that no binding or proxy can be made of.
pub struct Fault {
    pub table: &'static str,
    /// Which of the tables of this name.
    pub index: usize,
    pub key: &'static str,
    pub wrong: Wrong,
}

impl Fault {
    /// Whether it is that no bundle is named.
    pub fn is_of_bundle(&self) -> bool {
        self.wrong.what.contains(NEEDS_BUNDLE)
    }
}

impl Options {
    /// Whether they name nothing to follow, and nowhere to look for it.
    pub fn is_empty(&self) -> bool {
        self.target_group.is_empty() && self.discover.is_empty() && self.proxy.is_empty()
    }

    /// What they come to, with the defaults; or all that no bindings and proxies can be made of.
    pub fn settings(self) -> Result<Settings, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut settings = Settings {
            dns: self.dns.settings(),
            http: self.http.listen.map(|listen| listen.0),
            notify: self.notify.clone().settings(),
            ..Settings::default()
        };
        if self.notify.after.is_some() && self.notify.sns_topic_arn.is_none() {
            let what = "after (--notify-after) says nothing without sns_topic_arn (--notify-topic)";
            faults.push(Fault {
                table: "notify",
                index: 0,
                key: "after",
                wrong: Wrong::new(what, "name the topic that is told, or leave it out"),
            });
        }
        for (index, group) in self.target_group.into_iter().enumerate() {
            let table = "target_group";
            let fault = |(key, wrong)| Fault {
                table,
                index,
                key,
                wrong,
            };
            let binding = match group.binding() {
                Ok(binding) => binding,
                Err(wrong) => {
                    faults.extend(wrong.into_iter().map(fault));
                    continue;
                }
            };
            if settings.bindings.iter().any(|other| other.arn == binding.arn) {
                let what = format!("target group {} is bound twice", binding.arn);
                let fix = "list all its endpoints in one [[target_group]]";
                faults.push(fault(("arn", Wrong::new(what, fix))));
                continue;
            }
            settings.bindings.push(binding);
        }
        for (index, table) in self.discover.into_iter().enumerate() {
            let fault = |(key, wrong)| Fault {
                table: "discover",
                index,
                key,
                wrong,
            };
            match table.settings() {
                Ok(place) if settings.discover.iter().any(|other| other.looks_like(&place)) => {
                    let what = format!("tagged target groups in {} are looked for twice", place.name());
                    let fix = "write one [[discover]] for each account and region";
                    faults.push(fault(("region", Wrong::new(what, fix))));
                }
                Ok(place) => settings.discover.push(place),
                Err(wrong) => faults.extend(wrong.into_iter().map(fault)),
            }
        }
        for (index, proxy) in self.proxy.into_iter().enumerate() {
            let (table, listen) = ("proxy", proxy.listen.0);
            let fault = |(key, wrong)| Fault {
                table,
                index,
                key,
                wrong,
            };
            let proxy = match proxy.settings() {
                Ok(proxy) => proxy,
                Err(wrong) => {
                    faults.extend(wrong.into_iter().map(fault));
                    continue;
                }
            };
            let mut others = settings.proxies.iter().map(|other| other.listen);
            let what = match settings.http.filter(|pages| collide(*pages, listen)) {
                Some(pages) => Some(format!("a proxy listens on {listen}, and [http] on {pages}")),
                None => (others.find(|other| *other == listen || collide(*other, listen))).map(|other| {
                    match other == listen {
                        true => format!("two proxies listen on {listen}"),
                        false => format!("a proxy listens on {listen}, and another on {other}"),
                    }
                }),
            };
            if let Some(what) = what {
                faults.push(fault(("listen", Wrong::new(what, "give each its own address or port"))));
            }
            settings.proxies.push(proxy);
        }
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }
}

/// Whether nobody can listen on both: an address of all interfaces takes the port of each.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip(), other.ip());
    let is_of_all = (ip.is_unspecified() || other_ip.is_unspecified()) && ip.is_ipv4() == other_ip.is_ipv4();
    one.port() == other.port() && one.port() != 0 && (ip == other_ip || is_of_all)
}
