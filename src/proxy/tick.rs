//! A coarse clock that many can wait for. A timer of its own for each of thousands of short waits would cost a system call
//! each; this is one timer for each thread of a proxy.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

/// How exact it is.
pub const PERIOD: Duration = Duration::from_millis(250);

/// The clock of a proxy's sessions in one thread.
#[derive(Clone, Default)]
pub struct Tick(Arc<Notify>);

impl Tick {
    /// Lets everybody who waits look at the time; to be called once a [`PERIOD`].
    pub fn tick(&self) {
        self.0.notify_waiters();
    }

    /// Waits until `end`, and up to a period longer.
    pub async fn past(&self, end: Instant) {
        while Instant::now() < end {
            self.0.notified().await;
        }
    }
}

/// Comes round again and again, for futures that are polled by hand.
pub struct Rounds {
    tick: Tick,
    period: Duration,
    next: Instant,
    waiting: Pin<Box<OwnedNotified>>,
}

impl Rounds {
    /// The first round is over after a period.
    pub fn new(tick: &Tick, period: Duration) -> Self {
        Self {
            tick: tick.clone(),
            period,
            next: Instant::now() + period,
            waiting: Box::pin(Arc::clone(&tick.0).notified_owned()),
        }
    }

    /// Ready when a round is over.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.waiting.as_mut().poll(cx).is_ready() {
            self.waiting = Box::pin(Arc::clone(&self.tick.0).notified_owned());
            let now = Instant::now();
            if now >= self.next {
                self.next = now + self.period;
                // Registers for the next one.
                cx.waker().wake_by_ref();
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}
