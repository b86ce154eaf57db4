//! dns_truth
