use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::queue::Queue;
use super::serve::Door;
use super::{FunctionError, Outcome};

/// The Lambda Runtime API on loopback, on a thread of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Runtime {
    entrance: Entrance,
    door: Door,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// An invocation that was queued; it goes on when this is dropped.
#[derive(Clone, Debug)]
pub struct Invocation {
    id: String,
    shared: Arc<Shared>,
}

/// Where doors are opened and closed for processes.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    runtime: Handle,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Told after every request and every change made by a test.
    changed: Condvar,
}

impl Runtime {
    /// Starts the API on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start() -> Self {
        Self::try_start().expect("loopback has a free port")
    }

    fn try_start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::default());
        let entrance = Entrance {
            runtime: runtime.handle().clone(),
            shared: Arc::clone(&shared),
        };
        let door = entrance.open()?;
        let (stop, stopped) = oneshot::channel::<()>();
        // Whatever is served is served by tasks, and dropped with the runtime.
        let run = move || drop(runtime.block_on(stopped));
        let thread = thread::Builder::new().name("lambda".to_owned()).spawn(run)?;
        Ok(Self {
            entrance,
            door,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Host and port, as they stand in AWS_LAMBDA_RUNTIME_API; each process of a [`Function`](super::Function) has a
    /// port of its own, so that it is known which of them says what.
    pub fn api(&self) -> String {
        self.door.address.to_string()
    }

    /// Queues an invocation for whoever asks next; its deadline is `timeout` from now.
    ///
    /// After an init error it fails at once unless a process is idle, until a [`Function`](super::Function) is started
    /// or a process asks for work.
    pub fn invoke(&self, payload: &str, timeout: Duration) -> Invocation {
        let id = self
            .shared
            .change(|queue| queue.invoke(payload, timeout, Instant::now(), wall_clock()));
        Invocation {
            id,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Waits until a process is idle, that is asks for work and there is none; says whether one was in time.
    ///
    /// A process that has been killed is not idle, a frozen one is.
    pub fn wait_for_next(&self, within: Duration) -> bool {
        self.wait_until(within, Queue::is_asked)
    }

    /// Waits until processes have asked for work `times` times since the start; says whether they had in time.
    pub fn wait_for_nexts(&self, times: usize, within: Duration) -> bool {
        self.wait_until(within, |queue| queue.times_asked() >= times)
    }

    /// How often processes have asked for work since the start.
    pub fn nexts(&self) -> usize {
        self.shared.queue().times_asked()
    }

    /// The last init error reported.
    pub fn init_error(&self) -> Option<FunctionError> {
        self.shared.queue().init_error()
    }

    /// Waits for a process to report an init error, if none has yet.
    pub fn wait_for_init_error(&self, within: Duration) -> Option<FunctionError> {
        self.wait_until(within, |queue| queue.init_error().is_some());
        self.init_error()
    }

    pub(super) fn entrance(&self) -> Entrance {
        self.entrance.clone()
    }

    fn wait_until(&self, within: Duration, mut enough: impl FnMut(&mut Queue) -> bool) -> bool {
        let waiting = |queue: &mut Queue| !enough(queue);
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.queue(), within, waiting);
        let (_queue, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Invocation {
    /// The request id, as the function is told it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Waits for the outcome; [`Outcome::Pending`] if there is none when `within` has passed.
    pub fn wait(&self, within: Duration) -> Outcome {
        let give_up = Instant::now() + within;
        let mut queue = self.shared.queue();
        loop {
            let now = Instant::now();
            let over = match queue.outcome(&self.id, now) {
                Ok(outcome) => return outcome,
                Err(_) if now >= give_up => return Outcome::Pending,
                Err(over) => over,
            };
            let wake_at = over.min(give_up);
            let waited = self.shared.changed.wait_timeout(queue, wake_at - now);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How long before its deadline it was answered: zero if that was in the [`GRACE`](super::GRACE), none if it was
    /// not.
    pub fn time_left(&self) -> Option<Duration> {
        self.shared.queue().time_left(&self.id)
    }
}

impl Entrance {
    pub(super) fn open(&self) -> io::Result<Door> {
        Door::open(&self.runtime, &self.shared)
    }

    /// Lets nobody in any more by this door, and gives nothing more to those who came in by it.
    pub(super) fn close(&self, door: &Door) {
        self.shared.change(|queue| queue.close(door.number));
    }
}

impl Shared {
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let result = change(&mut self.queue());
        self.changed.notify_all();
        result
    }

    /// A poisoned lock only says that some other thread has failed, and says it where nobody looks.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a real process compares its deadline with the real clock"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
