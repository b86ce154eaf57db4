//! A region and its name server in virtual time, and the followers in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rds_tether::aws::arn::Arn;
use rds_tether::aws::bucket::{Bucket, Turn};
use rds_tether::aws::elb::{Error, Group, TargetGroups, Write, Written};
use rds_tether::aws::failure::{Failure as CallFailure, Kind};
use rds_tether::clock::Clock;
use rds_tether::dns::watch::Watchers;
use rds_tether::dns::{Look, Names};
use rds_tether::follow::binding::Binding;
use rds_tether::follow::report::Report;
use rds_tether::follow::{Follower, introduce};
use rds_tether::lead::crew::Crews;
use rds_tether::planner::answer::{Failure, Quorum, Said};
use rds_tether::planner::policy::Policy;
use rds_tether::planner::target::{Family, Listed, State, Target, Zone};
use testkit::elb::{self, Model, TargetDescription};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub const OLD: &str = "10.0.1.5";
pub const NEW: &str = "10.0.2.7";
pub const NEWER: &str = "10.0.3.9";

/// How long a call takes that is answered.
const LATENCY: Duration = Duration::from_millis(20);
/// How long a call takes that is not: as the SDK is set.
const TIMED_OUT: Duration = Duration::from_secs(5);
/// How long the name server takes.
const DNS_LATENCY: Duration = Duration::from_millis(5);

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails like this.
    Fails(Kind),
    /// Nobody answers.
    Hangs,
    /// It takes this long.
    Slow(Duration),
    /// It is done, but nobody learns so.
    LostReply,
}

/// A call that was made.
struct Call {
    /// When it was sent, since the start.
    at: Duration,
    action: &'static str,
    arn: Arn,
    /// The addresses of a write.
    ips: BTreeSet<IpAddr>,
    is_ok: bool,
}

/// The target groups, names and followers of a test. Cheap to clone.
#[derive(Clone)]
pub struct Region(Arc<Inner>);

struct Inner {
    start: Instant,
    clock: Clock,
    bucket: Arc<Bucket>,
    state: Mutex<Stage>,
}

#[derive(Default)]
struct Stage {
    model: Model,
    faults: BTreeMap<(Option<Arn>, &'static str), Fault>,
    calls: Vec<Call>,
    names: BTreeMap<String, Name>,
    reports: BTreeMap<Arn, Report>,
}

/// What a caching resolver says of a name.
struct Name {
    truth: Result<(BTreeSet<IpAddr>, Duration), Failure>,
    cached: Option<(BTreeSet<IpAddr>, Instant)>,
    /// When it was looked up, since the start.
    looks: Vec<Duration>,
}

impl Region {
    /// A region without anything. Seeds the luck of the followers, so that a story is the same each time.
    pub fn new() -> Self {
        fastrand::seed(7);
        Self(Arc::new(Inner {
            start: Instant::now(),
            clock: Clock::start(),
            bucket: Bucket::start(),
            state: Mutex::default(),
        }))
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.state.lock().expect("nobody panicked")
    }

