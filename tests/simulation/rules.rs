//! What must never happen (docs/proof.md), held against everything that anybody does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::AddAssign;
use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::aws::elb::Write;
use rds_tether::follow::report::Report;
use rds_tether::planner::answer::Quorum;
use rds_tether::planner::endpoint::Role;
use rds_tether::planner::target::{Listed, Target, Zone};

use super::hands::Fault;
use super::led::Words;
use super::names::Given;
use super::region::{ADDRESSES, Group, Kind, Millis, PORT, Truth, millis, target};

/// Numbers that add up, and are printed by their names.
macro_rules! counted {
    ($($(#[$about:meta])* $name:ident,)*) => {
        /// What a run counted.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$about])* pub $name: u64,)*
        }

        impl AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Counts {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$((stringify!($name), self.$name),)*];
                let told = all.map(|(name, count)| format!("{count} {}", name.replace('_', " ")));
                f.write_str(&told.join(", "))
            }
        }
    };
}

/// How long a listing may be decided on.
const LISTING_MAX: Millis = 5_000;
/// How long it may take until an answer is known that needs a second one.
const SECOND_LOOK_MAX: Millis = 5_000;
/// How old an answer may be to be of now: no process looks more rarely while it can.
pub const LOOK_MAX: Millis = 8_000;

counted! {
    /// Worlds that came to rest.
    worlds,
    /// Failovers.
    failovers,
    /// Looks at DNS.
    looks,
    /// Listings of a group.
    listings,
    /// Registrations that were made.
    registrations,
    /// Removals that were made.
    removals,
    /// Processes that ended, between two steps or within one.
    crashes,
    /// Processes that stood still for a while.
    suspensions,
    /// Settings that were read again.
    reloads,
    /// Troubles of name servers.
    dns_faults,
    /// Calls of AWS that did not go well.
    aws_faults,
    /// Changes of a group by somebody else.
    meddlings,
    /// Names of which a step that said that all is settled was held against what its process had seen.
    settled,
    /// Log-ins to members.
    log_ins,
    /// Answers of members.
    questions,
    /// Routes of proxies that were looked at.
    routes,
    /// Of those, to where DNS did not lead yet.
    ahead,
    /// Of those, to who wrote.
    right,
}

/// What a process has seen since it began.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its latest look at each database's name.
    looks: BTreeMap<usize, Look>,
    /// Every address that it was given.
    heard: BTreeSet<(usize, IpAddr)>,
    /// When each address was last named by an answer that proves itself.
    named: BTreeMap<(usize, IpAddr), Millis>,
    /// What members told it.
    pub words: Words,
    /// Its latest listing of each group.
    listings: BTreeMap<Arn, (Millis, BTreeMap<Target, Listed>)>,
}

/// A look at DNS.
#[derive(Debug, Default)]
struct Look {
    at: Millis,
    /// What may be a target of what was given; nothing where nobody gave an address.
    addresses: BTreeSet<IpAddr>,
    /// Whether something was given that is no answer of now.
    is_doubtful: bool,
    /// Whether the one before gave an address.
    was_seeing: bool,
}

