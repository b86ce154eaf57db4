//! elb_semantics
