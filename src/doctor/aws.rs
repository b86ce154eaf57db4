//! Judges the identity of this process, its clock, and its permissions.

use std::time::Duration;

use super::check::{Check, Outcome};
use crate::aws::elb;
use crate::aws::failure::{Failure, Kind};
use crate::aws::sts::Reply;
use crate::exit::Exit;
use crate::planner::target::Target;
use crate::text::span;

/// Signatures older than this are refused (IAM documentation, Signature Version 4).
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);
/// Clocks that a time service keeps differ by less.
const SKEW_USUAL: Duration = Duration::from_secs(30);
const FIX_CLOCK: &str = "let a time service keep the clock: chronyc tracking; in AWS its server is 169.254.169.123";

/// The results of the calls that show the right to write.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Of DeregisterTargets for an address that nobody has.
    pub deregister: Result<(), elb::Error>,
    /// Of RegisterTargets for a target that is registered, if there is one.
    pub register: Option<(Target, Result<(), elb::Error>)>,
}

/// The writes to its target group that a binding rules out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// `observe`: nothing is written.
    pub observe: bool,
    /// `upsert_only`: nothing is removed.
    pub upsert_only: bool,
}

/// Identity and clock. `account` is that of the target group; `is_answered` says whether ELB answers the same identity, which can
/// do without STS then.
pub fn judge(reply: &Reply, account: &str, is_answered: bool) -> Vec<Check> {
    vec![
        Check::new("aws.identity", identity(reply, account, is_answered)),
        Check::new("aws.clock", clock(reply, is_answered)),
    ]
}

/// Fails the check of what only doctor calls if a denial keeps one of these checks from being made.
pub fn miss_inspection(checks: &mut [Check]) {
    const NAME: &str = "permission.inspect";
    let is_missed = checks
        .iter()
        .any(|check| matches!(check.outcome, Outcome::Blocked(NAME, _)));
    for check in checks.iter_mut().filter(|check| is_missed && check.name == NAME) {
        if let Outcome::Warning(found, fix) = &check.outcome {
            check.outcome = Outcome::failure(Exit::Denied, found, fix);
        }
    }
}

/// Whether every other call will fail for the same reason.
pub fn is_hopeless(reply: &Reply) -> bool {
    let failed = reply.caller.as_ref().err();
    failed.is_some_and(|failure| matches!(failure.kind, Kind::Credentials | Kind::AssumeRole))
}

fn identity(reply: &Reply, account: &str, is_answered: bool) -> Outcome {
    match &reply.caller {
        Ok(caller) if caller.account == account => Outcome::ok(&caller.arn),
        Ok(caller) => Outcome::warning(
            format!(
                "{} is of account {}, the target group of {account}",
                caller.arn, caller.account
            ),
            "give the binding a role of that account: assume_role = { arn = \"arn:aws:iam::ACCOUNT:role/NAME\" }",
        ),
        Err(failure) if is_hopeless(reply) => {
            let fix = failure.remedy().unwrap_or("check the credentials of this process");
            Outcome::failure(Exit::Denied, failure.to_string(), fix)
        }
        Err(failure) if is_answered => {
            let fix = format!("only doctor and assumed roles ask STS; {}", fix_sts(failure));
            Outcome::warning(failure.to_string(), fix)
        }
        Err(failure) => Outcome::failure(failure.kind.exit(), failure.to_string(), fix_sts(failure)),
    }
}

fn fix_sts(failure: &Failure) -> String {
    match failure.kind {
        // Nobody needs a permission for it, but it can be denied.
        Kind::Denied => {
            "allow sts:GetCallerIdentity where it is denied: in the policy of the VPC endpoint for sts, or of the organization"
                .into()
        }
        _ => failure.remedy_at("sts", "STS", "*"),
    }
}

