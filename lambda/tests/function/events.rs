//! Events in the shapes in which they arrive.

use std::time::Duration;

use serde_json::{Value, json};

pub const START: u16 = 72;
pub const COMPLETE: u16 = 71;
pub const DNS_CHANGED: u16 = 385;
/// A backup; nothing that changes an address.
pub const OTHER: u16 = 168;

fn moment(ago: Duration) -> jiff::Timestamp {
    jiff::Timestamp::now() - ago
}

/// An event of a cluster that happened that long ago, as EventBridge sends it.
pub fn eventbridge(id: u16, cluster: &str, ago: Duration) -> Value {
    let at = moment(ago).to_string();
    json!({
        "version": "0", "id": "844e2571-85d4-695f-b930-0153b71dcb42", "source": "aws.rds",
        "detail-type": "RDS DB Cluster Event", "account": "111122223333", "region": "eu-west-1", "time": at,
        "resources": [format!("arn:aws:rds:eu-west-1:111122223333:cluster:{cluster}")],
        "detail": {
            "EventCategories": ["failover"], "SourceType": "CLUSTER", "Date": at, "Message": "what happened",
            "SourceArn": format!("arn:aws:rds:eu-west-1:111122223333:cluster:{cluster}"),
            "SourceIdentifier": cluster, "EventID": format!("RDS-EVENT-{id:04}"),
        },
    })
}

/// The same as an RDS event subscription sends it to a topic.
pub fn subscription(id: u16, cluster: &str, ago: Duration) -> Value {
    let at = moment(ago).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
    let documentation = "http://docs.amazonwebservices.com/AmazonRDS/latest/UserGuide/USER_Events.html";
    json!({
        "Event Source": "db-cluster", "Event Time": at, "Identifier Link": "https://console.aws.amazon.com/rds/home",
        "Source ID": cluster, "Source ARN": format!("arn:aws:rds:eu-west-1:111122223333:cluster:{cluster}"),
        "Event ID": format!("{documentation}#RDS-EVENT-{id:04}"), "Event Message": "what happened",
    })
}

/// What Lambda is handed for a message of a topic.
pub fn sns(message: &Value) -> Value {
    json!({ "Records": [{
        "EventSource": "aws:sns", "EventVersion": "1.0",
        "Sns": { "Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:111122223333:rds", "Subject": null,
                 "Message": message.to_string(), "SigningCertUrl": "https://example.com/cert.pem" },
    }]})
}

/// What Lambda is handed for messages of a queue that a topic fills.
pub fn sns_in_sqs(messages: &[Value]) -> Value {
    let envelope = |message: &Value| json!({ "Type": "Notification", "Message": message.to_string(), "SigningCertURL": "https://example.com/cert.pem" });
    sqs(&messages.iter().map(envelope).collect::<Vec<_>>())
}

/// What Lambda is handed for messages of a queue.
pub fn sqs(bodies: &[Value]) -> Value {
    let record = |body: &Value| json!({ "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d", "eventSource": "aws:sqs", "body": body.to_string() });
    json!({ "Records": bodies.iter().map(record).collect::<Vec<_>>() })
}

/// A switchover, which names the deployment and not the database.
pub fn blue_green() -> Value {
    let arn = "arn:aws:rds:eu-west-1:111122223333:deployment:bgd-a1b2c3d4e5f6";
    json!({
        "source": "aws.rds", "detail-type": "RDS Blue Green Deployment Event", "time": "2026-01-01T00:00:00Z",
        "detail": { "SourceType": "BLUE_GREEN_DEPLOYMENT", "SourceArn": arn, "SourceIdentifier": "bgd-a1b2c3d4e5f6",
                    "EventID": "RDS-EVENT-0259" },
    })
}
