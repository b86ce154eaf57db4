//! One budget of AWS calls for each account and region: its limits are shared with every other tool there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// The purpose of a call: registering goes before deregistering, and both go before other looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A registration, or a look that one waits for.
    Register,
    /// A deregistration. Before any look, or the look that it follows from would be old by then.
    Remove,
    /// A look that something unsettled waits for.
    Settle,
    /// A look for drift, or one more try of what has failed for long.
    Look,
}

/// Calls that a start may make at once. ELB's buckets for Describe* and for all calls together hold 40, and other tools of
/// the account live on them too.
const AT_START: u32 = 30;
/// Calls saved up when idle; ELB's own bucket for writes holds 20.
const SAVED_MAX: u32 = 20;
/// One call more each time, which is just under 4 a second; ELB refills writes at 4/s and Describe* at 10/s, for all
/// tools of the account together.
const REFILL: Duration = Duration::from_millis(260);

/// A token bucket whose waiters are served by urgency, and in turn within one.
pub struct Bucket {
    queues: [mpsc::UnboundedSender<oneshot::Sender<()>>; 4],
    throttled: Arc<AtomicBool>,
    members: AtomicU32,
    pressed: AtomicU32,
}

/// The right to make one call.
#[derive(Debug)]
#[must_use = "a turn that is not used is a call that others wait for"]
pub struct Turn(());

/// One of those who share a bucket.
pub struct Member {
    bucket: Arc<Bucket>,
    is_pressed: bool,
}

impl Member {
    /// How far apart the looks for drift of one member have to be for those of all to take half of the calls.
    pub fn fair_period(&self) -> Duration {
        (REFILL * 2).saturating_mul(self.bucket.members.load(Ordering::Relaxed))
    }

