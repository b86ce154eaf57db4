use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::faults::{CALLER_ARN, Failure, Faults};
use super::limits::Limits;
use super::model::Model;
use super::refusal::Refusal;
use super::target::TargetDescription;
use super::wire::{self, Request};

/// How many calls a server remembers; the oldest are forgotten first. Twice what the largest benchmark sends.
pub const CALLS_KEPT: usize = 20_000;

/// Far enough away for every test; a session that ends is ordered with [`Failure::expired_token`].
const SESSION_END: &str = "2099-01-01T00:00:00Z";

/// Older signatures are refused, and those from the future too.
const SIGNATURE_AGE_MAX_SECONDS: u64 = 300;

/// A call that reached the server.
#[derive(Clone, Debug)]
pub struct Call {
    /// When the request had arrived.
    pub at: Instant,
    /// The action, such as `RegisterTargets`.
    pub action: String,
    /// The target group, if the call names exactly one.
    pub arn: Option<String>,
    /// The targets as the call names them.
    pub targets: Vec<TargetDescription>,
    /// The tags of AddTags; of RemoveTags the keys, with empty values.
    pub tags: Vec<(String, String)>,
    /// What came of it: an error code, or the name of the failure ([`Failure`]) that left it undone.
    pub outcome: Result<(), String>,
    /// The access key that signed the call.
    pub access_key: Option<String>,
    /// The region the signature is for.
    pub region: Option<String>,
    /// The role asked for by AssumeRole; of any other call the role whose credentials signed it.
    pub role: Option<Role>,
    /// How many targets were registered in the group when the call was done with.
    pub registered_after: usize,
    /// The User-Agent header.
    pub user_agent: Option<String>,
}

impl Call {
    /// Whether the call is meant to change something.
    pub fn is_write(&self) -> bool {
        [
            "Register",
            "Deregister",
            "Add",
            "Remove",
            "Create",
            "Modify",
            "Delete",
            "Set",
        ]
        .iter()
        .any(|verb| self.action.starts_with(verb))
    }
}

/// An IAM role as AssumeRole names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The role's ARN.
    pub arn: String,
    /// The external id given.
    pub external_id: Option<String>,
    /// The name of the session.
    pub session_name: String,
}

impl Role {
    /// The ARN of whoever has assumed the role.
    fn session_arn(&self) -> String {
        let account = self.arn.split(':').nth(4).unwrap_or_default();
        let name = self.arn.rsplit('/').next().unwrap_or_default();
        format!("arn:aws:sts::{account}:assumed-role/{name}/{}", self.session_name)
    }
}

/// Everything behind the port.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) model: Model,
    pub(super) faults: Faults,
    pub(super) limits: Option<Limits>,
    pub(super) calls: VecDeque<Call>,
    pub(super) external_ids: BTreeMap<String, String>,
    /// How many seconds the server's clock is ahead of this host's.
    pub(super) ahead_seconds: i64,
    pub(super) taker: Option<Taker>,
    sessions: BTreeMap<String, Role>,
    replies: u64,
}

/// Somebody else who deregisters what is in a group.
#[derive(Debug)]
pub(super) struct Taker {
    pub(super) arn: String,
    /// After how many lists with a registered target, each time.
    pub(super) after_lists: VecDeque<usize>,
    /// When it was done.
    pub(super) taken: Vec<Instant>,
}

impl Taker {
    /// Takes note of a list that was given of the group.
    fn listed(&mut self, model: &mut Model, at: Instant, now: Duration) {
        let targets = model.targets(&self.arn, now).into_iter();
        let registered = targets.filter(|target| target.state != "draining");
        let registered: Vec<_> = registered
            .map(|target| TargetDescription::new(&target.ip, target.port))
            .collect();
        let Some(left) = self.after_lists.front_mut().filter(|_| !registered.is_empty()) else {
            return;
        };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.after_lists.pop_front();
            if model.deregister(&self.arn, &registered, now).is_ok() {
                self.taken.push(at);
            }
        }
    }
}

/// An HTTP reply before it is one.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) request_id: String,
    pub(super) body: String,
}

impl World {
    /// The failure that has been ordered for this call.
    pub(super) fn strike(&mut self, request: &Request) -> Option<Failure> {
        self.faults.strike(request.action(), &request.arns())
    }

