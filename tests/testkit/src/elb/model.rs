//! What happens to the targets of a target group, as a function of the calls made and of the time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::balancer::Surroundings;
use super::group::Group;
use super::refusal::Refusal;
use super::tags::Tags;
use super::target::{TargetDescription, TargetView};

/// All target groups of an account; pure and deterministic.
///
/// Every `now` is the time since the model's start and must not go backwards between calls. The methods in
/// the style of the API return a [`Refusal`]; those with which a test arranges its world panic when they are
/// given an ARN that does not exist.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub(super) groups: BTreeMap<String, Members>,
    dead: BTreeSet<String>,
    /// How many target groups a page has, if fewer than its caller asks for.
    pub page_max: Option<usize>,
    /// How many entries a page of EC2's lists has, if not all.
    pub ec2_page: Option<usize>,
}

/// A target is identified by Id and port; the zone is not part of it.
type Key = (String, u16);

#[derive(Clone, Debug)]
pub(super) struct Members {
    pub(super) group: Group,
    pub(super) tags: Tags,
    targets: BTreeMap<Key, Target>,
    overrides: BTreeMap<Key, (String, Option<String>)>,
    lowest: Option<usize>,
}

#[derive(Clone, Debug)]
struct Target {
    zone: Option<String>,
    registered_at: Duration,
    ready_at: Duration,
    draining_since: Option<Duration>,
}

/// The calls of the API.
impl Model {
    /// RegisterTargets: all of `targets`, or none of them if one is refused.
    pub fn register(&mut self, arn: &str, targets: &[TargetDescription], now: Duration) -> Result<(), Refusal> {
        let members = self.members_mut(arn)?;
        members.forget_drained(now);
        members.check_batch(targets)?;
        let mut wanted = BTreeMap::new();
        for target in targets {
            wanted.insert(members.key(target), members.group.admit(target)?);
        }
        members.check_room(&wanted)?;
        let ready_at = now + members.group.registration_delay;
        for (key, zone) in wanted {
            if members.is_registered(&key) {
                continue;
            }
            let target = Target {
                zone,
                registered_at: now,
                ready_at,
                draining_since: None,
            };
            members.targets.insert(key, target);
        }
        members.note_registered();
        Ok(())
    }

    /// DeregisterTargets: a target that is not registered under exactly this Id and port is passed over in
    /// silence, one that drains already keeps its clock.
    pub fn deregister(&mut self, arn: &str, targets: &[TargetDescription], now: Duration) -> Result<(), Refusal> {
        let members = self.members_mut(arn)?;
        members.forget_drained(now);
        members.check_batch(targets)?;
        for target in targets {
            let key = members.key(target);
            if let Some(target) = members.targets.get_mut(&key) {
                target.draining_since.get_or_insert(now);
            }
        }
        members.note_registered();
        Ok(())
    }

    /// DescribeTargetHealth: the targets named, or all if none is.
    pub fn describe_target_health(
        &self,
        arn: &str,
        named: &[TargetDescription],
        now: Duration,
    ) -> Result<Vec<TargetView>, Refusal> {
        let members = self.members(arn)?;
        if named.is_empty() {
            return Ok(members
                .listed(now)
                .map(|(key, target)| self.view(members, key, target, now))
                .collect());
        }
        let view = |description| {
            let key = members.key(description);
            match members.targets.get(&key).filter(|target| !members.is_gone(target, now)) {
                Some(target) => self.view(members, &key, target, now),
                None => members.not_registered(key),
            }
        };
        Ok(named.iter().map(view).collect())
    }

    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        let groups = self.groups.iter().map(|(arn, members)| (arn.as_str(), &members.group));
        Surroundings(groups.collect())
    }

    pub(super) fn members(&self, arn: &str) -> Result<&Members, Refusal> {
        self.groups.get(arn).ok_or_else(|| Refusal::group_not_found(arn))
    }

    pub(super) fn members_mut(&mut self, arn: &str) -> Result<&mut Members, Refusal> {
        self.groups.get_mut(arn).ok_or_else(|| Refusal::group_not_found(arn))
    }
}

/// How a test arranges its world.
impl Model {
    /// Adds a group without targets and returns its ARN.
    pub fn add_group(&mut self, group: Group) -> String {
        let arn = group.arn();
        let members = Members {
            group,
            tags: Tags::new(),
            targets: BTreeMap::new(),
            overrides: BTreeMap::new(),
            lowest: None,
        };
        assert!(
            self.groups.insert(arn.clone(), members).is_none(),
            "there already is a target group {arn}"
        );
        arn
    }

