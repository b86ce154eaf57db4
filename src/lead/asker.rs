//! Asks one address, again and again, in one session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::question::{Answer, Flavour};
use super::visit::{Door, Entrance, Member, Unheard};
use super::{ANSWER_MAX, Lead};
use crate::clock::Clock;
use crate::database::Refused;
use crate::planner::endpoint::Endpoint;
use crate::planner::lead::Says;
use crate::planner::time::Timestamp;

/// Between two questions while nothing changes.
const APART: Duration = Duration::from_secs(1);
/// The same while something does.
const APART_IN_DOUBT: Duration = Duration::from_millis(100);
/// The longest pause before an address that does not answer is tried again.
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// The pause before one that has no room for a session is.
const FULL: Duration = Duration::from_secs(5);
/// The longest pause before one that does not let us in is: mostly, only people can change that.
const DENIED_MAX: Duration = Duration::from_secs(30);
/// The first: a password may just be changing, or the server starting.
const DENIED: Duration = Duration::from_secs(1);
/// As the server lists the session.
const APPLICATION: &str = "rds-tether lead";

/// One address, and how to ask it.
pub(super) struct Asker {
    pub address: SocketAddr,
    pub endpoint: Endpoint,
    /// The member's own name, where it is known: the one that IAM's tokens are for.
    pub name: watch::Receiver<Option<String>>,
    pub lead: Arc<Lead>,
    pub entrance: Arc<dyn Entrance>,
    pub clock: Clock,
    pub words: mpsc::Sender<Word>,
    /// Until when something is changing.
    pub doubt: watch::Receiver<Option<Instant>>,
    /// A moment at which all members are asked: while nothing changes, the process wakes for all of them at once.
    pub beat: Instant,
}

/// What came of a question.
#[derive(Debug)]
pub(super) struct Word {
    pub address: SocketAddr,
    /// When it was heard; a second after it was asked at the latest.
    pub at: Timestamp,
    pub says: Says,
    /// The members' labels or names, where the topology tells of them.
    pub told: Option<(Flavour, Answer)>,
}

/// Why a session is over, or never was.
struct Over {
    says: Says,
    again: Again,
}

/// When to try again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Soon: it comes and goes.
    Soon,
    /// When somebody else may have left.
    Full,
    /// When somebody may have changed a setting or a right.
    Denied,
}

impl Again {
    /// The pause after so many failures before this one, since an answer was the last.
    fn pause(self, failures: u32) -> Duration {
        let doubled = |first: Duration| first.saturating_mul(1 << u32::min(failures, 5));
        match self {
            Self::Soon => doubled(APART_IN_DOUBT).min(AGAIN_MAX),
            Self::Full => FULL,
            Self::Denied => doubled(DENIED).min(DENIED_MAX),
        }
    }
}

