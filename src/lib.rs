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
//! # The house
//!
//! Whoever stands higher may use what stands lower, never the other way:
//!
//! - [`verbs`]: `run`, `plan` and `sync`, `status`, `iam`, the man pages; and [`doctor`], named checks of all that has to be
//!   right, whose looks are apart from its judgements too.
//! - [`drill`]: measures a failover that somebody else triggers; what was seen is apart from what follows from it.
//! - [`telemetry`]: what people and programs get to see of a running process: the document, and from it pages,
//!   text and JSON; metrics and the log.
//! - [`settings`]: flags, environment and file become one struct.
//! - [`notify`]: what is worth a message to an SNS topic, and its sending, which nothing waits for.
//! - [`follow`]: one follower per target group, which knows when to take the next step; a step observes, decides and applies.
//!   Nothing else changes a target group; `doctor`, when asked to, sends two writes that change nothing.
//! - [`discover`]: target groups that are found by their tags.
//! - [`proxy`]: the other way to reach a database that moves: listens on a stable address and carries bytes to it.
//! - [`function`]: for the Lambda function of the `lambda` package: what woke it, and what it remembers.
//! - [`lead`] asks the members of a database who the writer is, and [`database`] talks to them.
//! - [`aws`], [`dns`] and [`probe`]: the adapters. Each outside library is known to one of them alone.
//! - [`clock`], [`counts`], [`exit`], [`file`](mod@file), [`logging`] and [`text`]: what time it is, what the adapters count, how a process
//!   ends, how much of a file is read, where the log goes, and how durations, lists and holds are put into words.
//! - [`planner`]: the decision and its nouns. Pure: no clock, no I/O, no AWS, no `async`.
//!
//! # Words
//!
//! - *endpoint*: a DNS name and a port. *Target group* and *target*: as in ELB. *Binding*: a target group and the endpoints
//!   it follows.
//! - *look*: one observation of DNS or of a group. *Sight*: what the looks at a name have shown. *Answer*, *resolution*: the
//!   addresses of one look, never none; *blind*: there are none, and why.
//! - *step*: one look at both sides, a decision and what follows from it. *Plan*: what is to change. *Hold*: a change that is
//!   deliberately not made, with its reason. *Report*: what a step saw and did. *Milestone*: a point that a change reached.
//! - *forget*: how long DNS must not have named a target before it goes. *Patience*: how much longer to wait for a healthy
//!   replacement. *Linger*: how long a proxy's session outlives its address. *Cadence*: when to look next.
//! - *settled*: every address named now is seen registered, and whatever else is registered may stay.
//!
//! # What is not here
//!
//! No path leads from a failure to see to a sighting of nothing: they are different types ([`planner::answer::Blind`] and
//! [`planner::answer::Resolution`], which is never empty). A failed write is not repeated: the next step
//! looks first. No state is
//! kept outside the process: losing [`planner::memory::Memory`] only restarts the waiting.

pub mod aws;
pub mod clock;
pub mod counts;
pub mod database;
pub mod discover;
pub mod dns;
pub mod doctor;
pub mod drill;
pub mod exit;
pub mod file;
pub mod follow;
pub mod function;
pub mod lead;
pub mod logging;
pub mod notify;
pub mod planner;
pub mod probe;
pub mod proxy;
pub mod settings;
pub mod telemetry;
pub mod text;
pub mod verbs;
