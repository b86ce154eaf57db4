//! The settings file.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::value::{Cidr, NameServer, Span, Text};
use super::{Dns, Error, Settings};
use crate::aws::AssumeRole;
use crate::elb::Arn;
use crate::planner::answer::Quorum;
use crate::planner::endpoint::{Endpoint, Role};
use crate::planner::policy::Policy;
use crate::reconcile::Binding;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    target_group: Vec<TargetGroup>,
    #[serde(default)]
    dns: DnsTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetGroup {
    arn: Spanned<Text<Arn>>,
    endpoints: Spanned<Vec<Text<Endpoint>>>,
    role: Option<Role>,
    forget: Option<Text<Span>>,
    patience: Option<Text<Span>>,
    #[serde(default)]
    allow_cidrs: Vec<Text<Cidr>>,
    #[serde(default)]
    keep: Vec<Text<Cidr>>,
    #[serde(default)]
    upsert_only: bool,
    #[serde(default)]
    observe: bool,
    assume_role: Option<AssumeRole>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DnsTable {
    nameservers: Vec<Text<NameServer>>,
    timeout: Option<Text<Span>>,
    interval: Option<Text<Span>>,
    quorum: Quorum,
}

/// Reads a settings file's text; `path` is for its messages.
pub(super) fn parse(path: &Path, text: &str) -> Result<Settings, Error> {
    let at = |offset: usize, message: &str| {
        let line = text.as_bytes()[..offset.min(text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        Error::File(format!("{}:{line}: {message}", path.display()))
    };
    let file: File = toml::from_str(text)
        .map_err(|error| at(error.span().map_or(0, |span| span.start), error.message().trim_end()))?;
    if file.target_group.is_empty() {
        return Err(at(
            0,
            "there is nothing to follow; add a [[target_group]] with arn and endpoints",
        ));
    }
    let mut bindings: Vec<Binding> = Vec::new();
    for group in file.target_group {
        let (arn_at, endpoints_at) = (group.arn.span().start, group.endpoints.span().start);
        let binding = binding(group);
        if bindings.iter().any(|other| other.arn == binding.arn) {
            let message = format!(
                "target group {} is bound twice; list all its endpoints in one [[target_group]]",
                binding.arn
            );
            return Err(at(arn_at, &message));
        }
        if binding.endpoints.is_empty() {
            return Err(at(endpoints_at, "endpoints is empty; list at least one HOST:PORT"));
        }
        bindings.push(binding);
    }
    let defaults = Dns::default();
    Ok(Settings {
        bindings,
        dns: Dns {
            name_servers: file.dns.nameservers.into_iter().map(|text| text.0.0).collect(),
            deadline: file.dns.timeout.map_or(defaults.deadline, |text| text.0.0),
            interval: file.dns.interval.map_or(defaults.interval, |text| text.0.0),
            quorum: file.dns.quorum,
        },
    })
}

fn binding(group: TargetGroup) -> Binding {
    Binding {
        arn: group.arn.into_inner().0,
        endpoints: group.endpoints.into_inner().into_iter().map(|text| text.0).collect(),
        policy: Policy {
            role: group.role,
            forget: group.forget.map(|text| text.0.0),
            patience: group.patience.map(|text| text.0.0),
            allow_cidrs: group.allow_cidrs.into_iter().map(|text| text.0.0).collect(),
            keep: group.keep.into_iter().map(|text| text.0.0).collect(),
            upsert_only: group.upsert_only,
        },
        observe: group.observe,
        assume_role: group.assume_role,
    }
}