    /// What tells the time here.
    pub fn clock(&self) -> Clock {
        self.0.clock
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// A group without targets.
    pub fn add_group(&self, name: &str) -> Arn {
        let arn = self.stage().model.add_group(elb::Group::named(name));
        arn.parse().expect("an ARN")
    }

    /// Puts a healthy target there.
    pub fn put_target(&self, arn: &Arn, ip: &str) {
        let now = self.elapsed();
        self.stage().model.put_target(arn.as_str(), ip, 5432, now);
    }

    /// What DNS says of a name from now on: an address with this TTL in seconds.
    pub fn name(&self, host: &str, ip: &str, ttl_secs: u64) {
        let truth = Ok((BTreeSet::from([ip.parse().expect("ip")]), Duration::from_secs(ttl_secs)));
        self.set(host, truth);
    }

    /// From now on the name server fails for a name, once what it remembers has expired.
    pub fn fail_name(&self, host: &str, failure: Failure) {
        self.set(host, Err(failure));
    }

    fn set(&self, host: &str, truth: Result<(BTreeSet<IpAddr>, Duration), Failure>) {
        let mut stage = self.stage();
        match stage.names.get_mut(host) {
            Some(name) => name.truth = truth,
            None => {
                let name = Name {
                    truth,
                    cached: None,
                    looks: Vec::new(),
                };
                stage.names.insert(host.to_owned(), name);
            }
        }
    }

    /// What is true of a name: its addresses and their TTL, or how asking for it fails.
    pub fn truth(&self, host: &str) -> Result<(BTreeSet<IpAddr>, Duration), Failure> {
        self.stage().names[host].truth.clone()
    }

    /// What DNS says of a name from now on: one of these addresses in each answer, or all of them.
    pub fn name_all(&self, host: &str, ips: &[&str], ttl_secs: u64) {
        let ips = ips.iter().map(|ip| ip.parse().expect("ip")).collect();
        self.set(host, Ok((ips, Duration::from_secs(ttl_secs))));
    }

    /// The addresses that were deregistered, and when.
    pub fn removals(&self, arn: &Arn) -> Vec<(Duration, BTreeSet<IpAddr>)> {
        let stage = self.stage();
        let is_one = |call: &&Call| call.is_ok && call.action == "DeregisterTargets" && call.arn == *arn;
        let removals = stage.calls.iter().filter(is_one);
        removals.map(|call| (call.at, call.ips.clone())).collect()
    }

    /// The addresses that are registered.
    pub fn registered(&self, arn: &Arn) -> BTreeSet<IpAddr> {
        let now = self.elapsed();
        let targets = self.stage().model.targets(arn.as_str(), now).into_iter();
        let registered = targets.filter(|target| target.state != "draining");
        registered
            .map(|target| target.ip.parse().expect("an address"))
            .collect()
    }

    /// Takes a target away as somebody else would; it drains.
    pub fn drain_target(&self, arn: &Arn, ip: &str) {
        let now = self.elapsed();
        let target = [TargetDescription::new(ip, 5432)];
        (self.stage().model.deregister(arn.as_str(), &target, now)).expect("not refused");
    }

    /// When a name was looked up, since the start.
    pub fn looks_at_name(&self, host: &str) -> Vec<Duration> {
        self.stage().names[host].looks.clone()
    }

    /// What happens to all calls of an action from now on, or to those about one group.
    pub fn fault(&self, arn: Option<&Arn>, action: &'static str, fault: Fault) {
        self.stage().faults.insert((arn.cloned(), action), fault);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.stage().faults.clear();
    }

    /// How many calls there have been.
    pub fn count_calls(&self) -> usize {
        self.stage().calls.len()
    }

    /// When calls of this action about this group were sent.
    pub fn times(&self, arn: &Arn, action: &str) -> Vec<Duration> {
        let stage = self.stage();
        let wanted = stage
            .calls
            .iter()
            .filter(|call| call.action == action && call.arn == *arn);
        wanted.map(|call| call.at).collect()
    }

    /// When ELB accepted the address.
    pub fn registered_at(&self, arn: &Arn, ip: &str) -> Option<Duration> {
        self.written_at(arn, "RegisterTargets", ip)
    }

    /// When ELB accepted that the address goes.
    pub fn deregistered_at(&self, arn: &Arn, ip: &str) -> Option<Duration> {
        self.written_at(arn, "DeregisterTargets", ip)
    }

    fn written_at(&self, arn: &Arn, action: &str, ip: &str) -> Option<Duration> {
        let ip: IpAddr = ip.parse().expect("ip");
        let stage = self.stage();
        let is_it = |call: &&Call| call.is_ok && call.action == action && call.arn == *arn && call.ips.contains(&ip);
        stage.calls.iter().find(is_it).map(|call| call.at)
    }

    /// The latest report about a group.
    pub fn report(&self, arn: &Arn) -> Option<Report> {
        self.stage().reports.get(arn).cloned()
    }

    /// Lets time pass.
    pub async fn pass(&self, secs: u64) {
        sleep(Duration::from_secs(secs)).await;
    }

    /// Watchers that look at least every `interval` through these name servers.
    pub fn watchers(&self, names: impl Names, interval: Duration) -> Watchers {
        Watchers::new(names, self.0.clock, interval)
    }

    /// Follows names with groups, as the daemon does: introduced together, each in a task of its own. All ends with what is
    /// returned.
    pub async fn follow(&self, bindings: &[(&Arn, &str)]) -> Following {
        self.follow_as(bindings, &Policy::default(), Duration::from_secs(5))
            .await
    }

    /// The same with a policy and an interval.
    pub async fn follow_as(&self, bindings: &[(&Arn, &str)], policy: &Policy, interval: Duration) -> Following {
        self.follow_through(self.clone(), bindings, policy, interval).await
    }

    /// The same through name servers of one's own.
    pub async fn follow_through(
        &self,
        names: impl Names,
        bindings: &[(&Arn, &str)],
        policy: &Policy,
        interval: Duration,
    ) -> Following {
        let crews = Arc::new(Crews::new(Arc::new(self.watchers(names, interval)), self.0.clock));
        let mut followers = Vec::new();
        for (arn, host) in bindings {
            let binding = Binding {
                arn: Arn::clone(arn),
                endpoints: BTreeSet::from([format!("{host}:5432").parse().expect("an endpoint")]),
                policy: policy.clone(),
                observe: false,
                assume_role: None,
                trust: None,
                lead: None,
            };
            followers.push(Follower::new(
                Arc::new(binding),
                self.clone(),
                Arc::clone(&crews),
                self.0.clock,
            ));
        }
        for chunk in followers.chunks_mut(20) {
            introduce(chunk).await;
        }
        let follow = |mut follower: Follower<Self>| {
            let region = self.clone();
            tokio::spawn(async move {
                loop {
                    let report = follower.next().await;
                    region.stage().reports.insert(report.binding.arn.clone(), report);
                }
            })
        };
        Following(followers.into_iter().map(follow).collect())
    }

    /// Makes a call: notes it, lets it take its time, and lets happen to it what is to happen.
    async fn call<T>(
        &self,
        action: &'static str,
        arn: &Arn,
        ips: BTreeSet<IpAddr>,
        done: impl FnOnce(&mut Model, Duration) -> Result<T, elb::Refusal>,
    ) -> Result<T, Error> {
        let index = {
            let call = Call {
                at: self.elapsed(),
                action,
                arn: arn.clone(),
                ips,
                is_ok: false,
            };
            let mut stage = self.stage();
            stage.calls.push(call);
            stage.calls.len() - 1
        };
        let error = |kind, code: &str| Error {
            group: arn.clone(),
            failure: CallFailure::here(action, kind, code, "as the story has it"),
        };
        let fault = {
            let faults = &self.stage().faults;
            let of_group = faults.get(&(Some(arn.clone()), action));
            of_group.or_else(|| faults.get(&(None, action))).copied()
        };
        match fault {
            Some(Fault::Hangs) => {
                sleep(TIMED_OUT).await;
                return Err(error(Kind::Unavailable, "Timeout"));
            }
            Some(Fault::Slow(took)) => sleep(took).await,
            Some(Fault::Fails(kind)) => {
                sleep(LATENCY).await;
                if kind == Kind::Throttled {
                    self.0.bucket.throttled();
                }
                return Err(error(kind, kind.word()));
            }
            Some(Fault::LostReply) | None => sleep(LATENCY).await,
        }
        let now = self.elapsed();
        let mut stage = self.stage();
        let ended = done(&mut stage.model, now).map_err(|refusal| {
            let kind = if refusal.code == "InvalidTarget" {
                Kind::Address
            } else {
                Kind::NotFound
            };
            error(kind, &refusal.code)
        })?;
        if fault == Some(Fault::LostReply) {
            return Err(error(Kind::Unavailable, "Unreachable"));
        }
        stage.calls[index].is_ok = true;
        Ok(ended)
    }
}

impl TargetGroups for Region {
    fn bucket(&self) -> &Arc<Bucket> {
        &self.0.bucket
    }

