//! Keeps the IP target groups of a Network Load Balancer equal to the address an RDS or Aurora endpoint has *now*.
//!
//! # One idea
//!
//! Deciding is apart from doing. One pure function takes what was seen and the time, and returns what to change and what was
//! deliberately left alone, and why. Everything else is a thin shell round it.
//!
//! ```text
//! look at DNS ─────┐                                                   ┌─ register
//!                  ├─> decide(policy, memory, seen, now) -> Decision ──┤
//! look at the group┘                                                   └─ deregister, and each hold with its reason
//! ```
//!
//! A step looks at the whole of both sides and corrects the difference, whatever caused it (level-triggered). A target is
//! removed only when its replacement has been *observed* as registered, so "register, verify, deregister" does not depend on
//! the order of calls: a lost reply, a crash or a second actor in between is harmless.
//!
//! # The modules, in reading order
//!
//! - [`planner`]: the decision and its nouns. Pure: no clock, no I/O, no AWS, no `async`.
//! - [`reconcile`]: one step, which observes, decides and applies. Nothing else changes a target group; `doctor`, when
//!   asked to, sends two writes that change nothing.
//! - [`report`]: what a step saw and did; exit codes, logs and output all derive from it.
//! - [`dns`] and [`elb`]: the adapters. Only `dns` knows hickory, only `elb` the ELBv2 SDK.
//! - [`prober`]: asks addresses that are to become targets to show first that the database is there.
//! - [`watch`]: one watcher per name looks at DNS and publishes everything it knows.
//! - [`follow`]: one follower per binding, which knows when to take the next step.
//! - [`daemon`]: `run`: watchers, followers, signals, the service manager.
//! - [`proxy`]: the other way to reach a database that moves: listens on a stable address and carries bytes to it.
//! - [`board`], [`metrics`], [`http`] and [`page`]: where everything stands, for Prometheus, load balancers and people.
//! - [`notify`]: what is worth a message to an SNS topic, and its sending, which nothing waits for.
//! - [`oneshot`]: `plan` and `sync`.
//! - [`status`]: `status`, from the running process or a look of its own.
//! - [`manual`]: man pages and completions, from the command line's own definition and one table of settings.
//! - [`doctor`]: named checks of all that has to be right; its looks are apart from its judgements too. [`probe`] asks an
//!   address whether PostgreSQL is there, [`identity`] asks STS who we are.
//! - [`iam`]: every AWS action that is called, in one list, and the policies that follow from it.
//! - [`event`] and [`tag`]: for the Lambda function of the `lambda` package: what woke it, and what it remembers.
//! - [`change`], [`journal`], [`logging`] and [`output`]: what people get to read, all of it from reports.
//! - [`settings`]: flags, environment and file become one struct.
//! - [`aws`], [`bucket`] and [`clock`]: how AWS is reached, how often, and what time it is.
//!
//! # What is not here
//!
//! No path leads from a failure to see to a sighting of nothing: they are different types ([`planner::answer::Blind`] and
//! [`planner::answer::Resolution`], which is never empty). A failed write is not repeated: the next step
//! looks first. No state is
//! kept outside the process: losing [`planner::memory::Memory`] only restarts the waiting.

pub mod aws;
pub mod board;
pub mod bucket;
pub mod change;
pub mod clock;
pub mod daemon;
pub mod dns;
pub mod doctor;
pub mod elb;
pub mod event;
pub mod follow;
pub mod http;
pub mod iam;
pub mod identity;
pub mod journal;
pub mod logging;
pub mod manual;
pub mod metrics;
pub mod notify;
pub mod oneshot;
pub mod output;
pub mod page;
pub mod planner;
pub mod probe;
pub mod prober;
pub mod proxy;
pub mod reconcile;
pub mod report;
pub mod settings;
pub mod status;
pub mod tag;
pub mod watch;
