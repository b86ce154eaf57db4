//! The built function: as Lambda starts and asks it, against simulated servers, and in the suites that need programs which
//! tests/run provides.

mod cargo_lambda;
mod function;
mod moto;
