use std::collections::BTreeMap;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, USER_AGENT};

use super::group::Group;
use super::refusal::Refusal;
use super::tags::Tags;
use super::target::{TargetDescription, TargetView};

/// A request of the AWS Query protocol.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) access_key: Option<String>,
    pub(super) region: Option<String>,
    pub(super) service: Option<String>,
    pub(super) user_agent: Option<String>,
}

impl Request {
    pub(super) fn new(headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let scope = header(AUTHORIZATION).as_deref().and_then(credential_scope);
        let [access_key, region, service] = scope.map_or([const { None }; 3], |scope| scope.map(Some));
        Self {
            parameters: form(body),
            access_key,
            region,
            service,
            user_agent: header(USER_AGENT),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name)
            .ok_or_else(|| Refusal::validation(format!("{name} is missing")))
    }

    pub(super) fn action(&self) -> &str {
        self.get("Action").unwrap_or("")
    }

    /// Whether it is meant for EC2: each API has a version of its own.
    pub(super) fn is_of_ec2(&self) -> bool {
        self.get("Version") == Some("2016-11-15")
    }

    /// Every group the request names.
    pub(super) fn arns(&self) -> Vec<&str> {
        self.get("TargetGroupArn")
            .into_iter()
            .chain(self.list("TargetGroupArns"))
            .chain(self.list("ResourceArns"))
            .collect()
    }

    /// The region and the account of what it is about, which its limits count for.
    pub(super) fn place(&self) -> String {
        let others = ["LoadBalancerArn", "ListenerArn"]
            .into_iter()
            .filter_map(|name| self.get(name));
        let lists = ["LoadBalancerArns", "ListenerArns", "RuleArns"]
            .into_iter()
            .flat_map(|name| self.list(name));
        let first = self.arns().into_iter().chain(others).chain(lists).next();
        let parts: Vec<&str> = first.unwrap_or_default().split(':').collect();
        parts.get(3..5).map(|place| place.join(":")).unwrap_or_default()
    }

    /// The values of `NAME.member.1`, `NAME.member.2` and so on.
    pub(super) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        (1..).map_while(move |index| self.get(&format!("{name}.member.{index}")))
    }

    pub(super) fn targets(&self) -> Result<Vec<TargetDescription>, Refusal> {
        let nth = |index| {
            let field = |name| self.get(&format!("Targets.member.{index}.{name}"));
            let id = field("Id")?.to_owned();
            let zone = field("AvailabilityZone").map(str::to_owned);
            Some(parse_port(field("Port")).map(|port| TargetDescription { id, port, zone }))
        };
        (1..).map_while(nth).collect()
    }

    /// The tags of AddTags; of RemoveTags the keys, with empty values.
    pub(super) fn tags(&self) -> Vec<(String, String)> {
        let nth = |index| {
            let field = |name| self.get(&format!("Tags.member.{index}.{name}")).map(str::to_owned);
            Some((field("Key")?, field("Value").unwrap_or_default()))
        };
        let keys = self.list("TagKeys").map(|key| (key.to_owned(), String::new()));
        (1..).map_while(nth).chain(keys).collect()
    }

    pub(super) fn page_size(&self) -> Result<Option<usize>, Refusal> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| Refusal::validation(format!("'{text}' is not a valid page size")))
        };
        self.get("PageSize").map(parse).transpose()
    }
}

fn parse_port(port: Option<&str>) -> Result<Option<u16>, Refusal> {
    let parse = |text: &str| match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Refusal::validation(format!(
            "Port '{text}' is not valid: it must be between 1 and 65535"
        ))),
    };
    port.map(parse).transpose()
}

/// Access key, region and service of `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, ...`.
fn credential_scope(authorization: &str) -> Option<[String; 3]> {
    let (_, credential) = authorization.split_once("Credential=")?;
    let mut parts = credential.split('/').map(str::to_owned);
    Some([parts.next()?, parts.nth(1)?, parts.next()?])
}

/// The pairs of a form.
pub(crate) fn form(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let decoded = pairs.map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=').map(unescape);
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    });
    decoded.collect()
}

fn unescape(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, tail),
                _ => (b'%', &rest[1..]),
            },
            (b'+', tail) => (b' ', tail),
            (byte, tail) => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The reply to an action that was carried out; `result` is XML.
pub(super) fn success(request: &Request, result: &str, request_id: &str) -> String {
    let action = request.action();
    if request.is_of_ec2() {
        let namespace = "http://ec2.amazonaws.com/doc/2016-11-15/";
        let request_id = element("requestId", request_id);
        return format!("<{action}Response xmlns=\"{namespace}\">{request_id}{result}</{action}Response>");
    }
    let namespace = match action {
        "AssumeRole" | "GetCallerIdentity" => "https://sts.amazonaws.com/doc/2011-06-15/",
        _ => "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
    };
    let result = element(&format!("{action}Result"), result);
    let metadata = element("ResponseMetadata", &element("RequestId", request_id));
    format!("<{action}Response xmlns=\"{namespace}\">{result}{metadata}</{action}Response>")
}

