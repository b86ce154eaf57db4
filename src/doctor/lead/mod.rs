//! What the members of a database say of who the writer is, and what keeps them from it, judged.

mod login;
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

pub use look::{look_for_all, sought};

use super::check::{Check, Outcome, Section};
use crate::exit::Exit;
use crate::lead::crew::Quest;
use crate::lead::question::{Flavour, quoted};
use crate::lead::standing::Standing;
use crate::lead::visit::{Rights, Unheard, Visit};
use crate::planner::endpoint::{Endpoint, Kind, is_of_rds};
use crate::planner::guard::Refusal;
use crate::planner::lead::{Says, Showing, Shown, Verdict, Why};
use crate::planner::time::Timestamp;
use crate::settings::Settings;
use crate::text::{join, some};

/// Every check, in order; `lead.login` is made for each member.
const NAMES: [&str; 5] = [
    "lead.members",
    "lead.login",
    "lead.topology",
    "lead.writer",
    "lead.cost",
];
/// Members that one line names.
const NAMED_MAX: usize = 6;
/// A CONNECTION LIMIT with room for some processes, and for their successors.
const LIMIT: u32 = 4;

/// Whose members are asked, and who wants to know.
#[derive(Clone, Debug)]
pub struct Sought {
    /// Whose, and how.
    pub quest: Quest,
    /// The proxies and target groups that follow what they show.
    pub by: Vec<String>,
}

/// What was seen of the members of one endpoint's database.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The addresses that DNS names for the endpoint, and that may be asked.
    pub named: BTreeSet<IpAddr>,
    /// Whether a name that the endpoint leads through is a cluster's.
    pub is_of_cluster: bool,
    /// Whether DNS has shown what the names of members end in, so that IDs become names.
    pub has_suffix: bool,
    /// The names of members, and why one leads nowhere, if it does.
    pub names: BTreeMap<String, Option<String>>,
    /// Addresses that may not be asked.
    pub refused: BTreeMap<IpAddr, Refusal>,
    /// All that were asked.
    pub members: BTreeMap<IpAddr, Member>,
}

/// A member, and what it said.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its own name, where it is known.
    pub name: Option<String>,
    /// What it said, or why it did not.
    pub heard: Result<Visit, Unheard>,
}

impl Seen {
    /// What was said.
    pub fn visits(&self) -> impl Iterator<Item = &Visit> {
        self.members.values().filter_map(|member| member.heard.as_ref().ok())
    }

    fn flavours(&self) -> impl Iterator<Item = Flavour> {
        self.visits().filter_map(|visit| visit.flavour.as_ref().ok().copied())
    }

    fn is_plain(&self) -> bool {
        self.flavours().any(|flavour| flavour == Flavour::Plain)
    }
}

impl Member {
    fn says(&self) -> Says {
        match &self.heard {
            Ok(visit) => visit.says.clone(),
            Err(unheard) => unheard.says(),
        }
    }
}

/// All checks of who is to be asked for one endpoint; nothing was seen if `blocked_by` failed.
pub fn judge(sought: &Sought, seen: Option<&Seen>, blocked_by: &'static str) -> Vec<Check> {
    let quest = &sought.quest;
    let all = |by| NAMES.map(|name| Check::new(name, Outcome::blocked(by))).to_vec();
    let Some(seen) = seen else { return all(blocked_by) };
    if seen.members.is_empty() && seen.refused.is_empty() {
        return all("dns.answer");
    }
    let mut checks = vec![Check::new(NAMES[0], members(quest, seen))];
    if seen.members.is_empty() {
        checks.extend(all(NAMES[0]).into_iter().skip(1));
        return checks;
    }
    let logins = seen.members.iter();
    let logins = logins.map(|(ip, member)| login::judge(quest, seen, *ip, member));
    checks.extend(logins.map(|outcome| Check::new(NAMES[1], outcome)));
    let rest: [fn(&Quest, &Seen) -> Outcome; 3] = [topology, writer, cost];
    let is_heard = seen.visits().next().is_some();
    checks.extend(NAMES[2..].iter().zip(rest).map(|(name, judge)| {
        let outcome = if is_heard {
            judge(quest, seen)
        } else {
            Outcome::blocked(NAMES[1])
        };
        Check::new(name, outcome)
    }));
    checks
}

