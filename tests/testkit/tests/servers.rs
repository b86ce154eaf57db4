//! The simulated servers behave as what they stand for, and what starts other programs tells the truth of them.

mod dns;
mod elb;
mod lambda;
mod nlb;
mod program;
