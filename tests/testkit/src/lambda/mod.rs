//! AWS Lambda as a custom runtime (`provided.al2023`) sees it: the Runtime API, and the process that asks it for work.
//!
//! - [`Runtime`]: the API on loopback. A test queues invocations and waits for what comes of each; they are handed to
//!   whoever asks, so processes that share a runtime are concurrent executions.
//! - [`Function`]: an executable started the way Lambda starts a `bootstrap`, with its output collected; it can be
//!   restarted between invocations (a cold start) and frozen and thawed, as Lambda does.
//!
//! What Lambda does of itself is left to the test: nothing is killed at its deadline, frozen or retried here.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//! use testkit::lambda::{Function, Outcome, Runtime};
//!
//! let runtime = Runtime::start();
//! let _function = Function::start(&runtime, Path::new("task/bootstrap"), Path::new("task"), &[("LOG", "debug")]);
//! let invocation = runtime.invoke("{}", Duration::from_secs(10));
//! assert!(matches!(invocation.wait(Duration::from_secs(20)), Outcome::Success(_)));
//! ```

mod error;
mod function;
mod queue;
mod runtime;
mod serve;

pub use error::FunctionError;
pub use function::{Function, LINES_KEPT};
pub use queue::GRACE;
pub use runtime::{Invocation, Runtime};

/// The name of every function here.
pub const FUNCTION_NAME: &str = "tether";
/// The region of every function here, that of [`elb::Group::named`](crate::elb::Group::named).
pub const REGION: &str = "eu-west-1";
/// The ARN of every function here.
pub const FUNCTION_ARN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:tether";

/// What came of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function's response, as it was posted.
    Success(String),
    /// The function failed, and said so.
    Error(FunctionError),
    /// Nothing came by the deadline and the [`GRACE`] after it.
    TimedOut,
    /// The process that should have asked for it failed before it could.
    InitError(FunctionError),
    /// Nothing has come yet, and the deadline is still ahead: whoever asked waited too short a time.
    Pending,
}