/// The checks of an endpoint for everybody whose settings have lead; nobody could be looked for if there are no name servers.
pub fn sections(settings: &Settings, endpoint: &Endpoint, led: Option<&[(Sought, Seen)]>) -> Vec<Section> {
    let section = |sought: &Sought, seen: Option<&Seen>| Section {
        title: format!("members of {endpoint} (lead of {})", join(&sought.by)),
        checks: judge(sought, seen, "dns.servers"),
    };
    match led {
        Some(led) => led.iter().map(|(sought, seen)| section(sought, Some(seen))).collect(),
        None => (sought(settings, endpoint, None).iter())
            .map(|sought| section(sought, None))
            .collect(),
    }
}

/// The address with the member's name, where it is known; of one that RDS has made, its own part of that.
fn place(ip: IpAddr, member: &Member) -> String {
    match member.name.as_deref() {
        Some(name) if is_of_rds(name) => format!("{ip} ({})", name.split('.').next().unwrap_or(name)),
        Some(name) => format!("{ip} ({name})"),
        None => ip.to_string(),
    }
}

fn members(quest: &Quest, seen: &Seen) -> Outcome {
    let told = |(ip, member): (&IpAddr, &Member)| {
        let configured = |name: &String| quest.lead.members.contains(name);
        let by = if seen.named.contains(ip) {
            "DNS names it"
        } else if member.name.as_ref().is_some_and(configured) {
            "of members"
        } else {
            "the database tells of it"
        };
        match &member.name {
            Some(name) => format!("{ip} ({name}, {by})"),
            None => format!("{ip} ({by})"),
        }
    };
    let told: Vec<String> = seen.members.iter().map(told).collect();
    let asked = format!("{} asked: {}", told.len(), some(&told, NAMED_MAX));
    if let Some((ip, refusal)) = seen.refused.first_key_value() {
        let fix = match refusal {
            Refusal::Ourselves => format!("let the name lead to the database itself: {ip} leads back here"),
            _ => format!("add the network of {ip} to allow_cidrs, if a member may be there"),
        };
        return Outcome::warning(format!("{ip} {refusal}, and so is not asked; {asked}"), fix);
    }
    let mut names = seen.names.iter();
    if let Some((name, why)) = names.find_map(|(name, lost)| Some((name, lost.as_ref()?))) {
        let fix = if quest.lead.members.contains(name) {
            format!("correct {name} in members of lead, or its record in DNS")
        } else {
            format!("let the name servers give the names of the database: {name} is one of its members")
        };
        return Outcome::warning(format!("{name} leads nowhere: {why}; {asked}"), fix);
    }
    if seen.members.keys().any(|ip| !seen.named.contains(ip)) {
        return Outcome::ok(asked);
    }
    if seen.is_plain() && !seen.is_of_cluster {
        let host = quest.endpoint.host();
        let fix = if is_of_rds(host) && Kind::of(host) == Kind::Instance {
            "members = [\"NAME\"] in lead, if a name of yours leads to the standby: that of a Multi-AZ DB instance has none of its own \
             before a failover, and lead finds its writer no sooner than DNS"
        } else {
            "name the standbys in lead: members = [\"NAME\", ...]"
        };
        return Outcome::warning(
            format!("{asked}, and nobody else: a promoted standby cannot be known"),
            fix,
        );
    }
    let answers = seen
        .visits()
        .filter_map(|visit| visit.answer.as_ref()?.members.as_ref());
    let others = answers.map(|all| all.split(' ').count()).max().unwrap_or_default();
    if others > seen.members.len() && !seen.has_suffix {
        return Outcome::warning(
            format!(
                "{asked}; the database tells of {others} members, but DNS has shown no instance's name, so their names are not known"
            ),
            "name the instances in lead: members = [\"NAME\", ...], or let a CNAME lead to the cluster's own endpoint",
        );
    }
    match seen.flavours().next() {
        None => Outcome::ok(format!("{asked}; whom the database tells of is not known yet")),
        Some(_) => Outcome::ok(format!("{asked}, and nobody else")),
    }
}