    /// Says whether this one has to look often, because somebody else undoes what it does.
    pub fn press(&mut self, is_pressed: bool) {
        if std::mem::replace(&mut self.is_pressed, is_pressed) == is_pressed {
            return;
        }
        let pressed = &self.bucket.pressed;
        if is_pressed {
            pressed.fetch_add(1, Ordering::Relaxed);
        } else {
            pressed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How far apart the looks of one that is pressed have to be for those of all such to take a quarter of the calls. Each may
    /// lead to a registration: half of the calls is left for everybody else.
    pub fn pressed_period(&self) -> Duration {
        (REFILL * 4).saturating_mul(self.bucket.pressed.load(Ordering::Relaxed))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.press(false);
        self.bucket.members.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Bucket {
    /// A full bucket. Needs a tokio runtime, and lives as long as the value.
    pub fn start() -> Arc<Self> {
        let throttled = Arc::new(AtomicBool::new(false));
        let (register, registers) = mpsc::unbounded_channel();
        let (remove, removes) = mpsc::unbounded_channel();
        let (settle, settles) = mpsc::unbounded_channel();
        let (look, looks) = mpsc::unbounded_channel();
        tokio::spawn(serve([registers, removes, settles, looks], Arc::clone(&throttled)));
        Arc::new(Self {
            queues: [register, remove, settle, look],
            throttled,
            members: AtomicU32::new(0),
            pressed: AtomicU32::new(0),
        })
    }

    /// Joins those who share it.
    pub fn join(self: &Arc<Self>) -> Member {
        self.members.fetch_add(1, Ordering::Relaxed);
        Member {
            bucket: Arc::clone(self),
            is_pressed: false,
        }
    }

    /// Waits for the turn to make one call. Giving up waiting costs nothing.
    pub async fn take(&self, urgency: Urgency) -> Turn {
        let (grant, granted) = oneshot::channel();
        let queue = match urgency {
            Urgency::Register => &self.queues[0],
            Urgency::Remove => &self.queues[1],
            Urgency::Settle => &self.queues[2],
            Urgency::Look => &self.queues[3],
        };
        if queue.send(grant).is_ok() {
            // An error means that the runtime is shutting down; the call then fails by itself.
            let _ = granted.await;
        }
        Turn(())
    }

    /// Takes note that AWS throttled a call: what was saved up is spent.
    pub fn throttled(&self) {
        self.throttled.store(true, Ordering::Relaxed);
    }
}

async fn serve(queues: [mpsc::UnboundedReceiver<oneshot::Sender<()>>; 4], throttled: Arc<AtomicBool>) {
    let [mut registers, mut removes, mut settles, mut looks] = queues;
    let mut tokens = Tokens::full(Instant::now());
    loop {
        if throttled.swap(false, Ordering::Relaxed) {
            tokens.left = 0;
        }
        // The token first, then the choice of who gets it: a registration that comes while looks wait goes before them.
        if let Some(at) = tokens.next(Instant::now()) {
            sleep_until(at).await;
            continue;
        }
        let next = tokio::select! {
            biased;
            Some(next) = registers.recv() => next,
            Some(next) = removes.recv() => next,
            Some(next) = settles.recv() => next,
            Some(next) = looks.recv() => next,
            else => return,
        };
        // Whoever gave up waiting costs nothing.
        if next.send(()).is_ok() {
            tokens.left -= 1;
        }
    }
}

struct Tokens {
    left: u32,
    counted: Instant,
}

impl Tokens {
    fn full(now: Instant) -> Self {
        Self {
            left: AT_START,
            counted: now,
        }
    }

    /// When there will be a token, or `None` if there is one.
    fn next(&mut self, now: Instant) -> Option<Instant> {
        let refills = now.duration_since(self.counted).as_millis() / REFILL.as_millis();
        let refills = u32::try_from(refills).unwrap_or(u32::MAX);
        self.counted += REFILL.saturating_mul(refills);
        if self.left < SAVED_MAX {
            self.left = self.left.saturating_add(refills).min(SAVED_MAX);
        }
        (self.left == 0).then(|| self.counted + REFILL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// How many calls a bucket lets through in that many seconds after its start, if there is always one waiting.
    fn calls_within(tokens: &mut Tokens, start: Instant, secs: u64) -> u32 {
        let mut now = start;
        let mut calls = 0;
        loop {
            match tokens.next(now) {
                Some(at) => now = at,
                None => {
                    tokens.left -= 1;
                    calls += 1;
                }
            }
            if now >= start + Duration::from_secs(secs) {
                return calls;
            }
        }
    }

    #[tokio::test]
    async fn a_start_may_look_at_many_groups_at_once_and_then_it_is_under_four_a_second() {
        let start = Instant::now();
        let mut tokens = Tokens::full(start);
        assert!((AT_START..AT_START + 5).contains(&calls_within(&mut tokens, start, 1)));
        let busy = calls_within(&mut tokens, start + Duration::from_secs(1), 100);
        assert!(busy < 400, "{busy}");
        assert!(busy > 350, "{busy}");
        // An idle hour saves up no more than ELB lets through at once.
        let after_an_hour = calls_within(&mut tokens, start + Duration::from_secs(3600), 1);
        assert!((SAVED_MAX..SAVED_MAX + 5).contains(&after_an_hour), "{after_an_hour}");
    }

    async fn spend_all(bucket: &Bucket) {
        bucket.throttled();
        for _ in 0..2 {
            let _ = bucket.take(Urgency::Look).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_spends_what_was_saved_and_then_registrations_go_before_removals_before_looks() {
        let bucket = Bucket::start();
        spend_all(&bucket).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        let asked = [
            Urgency::Look,
            Urgency::Settle,
            Urgency::Look,
            Urgency::Remove,
            Urgency::Register,
            Urgency::Register,
        ];
        for urgency in asked {
            let (bucket, order) = (Arc::clone(&bucket), Arc::clone(&order));
            tasks.spawn(async move {
                let _ = bucket.take(urgency).await;
                order.lock().expect("lock").push(urgency);
            });
        }
        tasks.join_all().await;
        let mut expect = asked;
        expect.sort_by_key(|urgency| *urgency as u8);
        assert_eq!(*order.lock().expect("lock"), expect);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gave_up_costs_nothing() {
        let bucket = Bucket::start();
        spend_all(&bucket).await;
        let start = Instant::now();
        for _ in 0..50 {
            let gave_up = tokio::time::timeout(Duration::ZERO, bucket.take(Urgency::Look)).await;
            assert!(gave_up.is_err());
        }
        let _ = bucket.take(Urgency::Look).await;
        assert!(start.elapsed() < REFILL * 25, "{:?}", start.elapsed());
    }
}