impl Truth {
    /// Whether an address may be a target, by the test's own rule.
    pub fn may(&self, ip: IpAddr) -> bool {
        let allow = &self.policy.allow_cidrs;
        matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10)
            && (allow.is_empty() || allow.iter().any(|net| net.contains(&ip)))
    }

    /// How long a target of this group stays after it was last named.
    pub fn forget(&self, follows: &[usize]) -> Millis {
        let is_reader = follows
            .iter()
            .any(|number| self.databases[*number].kind == Kind::Readers);
        millis(self.policy.forget(if is_reader { Role::Reader } else { Role::Writer }))
    }

    /// What happens to a call that is made now.
    pub fn fault(&mut self, now: Millis) -> Option<Fault> {
        let (lasting, unlucky) = self.weather;
        let fault = match lasting {
            Some((fault, until)) if now < until => Some(fault),
            _ if unlucky > 0 && self.luck.u8(..100) < unlucky => Some(Fault::ALL[self.luck.usize(..Fault::ALL.len())]),
            _ => None,
        };
        // A listing that is behind is somebody else's view of now.
        let fault = fault.filter(|fault| !(self.is_sound && *fault == Fault::Behind));
        self.counts.aws_faults += u64::from(fault.is_some());
        fault
    }

    /// A process has heard what name servers say of a database.
    pub fn looked(&mut self, process: usize, number: usize, given: &[Given], now: Millis) {
        self.counts.looks += 1;
        self.met_named(process, number, given, now);
        let legal = |given: &[&Given]| {
            let said = given.iter().filter_map(|given| given.said.as_ref().ok());
            let all: Vec<IpAddr> = said.flat_map(|said| &said.addresses).copied().collect();
            all.into_iter().filter(|ip| self.may(*ip)).collect::<BTreeSet<IpAddr>>()
        };
        let (proven, doubtful): (Vec<&Given>, Vec<&Given>) = given.iter().partition(|given| given.is_proven());
        let named = legal(&proven);
        let addresses = legal(&given.iter().filter(|given| given.is_true).collect::<Vec<_>>());
        // Where a majority decides, who is outvoted does not count.
        let said = |given: &Given| {
            given
                .said
                .as_ref()
                .map(|said| said.addresses.clone())
                .unwrap_or_default()
        };
        let differ = given.iter().any(|one| said(one) != said(&given[0]));
        let is_outvoted = differ && self.processes[process].quorum == Quorum::Majority;
        let is_doubtful = is_outvoted || doubtful.iter().any(|given| given.said.is_ok());
        let is_traced = self.is_traced();
        let seen = &mut self.processes[process].seen;
        for ip in named {
            seen.named.insert((number, ip), now);
        }
        for ip in &addresses {
            seen.heard.insert((number, *ip));
        }
        let look = seen.looks.entry(number).or_default();
        let is_news = (&look.addresses, look.is_doubtful) != (&addresses, is_doubtful);
        let heard = (is_traced && is_news).then(|| format!("{addresses:?}, doubtful: {is_doubtful}"));
        *look = Look {
            at: now,
            is_doubtful,
            was_seeing: !look.addresses.is_empty(),
            addresses,
        };
        if let Some(heard) = heard {
            self.remark(now, format_args!("{process} hears of database {number}: {heard}"));
        }
    }

    /// A process has heard what a group is.
    pub fn listed(&mut self, process: usize, arn: &Arn, listed: &BTreeMap<Target, Listed>, at: Millis) {
        self.counts.listings += 1;
        self.processes[process]
            .seen
            .listings
            .insert(arn.clone(), (at, listed.clone()));
    }

    /// A process is about to write.
    pub fn check_write(
        &mut self,
        process: usize,
        write: Write,
        arn: &Arn,
        targets: &BTreeMap<Target, Zone>,
        now: Millis,
    ) {
        let names: Vec<String> = targets.keys().map(ToString::to_string).collect();
        self.note(now, format_args!("{process} {} {}", write.action(), names.join(" ")));
        if let Err(broken) = self.judge(process, write, arn, targets, now) {
            let action = write.action();
            self.break_rule(
                now,
                format_args!("{broken} (process {process}, {action} of {})", names.join(" ")),
            );
        }
    }

    fn judge(
        &self,
        process: usize,
        write: Write,
        arn: &Arn,
        targets: &BTreeMap<Target, Zone>,
        now: Millis,
    ) -> Result<(), String> {
        let seen = &self.processes[process].seen;
        let Some(group) = self.groups.iter().find(|group| group.arn == *arn) else {
            return Err("S4: a group that nobody follows".into());
        };
        let Some((at, listing)) = seen.listings.get(arn) else {
            return Err("S3: a write to a group that was not seen".into());
        };
        if let Some(kept) = targets.keys().find(|target| self.policy.keeps(**target)) {
            return Err(format!("S4: {kept} is kept"));
        }
        for (target, zone) in targets {
            let known = listing.get(target).and_then(|listed| listed.zone.clone());
            if *zone != known {
                return Err(format!("the zone of {target} is {zone:?}, and was listed as {known:?}"));
            }
        }
        match write {
            Write::Register => {
                let unheard = |target: &&Target| {
                    target.port != PORT
                        || !group
                            .follows
                            .iter()
                            .any(|number| seen.heard.contains(&(*number, target.ip)))
                            && !self.is_led_to(process, &group.follows, target.ip, now)
                };
                match targets.keys().find(|target| !self.may(target.ip) || unheard(target)) {
                    Some(target) => Err(format!("S2: {target} may not be registered")),
                    None => Ok(()),
                }
            }
            Write::Deregister => {
                if self.policy.upsert_only {
                    return Err("a removal in spite of upsert_only".into());
                }
                if now - at > LISTING_MAX {
                    return Err(format!("S3: a removal by a listing of {} ms ago", now - at));
                }
                let led = |target: &&Target| self.is_sole_writer(process, &group.follows, target.ip, now);
                if let Some(target) = targets.keys().find(led) {
                    return Err(format!("M5: {target} says that it is the writer"));
                }
                let forget = self.forget(&group.follows);
                let all = targets.keys().map(|target| target.ip);
                if let Some(ip) = self.was_led_to(process, &group.follows, all, forget, now) {
                    return Err(format!("M5: {ip} said less than {forget} ms ago that it is the writer"));
                }
                for number in &group.follows {
                    self.judge_removal(process, *number, targets, listing, forget, now)?;
                }
                if self.is_sound {
                    self.judge_truth(group, |target| targets.contains_key(target), now)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// A removal, as one endpoint has to agree to it.
    fn judge_removal(
        &self,
        process: usize,
        number: usize,
        targets: &BTreeMap<Target, Zone>,
        listing: &BTreeMap<Target, Listed>,
        forget: Millis,
        now: Millis,
    ) -> Result<(), String> {
        let seen = &self.processes[process].seen;
        let name = &self.databases[number].endpoint;
        let Some(look) = seen.looks.get(&number) else {
            return Err(format!("S3: a removal, and {name} was not looked at"));
        };
        // What was heard in this very millisecond may not have come round, and what proves nothing is not known before a second look.
        let is_open = look.at == now || (look.is_doubtful && now - look.at <= SECOND_LOOK_MAX);
        if look.addresses.is_empty() && !(is_open && look.was_seeing) {
            return Err(format!("S3: a removal while {name} is blind"));
        }
        for target in targets.keys() {
            let named = seen.named.get(&(number, target.ip)).copied();
            if named.is_some_and(|named| now - named < forget && named != now) {
                return Err(format!(
                    "S6: {target} was named {} ms ago",
                    now - named.unwrap_or_default()
                ));
            }
        }
        let is_replaced = |ip: &IpAddr| {
            let target = target(*ip);
            !targets.contains_key(&target) && listing.get(&target).is_some_and(|listed| listed.state.is_registered())
        };
        // Who says itself that it is the writer counts as named.
        let is_led = |target: &Target| self.is_sole_writer(process, &[number], target.ip, now);
        let is_replaced_by_writer = || listing.keys().any(|target| is_replaced(&target.ip) && is_led(target));
        let is_named = look.addresses.iter().any(is_replaced);
        if look.at != now && !look.is_doubtful && !is_named && !is_replaced_by_writer() {
            return Err(format!(
                "S1, S5: no address of {name} that is named now was seen registered"
            ));
        }
        Ok(())
    }

    /// Of what has been true for long enough to be heard of by everybody, something stays registered.
    fn judge_truth(&self, group: &Group, goes: impl Fn(&Target) -> bool, now: Millis) -> Result<(), String> {
        let forget = self.forget(&group.follows);
        for number in &group.follows {
            let database = &self.databases[*number];
            if database.changed(now) + forget > now {
                continue;
            }
            let is_there = |ip: &&IpAddr| group.has(&target(**ip));
            let stays = |ip: &IpAddr| !goes(&target(*ip));
            let before: Vec<&IpAddr> = database.at(now).iter().filter(is_there).collect();
            if !before.is_empty() && !before.into_iter().any(stays) {
                return Err(format!("S1: nothing of {} stays registered", database.endpoint));
            }
        }
        Ok(())
    }

    /// A removal that was right when it was made must be so when it lands, whatever another has removed meanwhile.
    pub fn judge_landing(&mut self, process: usize, arn: &Arn, done: &BTreeSet<Target>, now: Millis) {
        let Some(group) = self.groups.iter().find(|group| group.arn == *arn) else {
            return;
        };
        if self.is_sound
            && let Err(broken) = self.judge_truth(group, |target| done.contains(target), now)
        {
            self.break_rule(now, format_args!("{broken} (process {process}, a removal that lands)"));
        }
    }

    /// What ELB makes of a write.
    pub fn write(
        &mut self,
        process: usize,
        write: Write,
        arn: &Arn,
        targets: &BTreeMap<Target, Zone>,
        done: &BTreeSet<Target>,
        now: Millis,
    ) {
        for target in done {
            let zone = targets.get(target).cloned().flatten();
            let (ready, delay) = (
                now + self.luck.u64(2_000..60_000),
                [0, 1_000, 30_000, 300_000][self.luck.usize(..4)],
            );
            let Some(group) = self.group(arn) else { return };
            match write {
                Write::Register => group.register(*target, zone, now, ready),
                Write::Deregister => group.deregister(*target, now, delay),
            }
            match write {
                Write::Register => self.counts.registrations += 1,
                Write::Deregister => self.counts.removals += 1,
            }
            self.last_write = now;
            self.note(now, format_args!("{process} {} {target}: done", write.action()));
        }
    }

    /// A step of a process has ended: what it says must be so.
    pub fn reported(&mut self, process: usize, report: &Report, now: Millis) {
        if self.is_traced() {
            let holds: Vec<String> = report
                .plan
                .holds
                .iter()
                .map(|hold| format!("{}: {}", hold.what, hold.reason))
                .collect();
            let holds = holds.join("; ");
            let before = self.processes[process]
                .holds
                .insert(report.binding.arn.clone(), holds.clone());
            if before.is_none_or(|before| before != holds) {
                self.remark(
                    now,
                    format_args!("{process} {} leaves alone: {holds}", report.binding.arn.name()),
                );
            }
        }
        let Some(group) = self.groups.iter().find(|group| group.arn == report.binding.arn) else {
            return;
        };
        let seen = &self.processes[process].seen;
        if !report.is_settled() {
            return;
        }
        let Some((listed, listing)) = seen.listings.get(&group.arn) else {
            return self.break_rule(now, format_args!("S8: settled, and the group was not seen"));
        };
        let mut compared = 0;
        for number in &group.follows {
            let name = self.databases[*number].endpoint.clone();
            let Some(look) = seen.looks.get(number) else {
                return self.break_rule(now, format_args!("S8: settled, and {name} was not looked at"));
            };
            // What is decided on is what was known when the group had answered.
            if look.at >= *listed || look.is_doubtful {
                continue;
            }
            compared += 1;
            if look.addresses.is_empty() {
                return self.break_rule(now, format_args!("S8: settled, and {name} is blind"));
            }
            let is_registered = |ip: &IpAddr| {
                listing
                    .get(&target(*ip))
                    .is_some_and(|listed| listed.state.is_registered())
            };
            let named = look.addresses.iter();
            if let Some(ip) = named
                .copied()
                .find(|ip| !is_registered(ip) && !self.policy.keeps(target(*ip)))
            {
                return self.break_rule(now, format_args!("S8: settled, and {ip} of {name} is not registered"));
            }
        }
        self.counts.settled += compared;
    }

    /// Why a group is not what DNS says, if it is not.
    pub fn unrest(&self, now: Millis) -> Option<String> {
        for group in &self.groups {
            let wanted: BTreeSet<Target> = group
                .follows
                .iter()
                .flat_map(|number| self.databases[*number].at(now))
                .map(|ip| target(*ip))
                .collect();
            if let Some(missing) = wanted
                .iter()
                .find(|target| self.may(target.ip) && !self.policy.keeps(**target) && !group.has(target))
            {
                return Some(format!("{missing} is not registered"));
            }
            let is_blocked = group.follows.iter().any(|number| {
                let mut all = self.databases[*number].at(now).iter();
                all.all(|ip| !self.may(*ip) || !group.has(&target(*ip)))
            });
            let stays = |target: &Target| {
                wanted.contains(target) || self.policy.keeps(*target) || self.policy.upsert_only || is_blocked
            };
            if let Some(surplus) = group.registered().find(|target| !stays(target)) {
                return Some(format!("{surplus} is still registered"));
            }
        }
        None
    }

    /// How long a group may take to become what DNS says once nothing fails any more.
    pub fn calm_max(&self) -> Duration {
        let readers = self.groups.iter().any(|group| {
            group
                .follows
                .iter()
                .any(|number| self.databases[*number].kind == Kind::Readers)
        });
        let role = if readers { Role::Reader } else { Role::Writer };
        let forget = self.policy.forget(role);
        // Targets that somebody brings back are forgotten later each time, to an hour.
        let contested = if self.counts.meddlings > 0 {
            Duration::from_secs(3600)
        } else {
            forget
        };
        // A reader that is named by chance has to be missing from many answers.
        let answers = if readers {
            Duration::from_secs(14 * 2 * u64::from(ADDRESSES) * 7)
        } else {
            Duration::ZERO
        };
        // A gap restarts the clocks, and a cache may hold a failure.
        contested.max(forget).max(answers) + self.policy.patience(role) + Duration::from_secs(300)
    }
}