    /// Deletes a group with all its targets.
    pub fn remove_group(&mut self, arn: &str) {
        self.existing(arn);
        self.groups.remove(arn);
    }

    /// The group, to be changed under the feet of the program under test.
    pub fn group_mut(&mut self, arn: &str) -> &mut Group {
        &mut self.existing(arn).group
    }

    /// Puts a target into the group as if somebody had registered it long ago: past its health checks, and
    /// without any check of the address.
    pub fn put_target(&mut self, arn: &str, id: &str, port: u16, now: Duration) {
        let members = self.existing(arn);
        let address = id.parse().ok();
        let zone = address.map(|address| members.group.zone_of(address).unwrap_or("all").to_owned());
        let target = Target {
            zone,
            registered_at: now,
            ready_at: now,
            draining_since: None,
        };
        members.targets.insert((canonical(id), port), target);
        members.note_registered();
    }

    /// Takes a target out of the group at once, without draining.
    pub fn remove_target(&mut self, arn: &str, id: &str, port: u16) {
        let members = self.existing(arn);
        members.targets.remove(&(canonical(id), port));
        members.note_registered();
    }

    /// Overrides the state of a registered target, now or whenever it will be registered; the state may be
    /// one that AWS has yet to invent.
    pub fn set_health<'a>(&mut self, arn: &str, id: &str, port: u16, state: &str, reason: impl Into<Option<&'a str>>) {
        let health = (state.to_owned(), reason.into().map(str::to_owned));
        self.existing(arn).overrides.insert((canonical(id), port), health);
    }

    /// Takes the override of [`Model::set_health`] back.
    pub fn clear_health(&mut self, arn: &str, id: &str, port: u16) {
        self.existing(arn).overrides.remove(&(canonical(id), port));
    }

    /// Lets the health checks of an address fail, in all groups and at once.
    pub fn mark_dead(&mut self, id: &str) {
        self.dead.insert(canonical(id));
    }

    /// Lets the health checks of an address succeed again.
    pub fn mark_alive(&mut self, id: &str) {
        self.dead.remove(&canonical(id));
    }

    /// Starts [`Model::lowest_registered`] afresh, at the number of targets registered now.
    pub fn watch_lowest(&mut self, arn: &str) {
        let members = self.existing(arn);
        members.lowest = Some(members.registered());
    }

    pub(super) fn existing(&mut self, arn: &str) -> &mut Members {
        self.groups
            .get_mut(arn)
            .unwrap_or_else(|| panic!("there is no target group {arn}"))
    }
}

/// What a test may look at.
impl Model {
    /// The ARNs of all groups.
    pub fn arns(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// The group, if it exists.
    pub fn group(&self, arn: &str) -> Option<&Group> {
        self.groups.get(arn).map(|members| &members.group)
    }

    /// All targets that are listed, draining ones included; none if there is no such group.
    pub fn targets(&self, arn: &str, now: Duration) -> Vec<TargetView> {
        self.describe_target_health(arn, &[], now).unwrap_or_default()
    }

    /// How many targets are registered, whatever their health; draining ones are not.
    pub fn registered(&self, arn: &str) -> usize {
        self.groups.get(arn).map_or(0, Members::registered)
    }

    /// The lowest number of registered targets since [`Model::watch_lowest`] was called or, without that, since
    /// the group had its first target; 0 if it never had one.
    pub fn lowest_registered(&self, arn: &str) -> usize {
        self.groups.get(arn).and_then(|members| members.lowest).unwrap_or(0)
    }

    /// When the passing of time alone will next change what [`Model::targets`] shows.
    pub fn next_change(&self, now: Duration) -> Option<Duration> {
        let times = self.groups.values().flat_map(|members| {
            let times = |target: &Target| match members.gone_at(target) {
                Some(gone_at) => [gone_at; 2],
                None => [target.checks_start(), target.ready_at],
            };
            members.targets.values().flat_map(times)
        });
        times.filter(|time| *time > now).min()
    }

    fn view(&self, members: &Members, key: &Key, target: &Target, now: Duration) -> TargetView {
        let (id, port) = key;
        let (state, reason) = match members.overrides.get(key) {
            Some((state, reason)) if target.draining_since.is_none() => (state.as_str(), reason.as_deref()),
            _ => self.health(members, id, target, now),
        };
        TargetView {
            ip: id.clone(),
            port: *port,
            zone: target.zone.clone(),
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            description: reason
                .and_then(|reason| describe(reason, &members.group))
                .map(str::to_owned),
        }
    }

    fn health(&self, members: &Members, id: &str, target: &Target, now: Duration) -> (&str, Option<&str>) {
        if target.draining_since.is_some() {
            return ("draining", Some("Target.DeregistrationInProgress"));
        }
        if !members.group.in_use || !members.in_enabled_zone(target) {
            return ("unused", Some("Target.NotInUse"));
        }
        if now < target.checks_start() {
            return ("initial", Some("Elb.RegistrationInProgress"));
        }
        if now < target.ready_at {
            return ("initial", Some("Elb.InitialHealthChecking"));
        }
        if self.dead.contains(id) || !members.group.admits_balancer {
            return ("unhealthy", Some("Target.FailedHealthChecks"));
        }
        ("healthy", None)
    }
}

impl Members {
    fn key(&self, target: &TargetDescription) -> Key {
        (canonical(&target.id), target.port.unwrap_or(self.group.port))
    }

