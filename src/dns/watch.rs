//! One watcher per name and family looks at DNS and publishes all it knows to whoever follows.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::clock::Clock;
use crate::counts::Looks;
use crate::dns::{Error, Names, Resolver, Settings};
use crate::planner::answer::{Blind, Failure, Said, combine};
use crate::planner::cadence::{self, Urgency};
use crate::planner::history::{Answer, Inquiry};
use crate::planner::target::Family;
use crate::planner::time::Timestamp;

/// What a watcher knows of its name.
#[derive(Clone, Debug)]
pub struct Sight {
    /// When the latest look ended.
    pub at: Timestamp,
    /// The latest answer, or why there is none.
    pub seen: Result<Answer, Blind>,
    /// What each name server said in the latest look.
    pub said: Vec<(SocketAddr, Result<Said, Failure>)>,
    /// Since when looks have failed.
    pub blind_since: Option<Timestamp>,
    /// Where the latest look gave none: the answer before, with all that has been named since.
    pub last: Option<Answer>,
}

impl Sight {
    /// Whether the name has been looked at once.
    pub fn is_looked_at(&self) -> bool {
        !matches!(self.seen, Err(Blind::NotYet))
    }

    /// The latest answer that there was.
    pub fn latest(&self) -> Option<&Answer> {
        self.seen.as_ref().ok().or(self.last.as_ref())
    }
}

/// Follows a name. Its watcher ends with the last follower.
pub struct Watch {
    sights: watch::Receiver<Arc<Sight>>,
    wishes: watch::Sender<Wishes>,
    task: JoinHandle<()>,
}

impl Watch {
    /// The sights of the name, from now on.
    pub fn sights(&self) -> watch::Receiver<Arc<Sight>> {
        self.sights.clone()
    }

    /// Asks for a look every second as long as the returned value lives.
    pub fn hurry(self: &Arc<Self>) -> Hurry {
        self.wishes.send_modify(|wishes| wishes.unsettled += 1);
        Hurry(Arc::clone(self))
    }

    /// Tells that the current address fails connections. The name is looked at now, and then as soon as each answer
    /// expires, for as long as a doubt lasts.
    pub fn doubt(&self) {
        self.wishes.send_modify(|wishes| wishes.doubted = Some(Instant::now()));
    }
}