impl Asker {
    /// Asks until it is dropped, or nobody listens any more.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            let at = self.clock.now();
            let (at, over) = match self.log_in().await {
                Ok((mut session, flavour)) => {
                    let over = self.converse(session.as_mut(), flavour, &mut failures).await;
                    // A server that is there ends its side by itself; of one that is not, nothing is waited for.
                    session.abandon();
                    (self.clock.now(), over)
                }
                Err(over) => (at, over),
            };
            if self.tell(at, over.says, None).await.is_err() {
                return;
            }
            let end = Instant::now() + over.again.pause(failures);
            failures = failures.saturating_add(1);
            let is_doubted = self.is_in_doubt();
            tokio::select! {
                biased;
                () = sleep_until(end) => {}
                // Whatever changes may have changed this, too.
                () = doubted(&mut self.doubt), if !is_doubted => {}
            }
        }
    }

    async fn log_in(&self) -> Result<(Box<dyn Member>, Flavour), Over> {
        let name = self.name.borrow().clone();
        let door = Door {
            address: self.address,
            endpoint: &self.endpoint,
            name: name.as_deref(),
            lead: &self.lead,
            clock: self.clock,
        };
        let entered = self.entrance.log_in(door, APPLICATION, ANSWER_MAX).await;
        let (session, functions) = entered.map_err(|unheard| of_unheard(&unheard))?;
        match Flavour::of(&functions, &self.lead.user) {
            Ok(flavour) => Ok((session, flavour)),
            Err(ungranted) => Err(Over {
                says: Says::Denied(ungranted.to_string()),
                again: Again::Denied,
            }),
        }
    }

    /// Asks until the session is over. An answer is the end of all failures.
    async fn converse(&mut self, session: &mut dyn Member, flavour: Flavour, failures: &mut u32) -> Over {
        loop {
            let (at, asked) = (self.clock.now(), Instant::now());
            match self.ask(session, flavour, at).await {
                Ok(Some(answer)) => {
                    *failures = 0;
                    let says = answer.says(flavour);
                    // What a clock that stood still makes of it is not newer than it may be.
                    let at = self.clock.now().min(at + ANSWER_MAX);
                    if self.tell(at, says, Some((flavour, answer))).await.is_err() {
                        return silent("nobody listens");
                    }
                }
                // It was told of, and the session is as good as before.
                Ok(None) => {}
                Err(over) => return over,
            }
            loop {
                let is_in_doubt = self.is_in_doubt();
                let next = if is_in_doubt {
                    asked + APART_IN_DOUBT
                } else {
                    self.next_beat(asked)
                };
                tokio::select! {
                    biased;
                    why = session.ended() => return silent(&why),
                    () = sleep_until(next) => break,
                    () = doubted(&mut self.doubt), if !is_in_doubt => {}
                }
            }
        }
    }

    /// Asks once. A question that is late, or refused for a reason that passes, ends no session: it is told of, and the next one may go
    /// better.
    async fn ask(&self, session: &dyn Member, flavour: Flavour, at: Timestamp) -> Result<Option<Answer>, Over> {
        let mut asking = session.ask(flavour, 2 * ANSWER_MAX);
        let (answered, is_late) = match timeout(ANSWER_MAX, &mut asking).await {
            Ok(answered) => (answered, false),
            Err(_) => {
                let _ = self.tell(at, silent("no answer in time").says, None).await;
                (asking.await, true)
            }
        };
        match answered {
            // What was so two seconds ago may be so no more.
            Ok(_) if is_late => Ok(None),
            Ok(answer) => Ok(Some(answer)),
            Err(unheard) => {
                let over = of_unheard(&unheard);
                if !unheard.is_passing() || over.again == Again::Denied {
                    return Err(over);
                }
                let _ = self.tell(at, over.says, None).await;
                Ok(None)
            }
        }
    }

    /// When all members are asked next, after one was at this moment.
    fn next_beat(&self, asked: Instant) -> Instant {
        let beats = asked.duration_since(self.beat).as_micros() / APART.as_micros() + 1;
        self.beat + APART.saturating_mul(u32::try_from(beats).unwrap_or(u32::MAX))
    }

    fn is_in_doubt(&self) -> bool {
        is_doubt(&self.doubt.borrow())
    }

    async fn tell(&self, at: Timestamp, says: Says, told: Option<(Flavour, Answer)>) -> Result<(), ()> {
        let address = self.address;
        let word = Word {
            address,
            at,
            says,
            told,
        };
        self.words.send(word).await.map_err(drop)
    }
}

/// Whether something is changing, if it does until then.
pub(super) fn is_doubt(until: &Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

/// Waits until something changes.
async fn doubted(doubt: &mut watch::Receiver<Option<Instant>>) {
    if doubt.wait_for(is_doubt).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn silent(why: &str) -> Over {
    Over {
        says: Says::Silent(why.to_owned()),
        again: Again::Soon,
    }
}

/// What it means that a member was not heard.
fn of_unheard(unheard: &Unheard) -> Over {
    let says = unheard.says();
    let again = match (&says, unheard) {
        (_, Unheard::SecretLate) => Again::Soon,
        (Says::Denied(_), _) if unheard.is_for_want_of_room() => Again::Full,
        (Says::Denied(_), _) | (_, Unheard::Refused(Refused::Breach(_))) => Again::Denied,
        _ => Again::Soon,
    };
    Over { says, again }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_what_only_people_can_change() {
        let pauses = |again: Again| [0, 1, 3, 4, 5, 40].map(|failures| again.pause(failures).as_millis());
        assert_eq!(pauses(Again::Soon), [100, 200, 800, 1_000, 1_000, 1_000]);
        assert_eq!(pauses(Again::Full), [5_000; 6]);
        assert_eq!(pauses(Again::Denied), [1_000, 2_000, 8_000, 16_000, 30_000, 30_000]);
    }
}
