//! The Python that lets the function sync when its stack is deployed: run as it stands in the template, against a server that
//! plays Lambda, CloudFormation and the bucket of answers.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::bridge;
use super::texts::inline_python;
use testkit::scratch::Scratch;

const STACK: &str = "arn:aws:cloudformation:eu-west-1:123456789012:stack/tether/5f0a";
const FUNCTION: &str = "arn:aws:lambda:eu-west-1:123456789012:function:rds-tether";
/// Runs the code as Lambda does, by a clock that its pauses move, and each of its calls by the seconds given.
const DRIVER: &str = "\
import index, json, sys
class Clock:
    now = 0
    def monotonic(self):
        return self.now
    def sleep(self, seconds):
        self.now += seconds
clock = index.time = Clock()
def attempt(*arguments, once=index.attempt):
    clock.sleep(int(sys.argv[1]))
    return once(*arguments)
index.attempt = attempt
index.handler(json.load(sys.stdin), None)
";
/// A call that fails at once.
pub const AT_ONCE: &str = "0";
/// A call in which the function has waited for what may pass.
const AFTER_WAITING: &str = "178";

/// What a server answers: a status, further headers and a body.
#[derive(Clone)]
pub struct Reply(u16, &'static str, String);

impl Reply {
    pub fn synced() -> Self {
        Self(200, "", r#"{"verb":"lambda","exit":0}"#.to_owned())
    }

    fn failed(error_type: &str, message: &str) -> Self {
        let body = json!({"errorType": error_type, "errorMessage": message});
        Self(200, "X-Amz-Function-Error: Unhandled\r\n", body.to_string())
    }

    fn denied() -> Self {
        let body = json!({"Message": "not authorized to perform: lambda:InvokeFunction"});
        Self(403, "X-Amzn-ErrorType: AccessDeniedException\r\n", body.to_string())
    }

    fn stack(status: &str) -> Self {
        let member = format!(
            "<member><StackName>tether</StackName><CreationTime>2026-11-18T11:09:05Z</CreationTime>\
             <StackStatus>{status}</StackStatus></member>"
        );
        let body = format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks>{member}</Stacks></DescribeStacksResult>\
             </DescribeStacksResponse>"
        );
        Self(200, "Content-Type: text/xml\r\n", body)
    }

    fn status(status: u16) -> Self {
        Self(status, "", String::new())
    }
}

#[derive(Default)]
struct Script {
    /// What is answered next to each kind of request; the last one again and again.
    replies: BTreeMap<&'static str, VecDeque<Reply>>,
    /// What was asked: its kind, head and body.
    asked: Vec<(&'static str, String, String)>,
}

/// Lambda, CloudFormation and the bucket of answers.
pub struct Stage {
    url: String,
    script: Arc<Mutex<Script>>,
}

impl Stage {
    pub fn new(replies: &[(&'static str, &[Reply])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let replies = replies
            .iter()
            .map(|(kind, replies)| (*kind, replies.iter().cloned().collect()));
        let script = Arc::new(Mutex::new(Script {
            replies: replies.collect(),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&script);
        // It ends with the process: nobody connects any more.
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &shared)));
        Self { url, script }
    }

    /// Handles one request, and returns the answers to the stack.
    fn handle(&self, event: &Value, call_seconds: &str) -> Vec<Value> {
        self.handle_for(event, call_seconds, &format!("{}/answer?signature=abc", self.url));
        let answers = self.asked("answer").into_iter();
        answers
            .map(|(_, body)| serde_json::from_str(&body).expect("JSON"))
            .collect()
    }

    /// Handles one request that is to be answered to this URL.
    pub fn handle_for(&self, event: &Value, call_seconds: &str, response_url: &str) {
        let folder = Scratch::new();
        folder.write("index.py", &inline_python());
        let mut event = event.clone();
        event["ResponseURL"] = json!(response_url);
        let mut command = bridge::python();
        let command = command.args(["-c", DRIVER, call_seconds]).current_dir(folder.folder());
        let command = command
            .env("AWS_ENDPOINT_URL", &self.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        write!(child.stdin.take().unwrap(), "{event}").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The requests of a kind: head and body.
    pub fn asked(&self, kind: &str) -> Vec<(String, String)> {
        let script = self.script.lock().unwrap();
        let asked = script.asked.iter().filter(|(of, ..)| *of == kind);
        asked.map(|(_, head, body)| (head.clone(), body.clone())).collect()
    }
}

fn serve(stream: TcpStream, script: &Mutex<Script>) {
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let lower = head.to_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).expect("a body as long as it says");
    let kind = match head.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["PUT", "/answer?signature=abc"] => "answer",
        ["POST", path] if path.ends_with("/invocations") => "invoke",
        ["POST", "/"] => "describe",
        _ => "unknown",
    };
    let mut script = script.lock().unwrap();
    script
        .asked
        .push((kind, head, String::from_utf8_lossy(&body).into_owned()));
    let replies = script
        .replies
        .entry(kind)
        .or_insert_with(|| [Reply::status(500)].into());
    let next = if replies.len() > 1 {
        replies.pop_front()
    } else {
        replies.front().cloned()
    };
    let Reply(status, headers, body) = next.expect("a reply");
    let length = body.len();
    let reply = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}");
    // Who asked may be gone.
    let _ = (&stream).write_all(reply.as_bytes());
}

/// What CloudFormation sends.
pub fn event(request_type: &str) -> Value {
    let mut event = json!({
        "RequestType": request_type,
        "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:first-sync",
        "StackId": STACK,
        "RequestId": "b1946ac9",
        "LogicalResourceId": "Sync",
        "ResourceType": "Custom::FirstSync",
        "ResourceProperties": {"FunctionName": FUNCTION, "Endpoint": "orders.example.com:5432"},
    });
    if request_type != "Create" {
        event["PhysicalResourceId"] = json!("first-sync");
    }
    event
}

#[track_caller]
fn assert_answered(answers: &[Value], status: &str, reason: &str) {
    let [answer] = answers else { panic!("{answers:?}") };
    assert_eq!(answer["Status"], status, "{answer}");
    assert!(answer["Reason"].as_str().unwrap().contains(reason), "{answer}");
    for (key, value) in [
        ("StackId", STACK),
        ("RequestId", "b1946ac9"),
        ("LogicalResourceId", "Sync"),
        ("PhysicalResourceId", "first-sync"),
    ] {
        assert_eq!(answer[key], value, "{answer}");
    }
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn a_sync_that_succeeds_is_answered_with_success() {
    for request_type in ["Create", "Update"] {
        let stage = Stage::new(&[("invoke", &[Reply::synced()]), ("answer", &[Reply::status(200)])]);
        let answers = stage.handle(&event(request_type), AT_ONCE);
        assert_answered(&answers, "SUCCESS", "synced");
        let invocations = stage.asked("invoke");
        let [(head, body)] = &invocations[..] else {
            panic!("{invocations:?}")
        };
        assert_eq!(body, r#"{"command":"sync"}"#);
        assert!(head.contains("rds-tether/invocations"), "{head}");
        let lower = head.to_lowercase();
        assert!(!lower.contains("x-amz-invocation-type: event"), "it must wait: {head}");
        let (head, _) = &stage.asked("answer")[0];
        assert!(
            head.to_lowercase().contains("content-type: \r\n"),
            "the URL is signed for none: {head}"
        );
    }
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn a_sync_that_fails_is_told_with_its_reason() {
    let message = "orders: cannot resolve orders.example.com: no such name (NXDOMAIN)";
    let stage = Stage::new(&[
        ("invoke", &[Reply::failed("Unsettled", message)]),
        ("answer", &[Reply::status(200)]),
    ]);
    let answers = stage.handle(&event("Create"), AFTER_WAITING);
    assert_answered(&answers, "FAILED", &format!("Unsettled: {message}"));
    assert_eq!(stage.asked("invoke").len(), 1, "it has been tried for long enough");
    assert!(stage.asked("describe").is_empty(), "a creation is never undone by this");
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn a_reason_is_cut_to_what_an_answer_may_have() {
    let stage = Stage::new(&[
        ("invoke", &[Reply::failed("Unsettled", &"\u{1F418}".repeat(5000))]),
        ("answer", &[Reply::status(200)]),
    ]);
    assert_answered(
        &stage.handle(&event("Create"), AFTER_WAITING),
        "FAILED",
        "Unsettled: \u{1F418}",
    );
    let (_, body) = &stage.asked("answer")[0];
    assert!(body.len() <= 4096, "{} bytes", body.len());
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn an_error_that_is_no_json_is_told_as_it_is() {
    let odd = Reply(200, "X-Amz-Function-Error: Unhandled\r\n", "out of memory".to_owned());
    let stage = Stage::new(&[("invoke", &[odd]), ("answer", &[Reply::status(200)])]);
    assert_answered(
        &stage.handle(&event("Create"), AFTER_WAITING),
        "FAILED",
        "out of memory",
    );
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn what_a_new_role_may_not_do_yet_is_tried_again() {
    let early = Reply::failed("Unsettled", "orders: DescribeTargetHealth: AccessDenied");
    let stage = Stage::new(&[
        ("invoke", &[Reply::denied(), early, Reply::synced()]),
        ("answer", &[Reply::status(200)]),
    ]);
    assert_answered(&stage.handle(&event("Create"), AT_ONCE), "SUCCESS", "");
    assert_eq!(stage.asked("invoke").len(), 3);
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn what_stays_denied_is_told() {
    let stage = Stage::new(&[("invoke", &[Reply::denied()]), ("answer", &[Reply::status(200)])]);
    assert_answered(&stage.handle(&event("Create"), AT_ONCE), "FAILED", "cannot be invoked");
    assert_eq!(stage.asked("invoke").len(), 13, "every five seconds for a minute");
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn a_function_that_cannot_be_reached_is_told() {
    // A server error is all that this stage says to what it has no reply for.
    let stage = Stage::new(&[("answer", &[Reply::status(200)])]);
    assert_answered(
        &stage.handle(&event("Create"), AFTER_WAITING),
        "FAILED",
        "cannot be invoked",
    );
    assert_eq!(
        stage.asked("invoke").len(),
        1,
        "a second call could run beside the first"
    );
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn a_deletion_always_succeeds_and_syncs_nothing() {
    let stage = Stage::new(&[("answer", &[Reply::status(200)])]);
    let mut event = event("Delete");
    // A creation that failed early leaves little behind.
    event["ResourceProperties"] = json!({});
    assert_answered(&stage.handle(&event, AT_ONCE), "SUCCESS", "");
    assert!(stage.asked("invoke").is_empty());
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn an_update_that_is_being_undone_never_gets_stuck() {
    let failed = [Reply::failed("Unsettled", "orders: cannot resolve")];
    for (status, told) in [
        ("UPDATE_IN_PROGRESS", "FAILED"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "SUCCESS"),
    ] {
        let stage = Stage::new(&[
            ("invoke", &failed),
            ("describe", &[Reply::stack(status)]),
            ("answer", &[Reply::status(200)]),
        ]);
        assert_answered(&stage.handle(&event("Update"), AFTER_WAITING), told, "");
        let described = stage.asked("describe");
        let [(_, body)] = &described[..] else {
            panic!("{described:?}")
        };
        assert!(
            body.contains("Action=DescribeStacks") && body.contains("stack%2Ftether"),
            "{body}"
        );
        assert_eq!(stage.asked("invoke").len(), 1, "the former settings are synced, too");
    }
    let stage = Stage::new(&[("invoke", &failed), ("answer", &[Reply::status(200)])]);
    assert_answered(&stage.handle(&event("Update"), AFTER_WAITING), "SUCCESS", "");
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn an_answer_that_does_not_arrive_is_given_again() {
    let stage = Stage::new(&[
        ("invoke", &[Reply::synced()]),
        ("answer", &[Reply::status(503), Reply::status(500), Reply::status(200)]),
    ]);
    let answers = stage.handle(&event("Create"), AT_ONCE);
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn a_request_that_cannot_be_understood_is_answered() {
    let stage = Stage::new(&[("answer", &[Reply::status(200)])]);
    let mut event = event("Create");
    event["ResourceProperties"] = json!({});
    assert_answered(&stage.handle(&event, AT_ONCE), "FAILED", "KeyError");
}