fn topology(quest: &Quest, seen: &Seen) -> Outcome {
    let user = quoted(&quest.lead.user);
    let database = &quest.lead.database;
    if let Some(ungranted) = seen.visits().find_map(|visit| visit.flavour.as_ref().err()) {
        return Outcome::failure(
            Exit::Denied,
            format!("role {} may not ask the database for its members", quest.lead.user),
            format!("in database {database}, at the writer: {}", ungranted.0),
        );
    }
    let grants = format!(
        "GRANT USAGE ON SCHEMA rds_tools TO {user}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA rds_tools TO {user}"
    );
    if seen.visits().any(|visit| visit.has_old_tools) {
        return Outcome::warning(
            "rds_tools is too old to tell the members of a Multi-AZ DB cluster: each is asked only whether it is in recovery",
            format!("in database {database}, at the writer: ALTER EXTENSION rds_tools UPDATE; {grants}"),
        );
    }
    if seen.is_plain() && seen.is_of_cluster {
        return Outcome::warning(
            format!(
                "a Multi-AZ DB cluster without the extension rds_tools in database {database}: it tells of no members, and each is asked \
                 only whether it is in recovery"
            ),
            format!("in database {database}, at the writer: CREATE EXTENSION rds_tools; {grants}"),
        );
    }
    let told: BTreeSet<&str> = (seen.flavours())
        .map(|flavour| match flavour {
            Flavour::Plain => {
                "plain PostgreSQL: each member knows whether it is in recovery, and needs no grant for that"
            }
            Flavour::Aurora => "Aurora: aurora_replica_status tells of its members",
            Flavour::MultiAz => "a Multi-AZ DB cluster: rds_tools tells of its members",
        })
        .collect();
    Outcome::ok(join(told))
}

/// Where the members stand, as of one moment.
pub fn standing(quest: &Quest, seen: &Seen) -> Standing {
    let at = Timestamp::from_millis(0);
    let showing = |(ip, member): (&IpAddr, &Member)| {
        let says = member.says();
        (*ip, Showing { at, since: at, says })
    };
    let shown = Arc::new(Shown {
        members: seen.members.iter().map(showing).collect(),
        is_whole: true,
        doubted: None,
    });
    Standing::of(&quest.endpoint, &seen.named, &shown, quest.lead.patience, at)
}

fn writer(quest: &Quest, seen: &Seen) -> Outcome {
    let standing = standing(quest, seen);
    let told = |(ip, member): (&IpAddr, &Member)| match member.says() {
        says @ Says::Neither(_) => format!("{ip} {says}"),
        says => format!("{ip} {}", says.name()),
    };
    let told: Vec<String> = seen.members.iter().map(told).collect();
    let found = format!("{} [{}]", standing.text(), join(told));
    let host = quest.endpoint.host();
    match &standing.verdict {
        Verdict::Agrees(_) => Outcome::ok(found),
        Verdict::Leads { over, .. } if over.is_empty() => {
            Outcome::warning(found, "see dns.answer: who follows DNS alone finds nobody")
        }
        Verdict::Leads { to, .. } if is_of_rds(host) => {
            let member = seen.members.get(to).and_then(|member| member.name.as_ref());
            let is_configured = member.is_some_and(|name| quest.lead.members.contains(name));
            let otherwise = match is_configured {
                true => format!("if {to} was promoted by hand, it is a database of its own: take it out of members"),
                false => {
                    "if it lasts, ask the VPC's own resolver (dns.servers), and see aws rds describe-events".to_owned()
                }
            };
            Outcome::warning(
                found,
                format!("wait: after a failover {host} moves within a minute; {otherwise}"),
            )
        }
        Verdict::Leads { to, .. } => Outcome::warning(
            found,
            format!("let {host} lead to {to} in DNS: who follows that alone does not reach the writer"),
        ),
        Verdict::Contested(_) => Outcome::failure(
            Exit::Unexpected,
            found,
            "find out which of them your clients write to; stop the other before it takes writes that are lost, and make it a standby \
             again (pg_rewind or pg_basebackup); one that is a database of its own is to be taken out of members",
        ),
        Verdict::Waits { .. } | Verdict::Follows(Why::Impatient(_)) => Outcome::failure(
            Exit::Unavailable,
            found,
            "wait, if a failover is under way; otherwise promote the standby that is to be the writer (SELECT pg_promote() there), or \
             name the writer in members",
        ),
        Verdict::Follows(Why::Unsure(ip, Says::Neither(_))) => Outcome::warning(
            found,
            format!(
                "wait, if a failover is under way; if {ip} stays so, see there: SHOW default_transaction_read_only, and the server's log"
            ),
        ),
        Verdict::Follows(Why::Unsure(_, Says::Denied(_))) if seen.visits().all(|visit| visit.flavour.is_err()) => {
            Outcome::blocked(NAMES[2])
        }
        Verdict::Follows(Why::Unsure(..) | Why::NotShown(_) | Why::Blind) => Outcome::warning(
            found,
            "let those that DNS names tell: see lead.login and lead.topology; until they do, everything is as without lead",
        ),
    }
}

