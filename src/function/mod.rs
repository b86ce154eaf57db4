//! The Lambda function's own: what woke it, and what it remembers from one invocation to the next.

pub mod event;
mod json;
pub mod tag;
