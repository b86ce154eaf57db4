//! Tokens of IAM for a database against those that botocore signs, the library of AWS's own tools.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use rds_tether::aws::token;
use serde_json::Value;
use testkit::program::{provided, succeed};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// Prints a token for each of the JSON's cases: host, port, region, user, and the session's token.
const SCRIPT: &str = "
import json, sys
import botocore.session
for host, port, region, user, session_token in json.loads(sys.argv[3]):
    session = botocore.session.Session()
    session.set_credentials(sys.argv[1], sys.argv[2], session_token)
    client = session.create_client('rds', region_name=region)
    print(json.dumps(client.generate_db_auth_token(host, port, user)))
";

/// Fails if one byte of a part differs, whatever is in a user's name or comes with a session.
#[test]
#[ignore = "needs moto: tests/run provides it"]
fn tokens_are_those_that_botocore_signs() {
    const HOST: &str = "orders-1.abc123.eu-west-1.rds.amazonaws.com";
    const LONG: &str = "IQoJb3JpZ2luX2VjEJr//////////wEaCWV1LXdlc3QtMSJHMEUCIQDx+/=&?%20";
    let cases: [(&str, u16, &str, &str, Option<&str>); 9] = [
        (HOST, 5432, "eu-west-1", "rds_tether", None),
        (HOST, 5433, "eu-west-1", "rds_tether", Some("session")),
        (HOST, 5432, "eu-west-1", "rds_tether", Some(LONG)),
        (HOST, 5432, "eu-west-1", "o'dd user@x/y+z=&?", None),
        (HOST, 5432, "eu-west-1", "a%20b%", Some(LONG)),
        (HOST, 5432, "eu-west-1", "käse-und-🐘", None),
        (HOST, 5432, "eu-west-1", "~tilde_under-dash.dot", None),
        (HOST, 5432, "eu-west-1", "\"quoted\"\\back", None),
        (
            "orders-1.abc123.cn-north-1.rds.amazonaws.com.cn",
            5432,
            "cn-north-1",
            "rds_tether",
            Some("session"),
        ),
    ];
    let mut python = std::process::Command::new(provided("RDS_TETHER_TEST_PYTHON"));
    python.env_clear().args(["-c", SCRIPT, KEY, SECRET]);
    python.arg(serde_json::to_string(&cases).expect("JSON"));
    let printed = succeed(&mut python);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), cases.len(), "{printed}");
    for ((host, port, region, user, session), line) in cases.into_iter().zip(lines) {
        let theirs: Value = serde_json::from_str(line).expect("JSON");
        let theirs = theirs.as_str().expect("a token");
        let credentials = Credentials::new(KEY, SECRET, session.map(str::to_owned), None, "test");
        let ours = token::signed(host, port, region, user, credentials, signed_at(theirs));
        assert_eq!(ours.as_deref().map(parts), Some(parts(theirs)), "{user} {session:?}");
    }
}

/// The host and each parameter. AWS puts these in order before it checks the signature.
fn parts(token: &str) -> BTreeSet<&str> {
    token.split(['?', '&']).collect()
}

/// The time in `X-Amz-Date=20261129T101500Z`.
fn signed_at(token: &str) -> SystemTime {
    let (_, rest) = token.split_once("X-Amz-Date=").expect("a date");
    let part = |range: std::ops::Range<usize>| rest.get(range).expect("a date");
    let [date, time] = [(0..4, 4..6, 6..8), (9..11, 11..13, 13..15)].map(|(a, b, c)| [part(a), part(b), part(c)]);
    let text = format!("{}T{}Z", date.join("-"), time.join(":"));
    let moment: jiff::Timestamp = text.parse().expect("a time");
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(moment.as_second()).expect("a time after 1970"))
}
