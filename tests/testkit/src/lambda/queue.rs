//! The invocations, and the processes that ask for one: which gets which, and what comes of it. Time is an argument.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{FunctionError, Outcome};

/// How much later than its deadline an answer may come: on a busy machine the last bytes take their time.
pub const GRACE: Duration = Duration::from_millis(500);

/// An invocation as it is handed to a process.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) id: String,
    pub(super) payload: String,
    pub(super) deadline: SystemTime,
}

/// A process that waits for work.
#[derive(Debug)]
pub(super) struct Asking {
    /// The number of the port that it came in by.
    pub(super) door: u64,
    pub(super) hand_over: oneshot::Sender<Work>,
}

/// All invocations so far.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<String, Entry>,
    /// The ids of those that nobody has asked for yet, oldest first.
    waiting: VecDeque<String>,
    asking: VecDeque<Asking>,
    asked: usize,
    doors: u64,
    closed: BTreeSet<u64>,
    init_error: Option<FunctionError>,
    /// Whether the last thing heard of a process is that it could not start.
    broken: bool,
}

#[derive(Debug)]
struct Entry {
    work: Work,
    expires: Instant,
    taken: bool,
    outcome: Option<(Outcome, Instant)>,
}

/// For the test.
impl Queue {
    pub(super) fn invoke(&mut self, payload: &str, timeout: Duration, now: Instant, clock: SystemTime) -> String {
        let id = format!("00000000-0000-4000-8000-{:012x}", self.entries.len() + 1);
        let work = Work {
            id: id.clone(),
            payload: payload.to_owned(),
            deadline: clock + timeout,
        };
        let entry = Entry {
            work,
            expires: now + timeout,
            taken: false,
            outcome: None,
        };
        self.entries.insert(id.clone(), entry);
        self.waiting.push_back(id.clone());
        self.hand_out(now);
        if self.broken {
            self.fail_waiting(now);
        }
        id
    }

    /// What has come of an invocation; if nothing has, when it will have timed out.
    pub(super) fn outcome(&self, id: &str, now: Instant) -> Result<Outcome, Instant> {
        let entry = &self.entries[id];
        match &entry.outcome {
            Some((outcome, _)) => Ok(outcome.clone()),
            None if entry.is_over(now) => Ok(Outcome::TimedOut),
            None => Err(entry.expires + GRACE),
        }
    }

    /// How long before its deadline an invocation was answered.
    pub(super) fn time_left(&self, id: &str) -> Option<Duration> {
        let entry = &self.entries[id];
        let (_, at) = entry.outcome.as_ref()?;
        Some(entry.expires.saturating_duration_since(*at))
    }

    pub(super) fn is_asked(&mut self) -> bool {
        self.asking.retain(Asking::is_there);
        !self.asking.is_empty()
    }

    pub(super) fn times_asked(&self) -> usize {
        self.asked
    }

    pub(super) fn init_error(&self) -> Option<FunctionError> {
        self.init_error.clone()
    }

    /// A process is about to be started that will come in by a door of its own: what became of an earlier one says
    /// nothing of it.
    pub(super) fn open(&mut self) -> u64 {
        self.broken = false;
        self.doors += 1;
        self.doors
    }

    /// The process that came in by this door has ended. What it has sent may still be on its way, and the end of its
    /// connections unnoticed.
    pub(super) fn close(&mut self, door: u64) {
        self.closed.insert(door);
        self.asking.retain(|asking| asking.door != door);
    }
}

/// For the process under test.
impl Queue {
    /// A process asks for work, and gets it at once or later.
    pub(super) fn ask(&mut self, asking: Asking, now: Instant) {
        if self.closed.contains(&asking.door) {
            return;
        }
        self.asked += 1;
        self.broken = false;
        self.asking.push_back(asking);
        self.hand_out(now);
    }

    /// A process is done with an invocation; refused unless it was given that one and is in time.
    pub(super) fn answer(&mut self, id: &str, outcome: Outcome, now: Instant) -> Result<(), ()> {
        let entry = self.entries.get_mut(id).ok_or(())?;
        if !entry.taken || entry.outcome.is_some() || entry.is_over(now) {
            return Err(());
        }
        entry.outcome = Some((outcome, now));
        Ok(())
    }

