//! What is told: which groups there are, what to paste, what comes next. Texts alone.

use std::fmt::Write as _;

use super::candidate::{Sorted, TAG};
use crate::aws::arn::Arn;
use crate::aws::region::Region;
use crate::planner::endpoint::Endpoint;
use crate::text::{join, shown};

/// Candidates that are shown with their reasons.
pub const SHOWN_MAX: usize = 5;
/// Candidates that are named besides.
const NAMED_MAX: usize = 10;
/// The longest name of a target group (ELB, CreateTargetGroup).
const NAME_MAX_CHARS: usize = 32;

/// Which groups there are, and why they may be meant or may not.
pub fn groups(sorted: &Sorted, region: &Region) -> String {
    let (fit, others) = (sorted.candidates.len(), sorted.others.values().sum::<usize>());
    let mut text = match fit + others {
        0 => format!("{region} has no target group\n"),
        all => format!("{region} has {}: {fit} may be meant", counted(all)),
    };
    if others > 0 {
        let whys = sorted
            .others
            .iter()
            .map(|(why, count)| format!("{count} {}", shown(why)));
        // Writing to a String cannot fail.
        let _ = write!(text, ", {others} not ({})", whys.collect::<Vec<_>>().join("; "));
    }
    if fit + others > 0 {
        text.push('\n');
    }
    for (number, candidate) in (1..).zip(sorted.candidates.iter().take(SHOWN_MAX)) {
        let _ = writeln!(
            text,
            "  {number}. {}: {}",
            candidate.arn.name(),
            shown(candidate.why.join("; "))
        );
    }
    let rest: Vec<&str> = sorted
        .candidates
        .iter()
        .skip(SHOWN_MAX)
        .map(|one| one.arn.name())
        .collect();
    if !rest.is_empty() {
        let more = rest.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let named = join(rest.iter().take(NAMED_MAX));
        let _ = writeln!(text, "  less likely: {named}{more}; any of them: --target-group NAME");
    }
    text
}

fn counted(groups: usize) -> String {
    match groups {
        1 => "1 target group".to_owned(),
        groups => format!("{groups} target groups"),
    }
}

/// What to make where no group can be meant.
pub fn to_create(endpoint: &Endpoint, region: &Region, is_ipv6: bool) -> String {
    let family = if is_ipv6 { " --ip-address-type ipv6" } else { "" };
    format!(
        "no target group can follow {endpoint}: create one, with the VPC that the database is in for VPC, and give a Network Load \
         Balancer a listener that forwards to it (docs/clickpipe.md makes all of that)\n\
         aws elbv2 create-target-group --region {region} --name {name} --protocol TCP --port {port} --target-type ip{family} \
         --vpc-id VPC\n\
         then run rds-tether init {endpoint} again",
        region = region.name,
        name = name_for(endpoint),
        port = endpoint.port(),
    )
}

/// A name that a target group for the endpoint may have.
fn name_for(endpoint: &Endpoint) -> String {
    let identifier = endpoint.host().split('.').next().unwrap_or_default();
    let plain: String = identifier
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() { char } else { '-' })
        .collect();
    let name: String = plain.trim_matches('-').chars().take(NAME_MAX_CHARS).collect();
    match name.trim_end_matches('-') {
        "" => "database".to_owned(),
        name => name.to_owned(),
    }
}

/// The commands that tag the groups, one for each region.
pub fn tags(endpoint: &Endpoint, groups: &[Arn]) -> String {
    let mut regions: Vec<&str> = groups.iter().map(Arn::region).collect();
    regions.dedup();
    let command = |region: &str| {
        let arns: Vec<&str> = groups
            .iter()
            .filter(|arn| arn.region() == region)
            .map(Arn::as_str)
            .collect();
        format!(
            "aws elbv2 add-tags --region {region} --resource-arns {} --tags Key={TAG},Value={endpoint}",
            arns.join(" ")
        )
    };
    regions.into_iter().map(command).collect::<Vec<_>>().join("\n")
}

/// What rds-tether takes to follow the groups without a file.
pub fn flags(endpoint: &Endpoint, groups: &[Arn]) -> String {
    let groups: String = groups.iter().map(|arn| format!(" --target-group {arn}")).collect();
    format!("--endpoint {endpoint}{groups}")
}

/// A word for the command line that a shell takes as it is.
pub fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:@%+=,".contains(char);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_a_group_is_one_that_elb_takes() {
        for (host, name) in [
            ("orders.cluster-abc123.eu-west-1.rds.amazonaws.com", "orders"),
            ("_db_.internal", "db"),
            ("___.internal", "database"),
            (
                "a-name-of-thirty-two-characters--x.internal",
                "a-name-of-thirty-two-characters",
            ),
        ] {
            let endpoint = format!("{host}:5432").parse().expect("an endpoint");
            assert_eq!(name_for(&endpoint), name);
        }
    }

    #[test]
    fn a_shell_takes_what_is_quoted_as_one_word() {
        for (text, word) in [
            ("a/b.toml", "a/b.toml"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }
}