    async fn groups(&self, arns: &[Arn], _turn: Turn) -> Result<BTreeMap<Arn, Result<Group, Error>>, Error> {
        let Some(first) = arns.first() else {
            return Ok(BTreeMap::new());
        };
        let names: Vec<String> = arns.iter().map(Arn::to_string).collect();
        // A call about many fails as a whole for any of them.
        let failing = (arns.iter())
            .find(|arn| {
                self.stage()
                    .faults
                    .contains_key(&(Some(Arn::clone(arn)), "DescribeTargetGroups"))
            })
            .unwrap_or(first);
        let described = self.call("DescribeTargetGroups", failing, BTreeSet::new(), |model, _| {
            model.describe_target_groups(&names, None, None).map(|_| ())
        });
        described.await?;
        let group = |arn: &Arn| Group {
            arn: arn.clone(),
            family: Family::Ipv4,
            protocol: "TCP".into(),
            port: 5432,
            check_port: "traffic-port".into(),
            vpc: "vpc-1".into(),
        };
        Ok(arns.iter().map(|arn| (arn.clone(), Ok(group(arn)))).collect())
    }

    async fn targets(&self, group: &Group, _turn: Turn) -> Result<BTreeMap<Target, Listed>, Error> {
        let arn = &group.arn;
        let views = self.call("DescribeTargetHealth", arn, BTreeSet::new(), |model, now| {
            model.describe_target_health(arn.as_str(), &[], now)
        });
        let read = |view: elb::TargetView| {
            let target = Target {
                ip: view.ip.parse().expect("an address"),
                port: view.port,
            };
            let listed = Listed {
                zone: view.zone,
                state: State::parse(&view.state, view.reason.as_deref()),
                reason: view.reason,
                description: view.description,
            };
            (target, listed)
        };
        Ok(views.await?.into_iter().map(read).collect())
    }