fn clock(reply: &Reply, is_answered: bool) -> Outcome {
    let Some((theirs, ours)) = reply.times else {
        let why = "nothing that AWS answered told the time";
        return match reply.caller.is_ok() || is_answered {
            true => Outcome::skipped(why),
            false => Outcome::Blocked("aws.identity", why.into()),
        };
    };
    let (skew, word) = if ours > theirs {
        (ours.since(theirs), "ahead of")
    } else {
        (theirs.since(ours), "behind")
    };
    let found = format!("this host is {} {word} AWS", span(skew));
    if skew >= SKEW_MAX {
        let found = format!("{found}; signatures more than 5 min off are refused");
        return Outcome::failure(Exit::Denied, found, FIX_CLOCK);
    }
    if skew >= SKEW_USUAL {
        return Outcome::warning(found, FIX_CLOCK);
    }
    Outcome::ok("this host's time is that of AWS")
}

/// Whether a call that `run` makes is allowed.
pub fn permission<T>(name: &'static str, action: &str, called: &Result<T, elb::Error>, hopeless: bool) -> Check {
    let outcome = match called {
        Err(_) if hopeless => Outcome::blocked("aws.identity"),
        Ok(_) => Outcome::ok(format!("{action} is allowed")),
        // ELB looks at permissions first: a caller without the permission is not told that the group is missing.
        Err(error) if matches!(error.failure.kind, Kind::NotFound | Kind::NotIp) => {
            Outcome::ok(format!("{action} is allowed"))
        }
        Err(error) => Outcome::of_error(error),
    };
    Check::new(name, outcome)
}

/// Whether the calls that only doctor makes are allowed; `errors` are those that failed.
pub fn inspection(errors: &[&elb::Error]) -> Check {
    let denied: Vec<&str> = errors
        .iter()
        .filter(|error| error.failure.kind == Kind::Denied)
        .map(|error| error.failure.action)
        .collect();
    let outcome = match errors.iter().find(|error| error.failure.kind != Kind::Denied) {
        Some(error) => Outcome::of_error(error),
        None if denied.is_empty() => Outcome::ok("attributes, load balancer, listeners and rules may be described"),
        None => Outcome::warning(
            format!("denied: {}; only doctor needs that", denied.join(", ")),
            format!(
                "allow {} on * to this identity, and doctor can say more",
                denied
                    .iter()
                    .map(|action| format!("elasticloadbalancing:{action}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
    };
    Check::new("permission.inspect", outcome)
}

/// Whether the group may be changed. Without `tried` nobody knows.
pub fn writing(writes: Writes, tried: Option<&Tried>) -> Vec<Check> {
    const HOW: &str = "rds-tether doctor --write-check (two calls that change nothing)";
    let Some(tried) = tried else {
        let outcome = |is_needed: bool| {
            if is_needed {
                Outcome::untold("doctor writes nothing unless asked to", HOW)
            } else {
                Outcome::skipped("not needed: the settings rule such writes out")
            }
        };
        return vec![
            Check::new("permission.register", outcome(!writes.observe)),
            Check::new("permission.deregister", outcome(!writes.observe && !writes.upsert_only)),
        ];
    };
    let register = match &tried.register {
        None => Outcome::untold(
            "no current target is registered that could be registered again",
            "rds-tether sync registers it, which shows the same",
        ),
        Some((target, result)) => written(
            result,
            &format!("RegisterTargets is allowed: {target} was registered again, which changed nothing"),
        ),
    };
    let deregister = written(
        &tried.deregister,
        "DeregisterTargets is allowed: an address that nobody has was removed, which changed nothing",
    );
    vec![
        Check::new("permission.register", register),
        Check::new("permission.deregister", deregister),
    ]
}

fn written(result: &Result<(), elb::Error>, ok: &str) -> Outcome {
    match result {
        Ok(()) => Outcome::ok(ok),
        // Permission is looked at before the address is.
        Err(error) if matches!(error.failure.kind, Kind::Address | Kind::Limit) => Outcome::ok(format!(
            "{} is allowed (ELB answered {})",
            error.failure.action, error.failure.code
        )),
        Err(error) => Outcome::of_error(error),
    }
}
