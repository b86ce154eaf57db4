//! The request rate limits of the ELBv2 API, which every tool of an account and region shares.

use std::collections::BTreeMap;
use std::time::Duration;

/// The limits of all accounts and regions.
#[derive(Clone, Debug)]
pub struct Limits {
    since: Duration,
    places: BTreeMap<String, Buckets>,
}

impl Limits {
    /// Buckets that are full at `now`, wherever they are.
    pub fn full_at(now: Duration) -> Self {
        let places = BTreeMap::new();
        Self { since: now, places }
    }

    /// Whether a call of `action` about something of an account and region is let through at `now`.
    pub fn take(&mut self, place: &str, action: &str, now: Duration) -> bool {
        let full = || Buckets::full_at(self.since);
        self.places
            .entry(place.to_owned())
            .or_insert_with(full)
            .take(action, now)
    }
}

/// The token buckets of one account and region ("API request throttling" in the Elastic Load Balancing API
/// reference).
#[derive(Clone, Debug)]
pub struct Buckets {
    everything: Bucket,
    describe: Bucket,
    register: Bucket,
    tags: Bucket,
}

impl Buckets {
    /// Buckets that are full at `now`.
    pub fn full_at(now: Duration) -> Self {
        let bucket = |size, per_second| Bucket {
            size,
            per_second,
            tokens: size,
            filled_at: now,
        };
        Self {
            everything: bucket(40.0, 10.0),
            describe: bucket(40.0, 10.0),
            register: bucket(20.0, 4.0),
            tags: bucket(20.0, 3.0),
        }
    }

    /// Whether a call of `action` is let through at `now`; one that is not costs nothing.
    pub fn take(&mut self, action: &str, now: Duration) -> bool {
        let own = match action {
            "RegisterTargets" | "DeregisterTargets" => Some(&mut self.register),
            "AddTags" | "RemoveTags" => Some(&mut self.tags),
            _ if action.starts_with("Describe") => Some(&mut self.describe),
            _ => None,
        };
        let mut all: Vec<&mut Bucket> = own.into_iter().chain([&mut self.everything]).collect();
        all.iter_mut().for_each(|bucket| bucket.refill(now));
        let allowed = all.iter().all(|bucket| bucket.tokens >= 1.0);
        if allowed {
            all.iter_mut().for_each(|bucket| bucket.tokens -= 1.0);
        }
        allowed
    }
}

#[derive(Clone, Debug)]
struct Bucket {
    size: f64,
    per_second: f64,
    tokens: f64,
    filled_at: Duration,
}

impl Bucket {
    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.size);
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn writing_tags_has_a_bucket_of_20_that_refills_at_3_a_second() {
        let allowed = |buckets: &mut Buckets, action, at| (0..100).filter(|_| buckets.take(action, at)).count();
        let mut buckets = Buckets::full_at(SECOND);
        assert_eq!(allowed(&mut buckets, "AddTags", SECOND), 20);
        assert_eq!(allowed(&mut buckets, "RemoveTags", SECOND * 2), 3);
        assert_eq!(
            allowed(&mut buckets, "RegisterTargets", SECOND * 2),
            20,
            "targets have a bucket of their own"
        );
    }

    #[test]
    fn buckets_of_20_40_and_40_refill_at_4_10_and_10_a_second() {
        let allowed = |buckets: &mut Buckets, action, at| (0..100).filter(|_| buckets.take(action, at)).count();
        let full = Buckets::full_at(SECOND);
        let mut buckets = full.clone();
        assert_eq!(allowed(&mut buckets, "RegisterTargets", SECOND), 20);
        assert_eq!(
            allowed(&mut buckets, "DeregisterTargets", SECOND),
            0,
            "the two share a bucket"
        );
        assert_eq!(
            allowed(&mut buckets, "DescribeTargetHealth", SECOND),
            20,
            "all calls together have 40"
        );
        assert_eq!(allowed(&mut buckets, "RegisterTargets", SECOND * 2), 4);
        assert_eq!(
            allowed(&mut buckets, "DescribeTargetHealth", SECOND * 2),
            6,
            "all calls together refill 10"
        );
        let mut buckets = full;
        assert_eq!(allowed(&mut buckets, "DescribeTargetGroups", SECOND), 40);
        assert_eq!(allowed(&mut buckets, "DescribeTargetHealth", SECOND * 3), 20);
        assert_eq!(
            allowed(&mut buckets, "DescribeTargetHealth", SECOND * 3600),
            40,
            "a bucket does not overflow"
        );
    }
}
