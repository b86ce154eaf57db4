//! Replies of AWS: which call they are for, a digit for the status, where they are cut, and then their bodies, a zero byte between them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_elasticloadbalancingv2::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use rds_tether::aws::arn::Arn;
use rds_tether::aws::bucket::{Bucket, Urgency};
use rds_tether::aws::elb::{Client, Group, TargetGroups, Write};
use rds_tether::aws::failure::Failure;
use rds_tether::aws::reply::Bounded;
use rds_tether::aws::{ec2, sts};
use rds_tether::clock::Clock;
use rds_tether::counts::Calls;
use rds_tether::discover::sweep;
use rds_tether::planner::target::{Family, Target};

use super::alone::alone;

const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/0123456789abcdef";
const STATUSES: [u16; 6] = [200, 400, 403, 429, 500, 503];

/// What was read: whether all of it is wanted, or why there is nothing.
type Listing = Result<Vec<String>, String>;

/// A list is read whole or not at all: not from a reply that says that the call failed, not from one that is cut short, and nothing
/// stands in it that is not in the reply.
pub fn check(data: &[u8]) {
    let Some(([call, status, cut], bodies)) = data.split_first_chunk() else {
        return;
    };
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    let bodies: Vec<&[u8]> = bodies.split(|byte| *byte == 0).collect();
    let whole = read(*call, status, &bodies);
    // That there is no group of a name is told as a failure.
    let says_so = bodies
        .first()
        .is_some_and(|body| count(body, b"TargetGroupNotFound") > 0);
    let is_of_none = *call == b'n' && says_so && whole.as_ref().is_ok_and(Vec::is_empty);
    assert!(
        whole.is_err() || status == 200 || is_of_none,
        "status {status}: {whole:?}"
    );
    let Ok(whole) = whole else { return };
    let members: usize = bodies.iter().map(|body| count(body, b"<member")).sum();
    // An identity is no list, a group that was known once is told of without a reply about it, and EC2 has other words.
    assert!(whole.len() <= members || b"iSsCp".contains(call), "{whole:?}");
    // Behind any tag, or anywhere.
    let Some((last, before)) = bodies.split_last() else {
        return;
    };
    let tags = last.iter().enumerate().filter(|(_, byte)| **byte == b'>');
    let ends: Vec<usize> = tags.map(|(at, _)| at + 1).collect();
    let cut = usize::from(*cut);
    let end = match cut % 2 {
        0 => ends.get(cut / 2 % ends.len().max(1)).copied().unwrap_or_default(),
        _ => last.len() * cut / 256,
    };
    let shorter = [before, &[&last[..end]]].concat();
    if let Ok(short) = read(*call, status, &shorter) {
        assert_eq!(short, whole, "cut after {end} bytes");
    }
}

fn count(body: &[u8], word: &[u8]) -> usize {
    body.windows(word.len()).filter(|bytes| *bytes == word).count()
}

fn read(call: u8, status: u16, bodies: &[&[u8]]) -> Listing {
    let replies = bodies.iter().map(|body| (status, body.to_vec())).collect();
    alone(async {
        let config = config(Replies(Arc::new(Mutex::new(replies))));
        let client = Client::new(&config, Bucket::start(), Calls::default(), None);
        let ec2 = ec2::Client::new(&config, None).await;
        let arn: Arn = GROUP.parse().unwrap();
        let arns = std::slice::from_ref(&arn);
        let turn = client.turn(Urgency::Look).await;
        let group = Group {
            arn: arn.clone(),
            family: Family::Ipv4,
            protocol: "TCP".to_owned(),
            port: 5432,
            check_port: "traffic-port".to_owned(),
            vpc: "vpc-1".to_owned(),
        };
        match call {
            b't' => list(client.targets(&group, turn).await),
            b'g' => {
                let groups = client.groups(arns, turn).await.map_err(|error| error.to_string())?;
                assert!(groups.keys().eq(arns), "{groups:?}");
                list(groups.into_values().collect::<Result<Vec<_>, _>>())
            }
            b'a' => list(client.all_groups(Urgency::Look).await.map(|(groups, _)| groups)),
            b'n' => list(client.named("orders").await),
            b'l' => {
                let tags = client.list_tags(arns).await;
                assert!(
                    tags.iter().flat_map(BTreeMap::keys).all(|told| *told == arn),
                    "{tags:?}"
                );
                list(tags)
            }
            b'S' => list(sweep(&client, [arn].into()).await),
            b'd' => list(client.detail(&arn).await.map(Some)),
            b'A' => list(client.attributes(&arn).await),
            b'b' => list(client.balancers(&arn, &[GROUP.to_owned()]).await),
            b'B' => list(client.balancer_attributes(&arn, GROUP).await),
            b'L' => list(client.listeners(&arn, GROUP).await),
            b'r' => list(client.rules(&arn, GROUP).await),
            b'c' => list(client.listener_attributes(&arn, GROUP).await),
            b's' => list(ec2.services().await),
            b'C' => list(ec2.connections("vpce-svc-1").await),
            b'p' => list(ec2.principals("vpce-svc-1").await),
            b'i' => list(sts::ask(&config, None, Clock::start()).await.caller.map(Some)),
            _ => {
                let target = |last: u8| {
                    (
                        Target {
                            ip: [10, 0, 0, last].into(),
                            port: 5432,
                        },
                        None,
                    )
                };
                let targets = BTreeMap::from([target(1), target(2)]);
                let write = if call & 1 == 0 {
                    Write::Register
                } else {
                    Write::Deregister
                };
                let written = client.write(write, &arn, &targets, turn).await;
                let failed = written.failed.iter().flat_map(|(targets, _)| targets);
                let mut all: Vec<Target> = written.done.iter().chain(failed).copied().collect();
                all.sort();
                assert!(all.iter().eq(targets.keys()), "{written:?}");
                match written.failed.first() {
                    Some((_, error)) => Err(error.to_string()),
                    None => Ok(Vec::new()),
                }
            }
        }
    })
}

/// What was read, as text.
fn list<T: Debug>(read: Result<impl IntoIterator<Item = T>, impl Into<Why>>) -> Listing {
    let read = read.map_err(|error| error.into().0)?;
    Ok(read.into_iter().map(|item| format!("{item:?}")).collect())
}

struct Why(String);

impl From<Failure> for Why {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string() + &rds_tether::aws::elb::remedy_of(&failure))
    }
}

impl From<rds_tether::aws::elb::Error> for Why {
    fn from(error: rds_tether::aws::elb::Error) -> Self {
        Self(error.to_string())
    }
}

fn config(replies: Replies) -> SdkConfig {
    let keys = Credentials::new("AKIAEXAMPLE", "secret", None, None, "fuzz");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .http_client(Bounded(SharedHttpClient::new(replies)))
        .retry_config(RetryConfig::disabled())
        .build()
}

/// What AWS replies, one call after the other: a status and a body.
#[derive(Clone, Debug)]
struct Replies(Arc<Mutex<VecDeque<Reply>>>);

type Reply = (u16, Vec<u8>);

impl HttpClient for Replies {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Replies {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let reply = self.0.lock().unwrap().pop_front();
        HttpConnectorFuture::ready(match reply {
            Some((status, body)) => Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))),
            None => Err(ConnectorError::io("nothing is left".into())),
        })
    }
}