fn cost(quest: &Quest, seen: &Seen) -> Outcome {
    let by_writer = seen.visits().filter(|visit| visit.says == Says::Writer);
    let mut visits = by_writer.chain(seen.visits());
    let Some(visit) = visits.next() else {
        return Outcome::blocked(NAMES[1]);
    };
    let (user, role) = (&quest.lead.user, quoted(&quest.lead.user));
    let rights = match &visit.rights {
        Ok(rights) => rights,
        Err(why) => {
            return Outcome::untold(
                format!("what role {user} may is not known: {why}"),
                "run doctor again; if it persists, see the server's log",
            );
        }
    };
    if let Some((what, sql)) = surplus(rights, &role) {
        return Outcome::warning(
            format!("role {user} may do more than log in, which is all that it needs: {what}"),
            format!(
                "give lead a role of its own: CREATE ROLE rds_tether LOGIN CONNECTION LIMIT {LIMIT}; or, if nobody else uses {user}: {sql}"
            ),
        );
    }
    let Rights {
        max_connections,
        limit,
        sessions,
        ..
    } = rights;
    let each = format!("one session for each process at each member, of max_connections = {max_connections}");
    let pausing = if seen.flavours().any(|flavour| flavour == Flavour::Aurora) {
        "; it keeps an Aurora Serverless v2 cluster from pausing, if this is one"
    } else {
        ""
    };
    match limit {
        Some(limit) if limit <= sessions || *limit < 2 => Outcome::warning(
            format!(
                "{each}; role {user} has CONNECTION LIMIT {limit}, of which {sessions} are in use, doctor's own included: another process, or \
                 the next one of a restart, is not let in{pausing}"
            ),
            format!(
                "at the writer: ALTER ROLE {role} CONNECTION LIMIT {}",
                LIMIT.max(sessions + 2)
            ),
        ),
        Some(limit) => Outcome::ok(format!(
            "{each}; role {user} has CONNECTION LIMIT {limit}, of which {sessions} are in use, doctor's own included{pausing}"
        )),
        None => Outcome::ok(format!("{each}; role {user} has no CONNECTION LIMIT{pausing}")),
    }
}

/// What a role has that it does not need, and the SQL that takes it away.
fn surplus(rights: &Rights, role: &str) -> Option<(String, String)> {
    let (mut what, mut sql) = (Vec::new(), Vec::new());
    let attributes: Vec<&str> = rights.attributes.split_whitespace().collect();
    if !attributes.is_empty() {
        what.push(format!("it has {}", join(&attributes)));
        let without = attributes.iter().map(|attribute| format!("NO{attribute}"));
        sql.push(format!("ALTER ROLE {role} {}", without.collect::<Vec<_>>().join(" ")));
    }
    if !rights.roles.is_empty() {
        what.push(format!("it is in {}", rights.roles));
        sql.push(format!("REVOKE {} FROM {role}", rights.roles));
    }
    if rights.tables > 0 {
        let more = match rights.tables - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        what.push(format!("it owns {}{more}", rights.table));
        sql.push(format!("REASSIGN OWNED BY {role} TO ANOTHER_ROLE"));
    }
    (!what.is_empty()).then(|| (what.join("; "), sql.join("; ")))
}