    /// A process could not start; so nothing that waits will be asked for.
    pub(super) fn fail_init(&mut self, door: u64, error: FunctionError, now: Instant) {
        if self.closed.contains(&door) {
            return;
        }
        self.init_error = Some(error);
        self.broken = true;
        self.fail_waiting(now);
    }

    fn fail_waiting(&mut self, now: Instant) {
        let Some(error) = &self.init_error else { return };
        for id in self.waiting.drain(..) {
            if let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.is_over(now)) {
                entry.outcome = Some((Outcome::InitError(error.clone()), now));
            }
        }
    }

    /// Gives the oldest invocations to those who have asked longest.
    fn hand_out(&mut self, now: Instant) {
        let entries = &mut self.entries;
        self.waiting.retain(|id| !entries[id].is_over(now));
        while let Some(id) = self.waiting.front() {
            let Some(asking) = self.asking.pop_front() else {
                return;
            };
            let Some(entry) = entries.get_mut(id) else {
                return;
            };
            if asking.hand_over.send(entry.work.clone()).is_ok() {
                entry.taken = true;
                self.waiting.pop_front();
            }
        }
    }
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        now >= self.expires + GRACE
    }
}

impl Asking {
    fn is_there(&self) -> bool {
        !self.hand_over.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn ask(queue: &mut Queue, door: u64) -> oneshot::Receiver<Work> {
        let (hand_over, handed) = oneshot::channel();
        queue.ask(Asking { door, hand_over }, Instant::now());
        handed
    }

    fn invoke(queue: &mut Queue) -> String {
        queue.invoke("", TIMEOUT, Instant::now(), SystemTime::UNIX_EPOCH)
    }

    fn given(mut handed: oneshot::Receiver<Work>) -> Option<String> {
        handed.try_recv().ok().map(|work| work.id)
    }

    #[test]
    fn who_has_gone_is_given_nothing() {
        let mut queue = Queue::default();
        drop(ask(&mut queue, 1));
        assert!(!queue.is_asked());
        let id = invoke(&mut queue);
        assert_eq!(given(ask(&mut queue, 1)), Some(id));
    }

    #[test]
    fn behind_a_closed_door_nobody_is_given_anything_however_late_they_are_heard() {
        let mut queue = Queue::default();
        let early = ask(&mut queue, 1);
        queue.close(1);
        assert!(!queue.is_asked());
        let id = invoke(&mut queue);
        assert_eq!(given(ask(&mut queue, 1)), None);
        assert_eq!(given(early), None);
        assert_eq!(queue.times_asked(), 1);
        assert_eq!(given(ask(&mut queue, 2)), Some(id));
    }

    #[test]
    fn an_init_error_fails_nothing_that_another_process_asks_for() {
        let mut queue = Queue::default();
        let idle = ask(&mut queue, 1);
        queue.fail_init(2, FunctionError::default(), Instant::now());
        let [served, failed] = [invoke(&mut queue), invoke(&mut queue)];
        assert_eq!(given(idle), Some(served));
        assert!(matches!(
            queue.outcome(&failed, Instant::now()),
            Ok(Outcome::InitError(_))
        ));

        let fresh = queue.open();
        queue.close(2);
        queue.fail_init(2, FunctionError::default(), Instant::now());
        let id = invoke(&mut queue);
        assert_eq!(
            given(ask(&mut queue, fresh)),
            Some(id),
            "the dead say nothing of the living"
        );
    }

    #[test]
    fn an_answer_counts_until_the_grace_is_over() {
        let start = Instant::now();
        for (late, expected) in [(GRACE - Duration::from_nanos(1), Ok(())), (GRACE, Err(()))] {
            let mut queue = Queue::default();
            let id = queue.invoke("", TIMEOUT, start, SystemTime::UNIX_EPOCH);
            let _handed = ask(&mut queue, 1);
            let at = start + TIMEOUT + late;
            assert_eq!(
                queue.answer(&id, Outcome::Success(String::new()), at),
                expected,
                "{late:?}"
            );
            assert_eq!(
                queue.outcome(&id, at) == Ok(Outcome::TimedOut),
                expected.is_err(),
                "{late:?}"
            );
        }
    }
}