    async fn write(&self, write: Write, arn: &Arn, targets: &BTreeMap<Target, Zone>, _turn: Turn) -> Written {
        let described: Vec<TargetDescription> = targets
            .iter()
            .map(|(target, zone)| TargetDescription {
                id: target.ip.to_string(),
                port: Some(target.port),
                zone: zone.clone(),
            })
            .collect();
        let ips = targets.keys().map(|target| target.ip).collect();
        let all = targets.keys().copied().collect();
        let done = |model: &mut Model, now| match write {
            Write::Register => model.register(arn.as_str(), &described, now),
            Write::Deregister => model.deregister(arn.as_str(), &described, now),
        };
        match self.call(write.action(), arn, ips, done).await {
            Ok(()) => Written {
                done: all,
                failed: Vec::new(),
            },
            Err(error) => Written {
                done: BTreeSet::new(),
                failed: vec![(all, error)],
            },
        }
    }
}

impl Names for Region {
    fn servers(&self) -> Vec<SocketAddr> {
        vec!["10.0.0.2:53".parse().expect("an address")]
    }

    fn quorum(&self) -> Quorum {
        Quorum::Any
    }

    fn look<'a>(&'a self, host: &'a str, _family: Family) -> Pin<Box<dyn Future<Output = Look> + Send + 'a>> {
        Box::pin(async move {
            sleep(DNS_LATENCY).await;
            let (elapsed, now) = (self.elapsed(), Instant::now());
            let said = match self.stage().names.get_mut(host) {
                Some(name) => {
                    name.looks.push(elapsed);
                    name.said(now)
                }
                None => Err(Failure::NxDomain),
            };
            vec![(self.servers()[0], said)]
        })
    }
}

impl Name {
    fn said(&mut self, now: Instant) -> Result<Said, Failure> {
        if !matches!(&self.cached, Some((_, expires)) if now < *expires) {
            let (addresses, ttl) = self.truth.clone()?;
            self.cached = Some((addresses, now + ttl));
        }
        let (addresses, expires) = self.cached.as_ref().expect("just remembered");
        // A resolver tells whole seconds, and at least one as long as the answer holds.
        let left = expires.duration_since(now).as_secs_f64().ceil();
        Ok(Said::new(addresses.clone(), Duration::from_secs(left as u64)))
    }
}

/// Followers, as long as this lives.
pub struct Following(Vec<JoinHandle<()>>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