    fn check_batch(&self, targets: &[TargetDescription]) -> Result<(), Refusal> {
        let max = self.group.max_batch;
        match targets.len() {
            0 => Err(Refusal::validation("A list of targets must be specified")),
            count if count > max => Err(Refusal::validation(format!(
                "{count} targets were specified; a call may name at most {max}"
            ))),
            _ => Ok(()),
        }
    }

    fn check_room(&self, wanted: &BTreeMap<Key, Option<String>>) -> Result<(), Refusal> {
        let new = wanted.keys().filter(|key| !self.is_registered(key)).count();
        if new > 0 && self.registered() + new > self.group.max_targets {
            return Err(Refusal::new(
                400,
                "TooManyTargets",
                "You've reached the limit on the number of targets",
            ));
        }
        Ok(())
    }

    fn is_registered(&self, key: &Key) -> bool {
        self.targets
            .get(key)
            .is_some_and(|target| target.draining_since.is_none())
    }

    fn registered(&self) -> usize {
        self.targets
            .values()
            .filter(|target| target.draining_since.is_none())
            .count()
    }

    fn in_enabled_zone(&self, target: &Target) -> bool {
        target
            .zone
            .as_ref()
            .is_none_or(|zone| zone == "all" || self.group.enabled_zones.contains(zone))
    }

    fn listed(&self, now: Duration) -> impl Iterator<Item = (&Key, &Target)> {
        self.targets
            .iter()
            .filter(move |(_, target)| !self.is_gone(target, now))
    }

    fn gone_at(&self, target: &Target) -> Option<Duration> {
        target
            .draining_since
            .map(|since| since + self.group.deregistration_delay)
    }

    fn is_gone(&self, target: &Target, now: Duration) -> bool {
        self.gone_at(target).is_some_and(|gone_at| gone_at <= now)
    }

    fn forget_drained(&mut self, now: Duration) {
        let delay = self.group.deregistration_delay;
        self.targets
            .retain(|_, target| target.draining_since.is_none_or(|since| since + delay > now));
    }

    fn not_registered(&self, (id, port): Key) -> TargetView {
        let reason = "Target.NotRegistered";
        TargetView {
            ip: id,
            port,
            zone: None,
            state: "unused".to_owned(),
            reason: Some(reason.to_owned()),
            description: describe(reason, &self.group).map(str::to_owned),
        }
    }