/// The reply to an action that was refused.
pub(super) fn refusal(request: &Request, refusal: &Refusal, request_id: &str) -> String {
    if request.is_of_ec2() {
        let error = text("Code", &refusal.code) + &text("Message", &refusal.message);
        let errors = element("Errors", &element("Error", &error));
        return element("Response", &(errors + &element("RequestID", request_id)));
    }
    let fault = if refusal.status < 500 { "Sender" } else { "Receiver" };
    let error = text("Type", fault) + &text("Code", &refusal.code) + &text("Message", &refusal.message);
    element(
        "ErrorResponse",
        &(element("Error", &error) + &element("RequestId", request_id)),
    )
}

/// The result of DescribeTargetHealth.
pub(super) fn target_health(targets: &[TargetView]) -> String {
    let members = targets.iter().map(|target| {
        let health = text("State", &target.state)
            + &optional("Reason", target.reason.as_deref())
            + &optional("Description", target.description.as_deref());
        let identity = text("Id", &target.ip)
            + &text("Port", &target.port.to_string())
            + &optional("AvailabilityZone", target.zone.as_deref());
        let member = text("HealthCheckPort", &target.port.to_string())
            + &element("TargetHealth", &health)
            + &element("Target", &identity);
        element("member", &member)
    });
    element("TargetHealthDescriptions", &members.collect::<String>())
}

/// The result of DescribeTargetGroups.
pub(super) fn target_groups(groups: &[(&str, &Group)], next_marker: Option<&str>) -> String {
    let members = groups.iter().map(|(arn, group)| {
        let load_balancers = group
            .load_balancer_arn()
            .map(|arn| text("member", &arn))
            .unwrap_or_default();
        let member = text("TargetGroupArn", arn)
            + &text("TargetGroupName", &group.name)
            + &text("Protocol", &group.protocol)
            + &text("Port", &group.port.to_string())
            + &text("VpcId", &group.vpc_id)
            + &text("TargetType", group.target_type.as_str())
            + &text("IpAddressType", group.family.as_str())
            + &health_check(group)
            + &element("LoadBalancerArns", &load_balancers);
        element("member", &member)
    });
    element("TargetGroups", &members.collect::<String>()) + &optional("NextMarker", next_marker)
}

fn health_check(group: &Group) -> String {
    let check = &group.health_check;
    text("HealthCheckProtocol", &check.protocol)
        + &text("HealthCheckPort", &check.port)
        + &text("HealthCheckEnabled", "true")
        + &text("HealthCheckIntervalSeconds", &check.interval.to_string())
        + &text("HealthCheckTimeoutSeconds", &check.timeout.to_string())
        + &text("HealthyThresholdCount", &check.healthy.to_string())
        + &text("UnhealthyThresholdCount", &check.unhealthy.to_string())
}

/// The result of DescribeTags.
pub(super) fn tag_descriptions(resources: &[(String, Tags)]) -> String {
    let tag = |(key, value): (&String, &String)| element("member", &(text("Key", key) + &text("Value", value)));
    let members = resources.iter().map(|(arn, tags)| {
        let tags: String = tags.iter().map(tag).collect();
        element("member", &(text("ResourceArn", arn) + &element("Tags", &tags)))
    });
    element("TagDescriptions", &members.collect::<String>())
}

pub(crate) fn element(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}

pub(crate) fn text(name: &str, value: &str) -> String {
    let mut escaped = String::new();
    for char in value.chars() {
        if matches!(char, '&' | '<' | '>') || char.is_control() {
            escaped.push_str(&format!("&#{};", u32::from(char)));
        } else {
            escaped.push(char);
        }
    }
    element(name, &escaped)
}

fn optional(name: &str, value: Option<&str>) -> String {
    value.map(|value| text(name, value)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_unescaped() {
        let form = form(b"Action=Describe&Name=a%2Fb+c%20%C3%A9&Empty=&Broken=%zz%4&Flag");
        let pairs: Vec<_> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let expected = [
            ("Action", "Describe"),
            ("Broken", "%zz%4"),
            ("Empty", ""),
            ("Flag", ""),
            ("Name", "a/b c é"),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn markup_in_a_value_is_escaped() {
        assert_eq!(
            text("Message", "a<b> & c\x1b"),
            "<Message>a&#60;b&#62; &#38; c&#27;</Message>"
        );
    }

    #[test]
    fn the_credential_scope_names_key_region_and_service() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/elasticloadbalancing/aws4_request, \
                      SignedHeaders=host, Signature=00";
        let scope = ["AKIDEXAMPLE", "eu-west-1", "elasticloadbalancing"];
        assert_eq!(credential_scope(header), Some(scope.map(str::to_owned)));
        assert_eq!(credential_scope("Bearer abc"), None);
    }
}