/// Waits for another sight than was seen last by any of these. A name whose watcher has ended is not waited for.
pub async fn any_changed<'a>(sights: impl IntoIterator<Item = &'a mut watch::Receiver<Arc<Sight>>>) {
    let waits = sights.into_iter().map(|sight| Box::pin(sight.changed()));
    let mut waits: Vec<_> = waits.collect();
    poll_fn(|context| {
        let mut is_any = false;
        waits.retain_mut(|wait| match wait.as_mut().poll(context) {
            Poll::Ready(changed) => {
                is_any |= changed.is_ok();
                false
            }
            Poll::Pending => true,
        });
        if is_any { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// What followers ask of a watcher.
#[derive(Clone, Copy, Default)]
struct Wishes {
    /// Followers that are not settled.
    unsettled: usize,
    /// When the address was last doubted.
    doubted: Option<Instant>,
}

impl Wishes {
    fn is_in_doubt(&self) -> bool {
        self.doubted.is_some_and(|doubted| doubted.elapsed() < cadence::DOUBT)
    }

    fn urgency(&self) -> Urgency {
        match self.unsettled {
            _ if self.is_in_doubt() => Urgency::InDoubt,
            0 => Urgency::Calm,
            _ => Urgency::Unsettled,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A follower's wish to see changes sooner.
pub struct Hurry(Arc<Watch>);

impl Drop for Hurry {
    fn drop(&mut self) {
        self.0.wishes.send_modify(|wishes| wishes.unsettled -= 1);
    }
}

/// The watchers of a process: followers of one name share its lookups.
pub struct Watchers {
    names: Arc<dyn Names>,
    looks: Looks,
    clock: Clock,
    interval: Duration,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    watches: BTreeMap<(String, Family), Weak<Watch>>,
    /// Before this no other watcher begins.
    next_start: Option<Instant>,
}

/// Watchers begin this far apart, so that a thousand of them never look all at once, then or later.
const START_APART: Duration = Duration::from_millis(10);

impl Watchers {
    /// The watchers that the settings ask for.
    pub fn of(settings: &Settings, clock: Clock) -> Result<Self, Error> {
        let (servers, repeated) = settings.servers_and_repeated()?;
        for server in repeated {
            warn!(
                "name server {server} is named more than once: it is one, is asked once, and counts once for the quorum"
            );
        }
        let resolver = Resolver::new(&servers, settings.deadline, settings.quorum)?;
        Ok(Self::new(resolver, clock, settings.interval))
    }

    /// Watchers that look at least every `interval`.
    pub fn new(names: impl Names, clock: Clock, interval: Duration) -> Self {
        Self {
            names: Arc::new(names),
            looks: Looks::default(),
            clock,
            interval,
            running: Mutex::default(),
        }
    }

    /// The same, with their looks counted.
    #[must_use]
    pub fn counted(mut self, looks: &Looks) -> Self {
        self.looks = looks.clone();
        self
    }

    /// The name servers that are asked.
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.names.servers()
    }

    /// Follows a name, starting its watcher if it has none.
    pub fn follow(&self, host: &str, family: Family) -> Arc<Watch> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.watches.retain(|_, watch| watch.strong_count() > 0);
        let key = (host.to_owned(), family);
        if let Some(watch) = running.watches.get(&key).and_then(Weak::upgrade) {
            return watch;
        }
        let now = Instant::now();
        let start = running.next_start.map_or(now, |next| next.max(now));
        running.next_start = Some(start + START_APART);
        let watch = Arc::new(self.spawn(host, family, start));
        running.watches.insert(key, Arc::downgrade(&watch));
        watch
    }

    fn spawn(&self, host: &str, family: Family, start: Instant) -> Watch {
        let (sights, receiver) = watch::channel(Arc::new(Sight {
            at: self.clock.now(),
            seen: Err(Blind::NotYet),
            said: Vec::new(),
            blind_since: None,
            last: None,
        }));
        let (wishes, asked) = watch::channel(Wishes::default());
        let watcher = Watcher {
            sights,
            names: Arc::clone(&self.names),
            looks: self.looks.clone(),
            clock: self.clock,
            interval: self.interval,
            host: host.to_owned(),
            family,
            inquiry: Inquiry::default(),
            blind_since: None,
            failures: 0,
        };
        Watch {
            sights: receiver,
            wishes,
            task: tokio::spawn(async move {
                sleep_until(start).await;
                watcher.run(asked).await;
            }),
        }
    }
}

struct Watcher {
    sights: watch::Sender<Arc<Sight>>,
    names: Arc<dyn Names>,
    looks: Looks,
    clock: Clock,
    interval: Duration,
    host: String,
    family: Family,
    inquiry: Inquiry,
    blind_since: Option<Timestamp>,
    failures: u32,
}

impl Watcher {
    async fn run(mut self, mut wishes: watch::Receiver<Wishes>) {
        loop {
            let mut was_in_doubt = wishes.borrow().is_in_doubt();
            self.look().await;
            let (ended, ttl) = {
                let sight = self.sights.borrow();
                let answer = sight.seen.as_ref().ok();
                (sight.at, answer.map(|answer| answer.resolution.ttl))
            };
            let share = fastrand::f64();
            loop {
                let asked = *wishes.borrow_and_update();
                let urgency = asked.urgency();
                let wait = match ttl {
                    // A doubt that begins now cannot wait for the end of an answer that was given before.
                    _ if urgency == Urgency::InDoubt && !was_in_doubt => Duration::ZERO,
                    Some(ttl) => cadence::after_answer(ttl, urgency, self.interval),
                    None => cadence::after_failure(self.failures, urgency, self.interval).mul_f64(share),
                };
                was_in_doubt = asked.is_in_doubt();
                tokio::select! {
                    biased;
                    () = sleep_until(self.clock.instant(ended + wait)) => break,
                    changed = wishes.changed() => if changed.is_err() { return },
                }
            }
        }
    }

    /// Looks, and publishes what is known now. Where that is nothing because answers may be stale, only a second look is believed: a
    /// name server that serves stale answers asks for a new one meanwhile.
    async fn look(&mut self) {
        let mut looks = 0;
        let (at, said) = loop {
            let began = self.clock.now();
            let said = self.names.look(&self.host, self.family).await;
            let at = self.clock.now();
            let said = self.inquiry.weigh(&self.host, said, began, at);
            self.looks.note(&said);
            looks += 1;
            let failures = || said.iter().filter_map(|(_, said)| said.as_ref().err());
            let is_blind = combine(&said, self.names.quorum()).is_err();
            let pause = cadence::until_proven(failures()).filter(|_| looks < 2 && is_blind);
            let Some(pause) = pause else { break (at, said) };
            self.overhear(&said, at);
            sleep(pause).await;
        };
        let seen = self.inquiry.hear(&self.host, &said, self.names.quorum(), at);
        if seen.is_ok() {
            self.failures = 0;
            self.blind_since = None;
        } else {
            self.failures = self.failures.saturating_add(1);
            self.blind_since.get_or_insert(at);
        }
        let last = self.inquiry.latest().filter(|_| seen.is_err()).cloned();
        self.sights.send_replace(Arc::new(Sight {
            at,
            seen,
            said,
            blind_since: self.blind_since,
            last,
        }));
    }

    /// Publishes what a look has named that proves nothing yet: it is no answer, and yet no target that it names may go.
    fn overhear(&mut self, said: &[(SocketAddr, Result<Said, Failure>)], at: Timestamp) {
        self.inquiry.overhear(&self.host, said, self.names.quorum(), at);
        let Some(latest) = self.inquiry.latest() else { return };
        self.sights.send_if_modified(|sight| {
            let is_news = sight.seen.as_ref().is_ok_and(|answer| answer != latest);
            if is_news {
                *sight = Arc::new(Sight {
                    seen: Ok(latest.clone()),
                    ..Sight::clone(sight)
                });
            }
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};
    use std::net::IpAddr;
    use std::pin::Pin;

    use super::*;
    use crate::dns::Look;
    use crate::planner::answer::Quorum;

    /// Three name servers, of which two have to agree, and what they say in each look; the last is said again and again.
    struct Script(Mutex<VecDeque<[Result<Said, Failure>; 3]>>);

    impl Names for Script {
        fn servers(&self) -> Vec<SocketAddr> {
            (2..5).map(|n| SocketAddr::from(([10, 9, 0, n], 53))).collect()
        }

        fn quorum(&self) -> Quorum {
            Quorum::Majority
        }

        fn look<'a>(&'a self, _: &'a str, _: Family) -> Pin<Box<dyn Future<Output = Look> + Send + 'a>> {
            let mut script = self.0.lock().expect("nobody panics");
            let said = script.pop_front().expect("there is one");
            if script.is_empty() {
                script.push_back(said.clone());
            }
            Box::pin(async { self.servers().into_iter().zip(said).collect() })
        }
    }

    /// While a second look is to prove what the first one left open, what that has named is known (the simulation, seed 1027204: a
    /// database had failed back, and its address was removed although one of three name servers had given it).
    #[tokio::test(start_paused = true)]
    async fn what_a_look_names_that_proves_nothing_is_published_at_once() {
        let (old, new) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let says = |ip: IpAddr| Ok(Said::new(BTreeSet::from([ip]), Duration::from_secs(5)));
        let stale = || says(old).map(|said| Said { stale: Some(3), ..said });
        let looks = [
            [says(old), says(old), says(old)],
            [says(old), says(new), stale()],
            [says(new), says(new), stale()],
        ];
        let clock = Clock::start();
        let script = Script(Mutex::new(looks.into_iter().collect()));
        let watchers = Watchers::new(script, clock, Duration::from_secs(5));
        let watch = watchers.follow("orders.abc123.eu-west-1.rds.amazonaws.com", Family::Ipv4);
        let mut sights = watch.sights();
        let mut seen = Vec::new();
        for _ in 0..3 {
            sights.changed().await.expect("it watches");
            let sight = Arc::clone(&sights.borrow_and_update());
            let answer = sight.seen.clone().expect("an answer");
            let named = answer.history.last_named(new).is_some();
            seen.push((answer.resolution.addresses().contains(&new), named));
        }
        assert_eq!(seen, [(false, false), (false, true), (true, true)]);
    }
}