    fn note_registered(&mut self) {
        let registered = self.registered();
        self.lowest = match self.lowest {
            Some(lowest) => Some(lowest.min(registered)),
            None => (registered > 0).then_some(registered),
        };
    }
}

impl Target {
    /// When the registration itself is over and the first health checks begin: half way to the verdict.
    fn checks_start(&self) -> Duration {
        self.registered_at + (self.ready_at - self.registered_at) / 2
    }
}

/// An IPv6 address has many spellings, and all of them are the same target.
fn canonical(id: &str) -> String {
    id.parse::<IpAddr>()
        .map_or_else(|_| id.to_owned(), |address| address.to_string())
}

/// The reason in words, after the table of reason codes in the Network Load Balancers guide, "Target health
/// status".
fn describe(reason: &str, group: &Group) -> Option<&'static str> {
    Some(match reason {
        "Elb.RegistrationInProgress" => "Target registration is in progress",
        "Elb.InitialHealthChecking" => "Initial health checks in progress",
        "Target.FailedHealthChecks" => "Health checks failed",
        "Target.NotRegistered" => "Target is not registered to the target group",
        "Target.NotInUse" if group.in_use => {
            "Target is in an Availability Zone that is not enabled for the load balancer"
        }
        "Target.NotInUse" => "Target group is not configured to receive traffic from the load balancer",
        "Target.DeregistrationInProgress" => "Target deregistration is in progress",
        "Target.InvalidState" => "Target is in an invalid state",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elb::TargetType;

    const SECOND: Duration = Duration::from_secs(1);

    fn states(model: &Model, arn: &str, now: Duration) -> Vec<String> {
        let line = |target: TargetView| format!("{}:{} {}", target.ip, target.port, target.state);
        model.targets(arn, now).into_iter().map(line).collect()
    }

    #[test]
    fn a_target_lives_through_its_states_at_the_times_that_next_change_names() {
        let mut model = Model::default();
        let arn = model.add_group(Group::named("orders").registration_delay(SECOND * 240));
        let old = [TargetDescription::new("10.0.1.5", 5432)];
        let mut now = SECOND * 100;
        assert_eq!(model.next_change(now), None);
        model.register(&arn, &old, now).expect("not refused");

        let reason = |model: &Model, now| model.targets(&arn, now).pop().and_then(|target| target.reason);
        assert_eq!(reason(&model, now).as_deref(), Some("Elb.RegistrationInProgress"));
        now = model.next_change(now).expect("a change is due");
        assert_eq!(
            (now, reason(&model, now).as_deref()),
            (SECOND * 220, Some("Elb.InitialHealthChecking"))
        );
        now = model.next_change(now).expect("a change is due");
        assert_eq!(
            (now, states(&model, &arn, now)),
            (SECOND * 340, vec!["10.0.1.5:5432 healthy".to_owned()])
        );
        assert_eq!(model.next_change(now), None);

        model.deregister(&arn, &old, now).expect("not refused");
        model.deregister(&arn, &old, now + SECOND * 299).expect("not refused");
        assert_eq!(states(&model, &arn, now + SECOND * 299), ["10.0.1.5:5432 draining"]);
        now = model.next_change(now + SECOND * 299).expect("a change is due");
        assert_eq!(now, SECOND * 640, "deregistering again does not restart the clock");
        assert_eq!(states(&model, &arn, now), [""; 0]);
        assert_eq!(model.next_change(now), None);
    }

    #[test]
    fn registering_what_is_registered_restarts_nothing() {
        let mut model = Model::default();
        let arn = model.add_group(Group::named("orders"));
        let target = [TargetDescription::new("10.0.1.5", 5432)];
        model.put_target(&arn, "10.0.1.5", 5432, Duration::ZERO);
        model.register(&arn, &target, SECOND).expect("not refused");
        assert_eq!(states(&model, &arn, SECOND), ["10.0.1.5:5432 healthy"]);
    }

    #[test]
    fn a_year_of_hourly_swaps_never_empties_the_group_and_leaves_no_residue() {
        let mut model = Model::default();
        let arn = model.add_group(Group::named("orders"));
        let writer = |hour: u32| [TargetDescription::new(&format!("10.0.{}.5", 1 + hour % 3), 5432)];
        model.put_target(&arn, "10.0.1.5", 5432, Duration::ZERO);
        for hour in 1..=24 * 365 {
            let now = SECOND * 3600 * hour;
            model.register(&arn, &writer(hour), now).expect("not refused");
            model
                .deregister(&arn, &writer(hour - 1), now + SECOND)
                .expect("not refused");
        }
        let end = SECOND * 3600 * 24 * 366;
        assert_eq!((model.lowest_registered(&arn), model.registered(&arn)), (1, 1));
        assert_eq!(states(&model, &arn, end).len(), 1);
        assert_eq!(model.next_change(end), None);
    }

    #[test]
    fn groups_of_other_types_want_other_ids() {
        let mut model = Model::default();
        let instances = model.add_group(Group::named("instances").target_type(TargetType::Instance));
        let register = |model: &mut Model, id| model.register(&instances, &[TargetDescription::new(id, 5432)], SECOND);
        let refusal = register(&mut model, "10.0.1.5").expect_err("an address is no instance");
        assert_eq!(refusal.code, "ValidationError");
        assert_eq!(register(&mut model, "i-0123456789abcdef0"), Ok(()));
        assert_eq!(model.targets(&instances, SECOND)[0].zone, None);
    }
}