    /// Does what the request asks for, records the call and words the reply.
    pub(super) fn carry_out(&mut self, request: &Request, at: Instant, now: Duration) -> Reply {
        let result = self.perform(request, now);
        let outcome = result.as_ref().map(|_| ()).map_err(|refusal| refusal.code.as_str());
        self.record(request, at, outcome);
        if let Some(taker) = &mut self.taker
            && request.action() == "DescribeTargetHealth"
            && request.arns().contains(&taker.arn.as_str())
        {
            taker.listed(&mut self.model, at, now);
        }
        match result {
            Ok(result) => self.reply(200, |id| wire::success(request, &result, id)),
            Err(refusal) => self.refuse(request, &refusal),
        }
    }

    pub(super) fn refuse(&mut self, request: &Request, refusal: &Refusal) -> Reply {
        self.reply(refusal.status, |id| wire::refusal(request, refusal, id))
    }

    pub(super) fn reply(&mut self, status: u16, body: impl FnOnce(&str) -> String) -> Reply {
        self.replies += 1;
        let request_id = format!("00000000-0000-4000-8000-{:012x}", self.replies);
        let body = body(&request_id);
        Reply {
            status,
            request_id,
            body,
        }
    }

    pub(super) fn record(&mut self, request: &Request, at: Instant, outcome: Result<(), &str>) {
        let arns = request.arns();
        let arn = if let [arn] = arns[..] {
            Some(arn.to_owned())
        } else {
            None
        };
        let signed_by = |key: &String| self.sessions.get(key).cloned();
        let call = Call {
            at,
            action: request.action().to_owned(),
            targets: request.targets().unwrap_or_default(),
            tags: request.tags(),
            outcome: outcome.map_err(str::to_owned),
            access_key: request.access_key.clone(),
            region: request.region.clone(),
            role: requested_role(request).or_else(|| request.access_key.as_ref().and_then(signed_by)),
            registered_after: arn.as_deref().map_or(0, |arn| self.model.registered(arn)),
            user_agent: request.user_agent.clone(),
            arn,
        };
        if self.calls.len() == CALLS_KEPT {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    fn perform(&mut self, request: &Request, now: Duration) -> Result<String, Refusal> {
        let action = request.action();
        if self.ahead_seconds.unsigned_abs() > SIGNATURE_AGE_MAX_SECONDS {
            let message = "Signature expired: the time it was made at is more than 5 min from the time of the server";
            return Err(Refusal::new(403, "SignatureDoesNotMatch", message));
        }
        match action {
            "AssumeRole" => return self.assume_role(request),
            "GetCallerIdentity" => return Ok(self.caller_identity(request)),
            _ => {}
        }
        if request.is_of_ec2() {
            return self.ec2(request);
        }
        let place = request.place();
        if self
            .limits
            .as_mut()
            .is_some_and(|limits| !limits.take(&place, action, now))
        {
            return Err(Refusal::new(400, "Throttling", "Rate exceeded"));
        }
        let arn = || request.need("TargetGroupArn");
        match action {
            "RegisterTargets" => self
                .model
                .register(arn()?, &request.targets()?, now)
                .map(|()| String::new()),
            "DeregisterTargets" => self
                .model
                .deregister(arn()?, &request.targets()?, now)
                .map(|()| String::new()),
            "DescribeTargetHealth" => {
                let targets = self.model.describe_target_health(arn()?, &request.targets()?, now)?;
                Ok(wire::target_health(&targets))
            }
            "DescribeTargetGroups" => self.describe_target_groups(request),
            "DescribeTargetGroupAttributes" => self.model.surroundings().of_group(arn()?),
            "DescribeLoadBalancers" => self.describe_load_balancers(request),
            "DescribeLoadBalancerAttributes" => {
                let balancer = request.need("LoadBalancerArn")?;
                self.model.surroundings().of_balancer(balancer)
            }
            "DescribeListeners" => self.model.surroundings().listeners(request.need("LoadBalancerArn")?),
            "DescribeListenerAttributes" => self.model.surroundings().of_listener(request.need("ListenerArn")?),
            "DescribeRules" => self.describe_rules(request),
            "DescribeTags" | "AddTags" | "RemoveTags" => self.tags(request),
            _ => {
                let message = format!("Could not find operation {action} for version 2015-12-01");
                Err(Refusal::new(400, "InvalidAction", message))
            }
        }
    }

    /// EC2 has limits of its own, and its signatures are for its own name.
    fn ec2(&self, request: &Request) -> Result<String, Refusal> {
        if request.service.as_deref() != Some("ec2") {
            let message = "AWS was not able to validate the provided access credentials";
            return Err(Refusal::new(401, "AuthFailure", message));
        }
        let unknown = || {
            let action = request.action();
            let message = format!("The action {action} is not valid for this web service.");
            Err(Refusal::new(400, "InvalidAction", message))
        };
        self.model.ec2(request).unwrap_or_else(unknown)
    }

    fn describe_target_groups(&self, request: &Request) -> Result<String, Refusal> {
        // Answering with all groups instead would be wrong in silence.
        if request
            .get("Names.member.1")
            .or(request.get("LoadBalancerArn"))
            .is_some()
        {
            return Err(Refusal::new(
                501,
                "NotModelled",
                "DescribeTargetGroups is modelled by ARNs only",
            ));
        }
        let arns: Vec<String> = request.list("TargetGroupArns").map(str::to_owned).collect();
        let (groups, next) = self
            .model
            .describe_target_groups(&arns, request.page_size()?, request.get("Marker"))?;
        Ok(wire::target_groups(&groups, next.as_deref()))
    }

    fn describe_load_balancers(&self, request: &Request) -> Result<String, Refusal> {
        let arns: Vec<String> = request.list("LoadBalancerArns").map(str::to_owned).collect();
        if arns.is_empty() {
            return Err(Refusal::new(
                501,
                "NotModelled",
                "DescribeLoadBalancers is modelled by ARNs only",
            ));
        }
        self.model.surroundings().balancers(&arns)
    }

    fn describe_rules(&self, request: &Request) -> Result<String, Refusal> {
        let Some(listener) = request.get("ListenerArn") else {
            return Err(Refusal::new(
                501,
                "NotModelled",
                "DescribeRules is modelled by listener only",
            ));
        };
        self.model.surroundings().rules(listener)
    }

    fn tags(&mut self, request: &Request) -> Result<String, Refusal> {
        let arns: Vec<String> = request.list("ResourceArns").map(str::to_owned).collect();
        match request.action() {
            "AddTags" => self.model.add_tags(&arns, &request.tags())?,
            "RemoveTags" => {
                let keys: Vec<String> = request.list("TagKeys").map(str::to_owned).collect();
                self.model.remove_tags(&arns, &keys)?;
            }
            _ => return Ok(wire::tag_descriptions(&self.model.describe_tags(&arns)?)),
        }
        Ok(String::new())
    }

    fn assume_role(&mut self, request: &Request) -> Result<String, Refusal> {
        request.need("RoleSessionName")?;
        let role_arn = request.need("RoleArn")?;
        let external_id = request.get("ExternalId");
        if self
            .external_ids
            .get(role_arn)
            .is_some_and(|required| Some(required.as_str()) != external_id)
        {
            let message =
                format!("User: {CALLER_ARN} is not authorized to perform: sts:AssumeRole on resource: {role_arn}");
            return Err(Refusal::new(403, "AccessDenied", message));
        }
        let Some(role) = requested_role(request) else {
            return Err(Refusal::validation("RoleArn is missing"));
        };
        let number = self.sessions.len() + 1;
        let access_key = format!("ASIA{number:016}");
        let credentials = wire::text("AccessKeyId", &access_key)
            + &wire::text("SecretAccessKey", "the secret of a test")
            + &wire::text("SessionToken", &format!("session-{number}"))
            + &wire::text("Expiration", SESSION_END);
        let user = wire::text("Arn", &role.session_arn())
            + &wire::text("AssumedRoleId", &format!("AROA{number:016}:{}", role.session_name));
        self.sessions.insert(access_key, role);
        Ok(wire::element("AssumedRoleUser", &user) + &wire::element("Credentials", &credentials))
    }

    fn caller_identity(&self, request: &Request) -> String {
        let session = request.access_key.as_ref().and_then(|key| self.sessions.get(key));
        let arn = session.map_or_else(|| CALLER_ARN.to_owned(), Role::session_arn);
        let account = arn.split(':').nth(4).unwrap_or_default();
        wire::text("Arn", &arn) + &wire::text("UserId", "AIDATESTTESTTESTTEST") + &wire::text("Account", account)
    }
}

fn requested_role(request: &Request) -> Option<Role> {
    Some(Role {
        arn: request.get("RoleArn")?.to_owned(),
        external_id: request.get("ExternalId").map(str::to_owned),
        session_name: request.get("RoleSessionName")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_calls_are_kept() {
        let mut world = World::default();
        let request = |action: &str| Request::new(&hyper::HeaderMap::new(), format!("Action={action}").as_bytes());
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let at = Instant::now();
        world.record(&request("First"), at, Ok(()));
        for _ in 0..CALLS_KEPT {
            world.record(&request("Later"), at, Ok(()));
        }
        assert_eq!(world.calls.len(), CALLS_KEPT);
        assert!(world.calls.iter().all(|call| call.action == "Later"));
    }
}
