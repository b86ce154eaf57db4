//! The simulated Lambda against what AWS documents of the Runtime API, asked over a plain socket; and the starting,
//! freezing and stopping of a process, with this test binary as the `bootstrap`.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use testkit::lambda::{FUNCTION_ARN, FUNCTION_NAME, Function, FunctionError, Outcome, Runtime};
use testkit::program::PATIENCE;

/// How long to watch that nothing happens.
const A_WHILE: Duration = Duration::from_millis(100);
/// A time-out that no test lives to see the end of.
const FOR_EVER: Duration = Duration::from_secs(900);

/// A runtime's connection to the API.
struct Client(BufReader<TcpStream>);

struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Client {
    fn of(api: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(api).unwrap()))
    }

    fn send(&mut self, method: &str, path: &str, header: &str, body: &str) {
        let length = body.len();
        let head = format!("{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: lambda\r\n{header}");
        write!(self.0.get_mut(), "{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
    }

    fn receive(&mut self) -> Reply {
        let mut lines = self.0.by_ref().lines().map(|line| line.unwrap());
        let status = lines.next().unwrap()["HTTP/1.1 ".len()..][..3].parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .take_while(|line| !line.is_empty())
            .map(|line| {
                line.split_once(": ")
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .unwrap()
            })
            .collect();
        let mut body = vec![0; headers["Content-Length"].parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        Reply { status, headers, body }
    }

    fn ask(&mut self) {
        self.send("GET", "invocation/next", "", "");
    }

    /// The id and the payload of an invocation asked for.
    fn work(&mut self) -> (String, String) {
        let Reply { status, headers, body } = self.receive();
        assert_eq!(status, 200);
        (headers["Lambda-Runtime-Aws-Request-Id"].clone(), body)
    }

    fn next(&mut self) -> (String, String) {
        self.ask();
        self.work()
    }

    fn post(&mut self, path: &str, header: &str, body: &str) -> u16 {
        self.send("POST", path, header, body);
        self.receive().status
    }

    fn respond(&mut self, id: &str, body: &str) -> u16 {
        self.post(&format!("invocation/{id}/response"), "", body)
    }
}

fn success(body: &str) -> Outcome {
    Outcome::Success(body.to_owned())
}

fn now_milliseconds() -> u128 {
    UNIX_EPOCH.elapsed().unwrap().as_millis()
}

#[test]
fn an_invocation_is_handed_over_with_its_headers_and_its_response_comes_back() {
    let runtime = Runtime::start();
    let before = now_milliseconds();
    let invocation = runtime.invoke("{\"look\": \"now ü\"}", FOR_EVER);
    let after = now_milliseconds();
    let mut client = Client::of(&runtime.api());
    client.ask();
    let work = client.receive();
    assert_eq!((work.status, work.body.as_str()), (200, "{\"look\": \"now ü\"}"));
    assert_eq!(work.headers["Lambda-Runtime-Aws-Request-Id"], invocation.id());
    assert_eq!(work.headers["Lambda-Runtime-Invoked-Function-Arn"], FUNCTION_ARN);
    assert!(FUNCTION_ARN.ends_with(&format!(":function:{FUNCTION_NAME}")));
    assert!(work.headers["Lambda-Runtime-Trace-Id"].starts_with("Root=1-"));
    let deadline: u128 = work.headers["Lambda-Runtime-Deadline-Ms"].parse().unwrap();
    assert!(
        (before..=after).contains(&(deadline - FOR_EVER.as_millis())),
        "{deadline}"
    );

    assert_eq!(invocation.wait(Duration::ZERO), Outcome::Pending);
    assert_eq!(invocation.time_left(), None);
    assert_eq!(client.respond(invocation.id(), "{\"done\": 1}"), 202);
    assert_eq!(invocation.wait(PATIENCE), success("{\"done\": 1}"));
    assert!(invocation.time_left().is_some_and(|left| left > FOR_EVER - PATIENCE));
    assert_eq!(runtime.init_error(), None);
}

#[test]
fn an_error_of_the_function_arrives_with_its_type_and_message() {
    let runtime = Runtime::start();
    let invocation = runtime.invoke("{}", FOR_EVER);
    let mut client = Client::of(&runtime.api());
    let (id, _) = client.next();
    let body = r#"{"errorType": "Denied", "errorMessage": "not \"allowed\"", "stackTrace": []}"#;
    let header = "Lambda-Runtime-Function-Error-Type: Unhandled\r\n";
    assert_eq!(client.post(&format!("invocation/{id}/error"), header, body), 202);
    let expected = FunctionError {
        error_type: "Denied".to_owned(),
        message: "not \"allowed\"".to_owned(),
        header: Some("Unhandled".to_owned()),
        body: body.to_owned(),
    };
    assert_eq!(invocation.wait(PATIENCE), Outcome::Error(expected));
}

#[test]
fn invocations_go_to_whoever_asks_in_the_order_of_both() {
    let runtime = Runtime::start();
    let api = runtime.api();
    let (mut first, mut second) = (Client::of(&api), Client::of(&api));
    assert!(!runtime.wait_for_next(A_WHILE));
    first.ask();
    assert!(runtime.wait_for_next(PATIENCE));
    second.ask();
    assert!(runtime.wait_for_nexts(2, PATIENCE));
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|payload| runtime.invoke(payload, FOR_EVER));
    assert_eq!(first.work().1, "a");
    assert_eq!(second.work().1, "b");
    assert!(!runtime.wait_for_next(Duration::ZERO), "both are busy");
    assert_eq!(second.respond(b.id(), "B"), 202);
    assert_eq!(second.next().1, "c");
    assert_eq!(first.respond(a.id(), "A"), 202);
    assert_eq!(first.next().1, "d");
    assert_eq!(runtime.nexts(), 4);
    assert_eq!(
        [a, b, c, d].map(|invocation| invocation.wait(Duration::ZERO)),
        [success("A"), success("B"), Outcome::Pending, Outcome::Pending]
    );
}

#[test]
fn without_an_answer_by_the_deadline_an_invocation_has_timed_out() {
    let runtime = Runtime::start();
    let [taken, untaken] = ["taken", "untaken"].map(|payload| runtime.invoke(payload, A_WHILE));
    let mut client = Client::of(&runtime.api());
    let (id, _) = client.next();
    assert_eq!(taken.wait(PATIENCE), Outcome::TimedOut);
    assert_eq!(untaken.wait(PATIENCE), Outcome::TimedOut);
    assert_eq!(client.respond(&id, "late"), 400);
    assert_eq!(taken.wait(PATIENCE), Outcome::TimedOut);
    let fresh = runtime.invoke("fresh", FOR_EVER);
    assert_eq!(
        client.next(),
        (fresh.id().to_owned(), "fresh".to_owned()),
        "nobody is given what has timed out"
    );
}

#[test]
fn an_answer_to_what_was_not_asked_is_refused() {
    let runtime = Runtime::start();
    let invocation = runtime.invoke("{}", FOR_EVER);
    let mut client = Client::of(&runtime.api());
    assert_eq!(client.respond(invocation.id(), "before it was handed over"), 400);
    let (id, _) = client.next();
    assert_eq!(client.respond("00000000-0000-4000-8000-999999999999", ""), 400);
    assert_eq!(client.respond(&id, "first"), 202);
    assert_eq!(client.respond(&id, "second"), 400);
    assert_eq!(invocation.wait(PATIENCE), success("first"));
    assert_eq!(client.post("invocation/next", "", ""), 404);
    assert_eq!(client.post("exit/error", "", ""), 404);
}

#[test]
fn a_response_larger_than_lambda_takes_is_an_error() {
    let runtime = Runtime::start();
    let [fits, exceeds] = ["", ""].map(|payload| runtime.invoke(payload, FOR_EVER));
    let mut client = Client::of(&runtime.api());
    let mut body = "x".repeat(6_291_556);
    client.next();
    assert_eq!(client.respond(fits.id(), &body), 202);
    body.push('x');
    client.next();
    assert_eq!(client.respond(exceeds.id(), &body), 413);
    assert_eq!(fits.wait(PATIENCE), success(&body[1..]));
    let Outcome::Error(error) = exceeds.wait(PATIENCE) else {
        panic!("the response was taken")
    };
    assert_eq!(error.error_type, "Function.ResponseSizeTooLarge");
}

#[test]
fn an_init_error_fails_what_waits_and_what_comes_until_a_process_asks_for_work() {
    let runtime = Runtime::start();
    let waiting = runtime.invoke("waiting", FOR_EVER);
    let mut client = Client::of(&runtime.api());
    let header = "Lambda-Runtime-Function-Error-Type: Tether.Settings\r\n";
    assert_eq!(client.post("init/error", header, "{\"errorMessage\":\"no name\"}"), 202);
    let error = runtime.wait_for_init_error(PATIENCE).unwrap();
    assert_eq!(
        (error.error_type.as_str(), error.message.as_str()),
        ("Tether.Settings", "no name")
    );
    assert_eq!(waiting.wait(PATIENCE), Outcome::InitError(error.clone()));
    let later = runtime.invoke("later", FOR_EVER);
    assert_eq!(later.wait(PATIENCE), Outcome::InitError(error));

    client.ask();
    assert!(runtime.wait_for_next(PATIENCE));
    runtime.invoke("good", FOR_EVER);
    assert_eq!(client.work().1, "good");
}

#[test]
fn the_api_ends_when_it_is_dropped() {
    let runtime = Runtime::start();
    let mut client = Client::of(&runtime.api());
    client.ask();
    assert!(runtime.wait_for_next(PATIENCE));
    drop(runtime);
    let mut rest = Vec::new();
    assert_eq!(client.0.read_to_end(&mut rest).unwrap_or(0), 0);
}

/// A `bootstrap` that does what the payload says, in a process of its own.
#[test]
#[ignore = "started by the other tests"]
#[allow(clippy::disallowed_methods, reason = "here it is a process that Lambda starts")]
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what is tested")]
fn stand_in() {
    let Ok(api) = std::env::var("AWS_LAMBDA_RUNTIME_API") else {
        return;
    };
    let mut client = Client::of(&api);
    if let Ok(why) = std::env::var("STAND_IN_CANNOT_START") {
        client.post("init/error", "", &format!("{{\"errorType\":\"{why}\"}}"));
        std::process::exit(1);
    }
    let variables = || std::env::vars().map(|(name, value)| format!("{name}={value}\n"));
    for served in 1.. {
        let (id, payload) = client.next();
        let response = match payload.as_str() {
            "served" => served.to_string(),
            "environment" => variables().collect(),
            "folder" => std::env::current_dir().unwrap().display().to_string(),
            "exit" => std::process::exit(3),
            _ => {
                println!("out {payload}");
                eprintln!("err {payload}");
                payload
            }
        };
        client.respond(&id, &response);
    }
}

/// A folder with a `bootstrap` that turns into [`stand_in`].
fn task(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lambda").join(name);
    fs::create_dir_all(&folder).unwrap();
    let script = "#!/bin/sh\nexec \"$STAND_IN\" --exact lambda::stand_in --ignored --nocapture\n";
    // Written by a process of its own: a thread that forks meanwhile would hold the file open for writing, and it
    // could not be started.
    let write = "printf '%s' \"$1\" > bootstrap && chmod 755 bootstrap";
    let written = Command::new("sh")
        .args(["-c", write, "sh", script])
        .current_dir(&folder)
        .status();
    assert!(written.unwrap().success());
    folder
}

fn start(runtime: &Runtime, task: &Path, extra: &[(&str, &str)]) -> Function {
    let stand_in = std::env::current_exe().unwrap();
    let extra: Vec<_> = extra
        .iter()
        .copied()
        .chain([("STAND_IN", stand_in.to_str().unwrap())])
        .collect();
    Function::start(runtime, &task.join("bootstrap"), task, &extra)
}

fn served(runtime: &Runtime) -> Outcome {
    runtime.invoke("served", FOR_EVER).wait(PATIENCE)
}

#[test]
fn a_function_has_the_environment_that_lambda_gives_and_nothing_else() {
    let runtime = Runtime::start();
    let task = task("environment");
    let extra = [("RDS_TETHER_LOG", "debug"), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")];
    let _function = start(&runtime, &task, &extra);
    let Outcome::Success(environment) = runtime.invoke("environment", FOR_EVER).wait(PATIENCE) else {
        panic!("no answer")
    };
    let environment: BTreeMap<&str, &str> = environment.lines().filter_map(|line| line.split_once('=')).collect();
    assert!(environment["AWS_LAMBDA_RUNTIME_API"].starts_with("127.0.0.1:"));
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], FUNCTION_NAME);
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_VERSION"], "$LATEST");
    assert_eq!(
        environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "256",
        "the test's own value wins"
    );
    assert_eq!(environment["AWS_REGION"], "eu-west-1");
    assert_eq!(environment["LAMBDA_TASK_ROOT"], task.to_str().unwrap());
    assert_eq!(environment["RDS_TETHER_LOG"], "debug");
    for name in ["AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "PATH"] {
        assert!(environment.contains_key(name), "{name}");
    }
    for name in ["HOME", "CARGO_MANIFEST_DIR"] {
        assert!(!environment.contains_key(name), "{name}");
    }
    let folder = runtime.invoke("folder", FOR_EVER).wait(PATIENCE);
    assert_eq!(folder, success(fs::canonicalize(&task).unwrap().to_str().unwrap()));
}

#[test]
fn the_lines_of_both_outputs_are_collected() {
    let runtime = Runtime::start();
    let function = start(&runtime, &task("output"), &[]);
    for payload in ["one", "two"] {
        runtime.invoke(payload, FOR_EVER);
    }
    let has = |lines: &[String], line: &str| lines.iter().any(|own| own == line);
    assert!(function.wait_for_stdout(PATIENCE, |lines| has(lines, "out one") && has(lines, "out two")));
    assert!(function.wait_for_stderr(PATIENCE, |lines| has(lines, "err two")));
    assert!(!has(&function.stdout(), "err one"));
    assert!(has(&function.stderr(), "err one"));
    assert!(!function.wait_for_stdout(A_WHILE, |lines| has(lines, "out three")));
}

#[test]
fn a_restarted_function_begins_anew_and_a_stopped_one_serves_nothing() {
    let runtime = Runtime::start();
    let mut function = start(&runtime, &task("restart"), &[]);
    assert_eq!([served(&runtime), served(&runtime)], [success("1"), success("2")]);
    assert!(runtime.wait_for_next(PATIENCE));
    function.restart();
    assert_eq!(served(&runtime), success("1"));
    assert_eq!(runtime.invoke("kept", FOR_EVER).wait(PATIENCE), success("kept"));
    assert!(runtime.wait_for_next(PATIENCE));
    function.stop();
    assert!(!runtime.wait_for_next(Duration::ZERO));
    let waiting = runtime.invoke("served", FOR_EVER);
    assert_eq!(waiting.wait(A_WHILE), Outcome::Pending);
    assert!(
        function.stdout().contains(&"out kept".to_owned()),
        "what it said is kept"
    );
    function.restart();
    assert_eq!(waiting.wait(PATIENCE), success("1"));
    assert!(runtime.wait_for_next(PATIENCE));
    drop(function);
    assert!(!runtime.wait_for_next(Duration::ZERO));
}

#[test]
fn a_frozen_function_does_nothing_until_it_is_thawed() {
    let runtime = Runtime::start();
    let mut function = start(&runtime, &task("frozen"), &[]);
    assert!(runtime.wait_for_next(PATIENCE));
    function.freeze();
    let invocation = runtime.invoke("served", FOR_EVER);
    assert_eq!(invocation.wait(A_WHILE), Outcome::Pending);
    function.thaw();
    assert_eq!(invocation.wait(PATIENCE), success("1"));
    function.freeze();
    function.stop();
}

#[test]
fn two_functions_share_the_work() {
    let runtime = Runtime::start();
    let task = task("two");
    let (one, two) = (start(&runtime, &task, &[]), start(&runtime, &task, &[]));
    assert!(runtime.wait_for_nexts(2, PATIENCE));
    let invocations = ["one", "two"].map(|payload| runtime.invoke(payload, FOR_EVER));
    assert_eq!(
        invocations.map(|invocation| invocation.wait(PATIENCE)),
        [success("one"), success("two")]
    );
    let said_something = |function: &Function| function.wait_for_stderr(PATIENCE, |lines| !lines.is_empty());
    assert!(said_something(&one) && said_something(&two));
}

#[test]
fn a_function_that_ends_by_itself_says_how() {
    let runtime = Runtime::start();
    let mut function = start(&runtime, &task("exit"), &[]);
    assert!(runtime.wait_for_next(PATIENCE));
    assert_eq!(function.wait_for_exit(A_WHILE), None);
    let invocation = runtime.invoke("exit", FOR_EVER);
    assert_eq!(function.wait_for_exit(PATIENCE).unwrap().code(), Some(3));
    assert_eq!(invocation.wait(Duration::ZERO), Outcome::Pending);
}

#[test]
fn a_function_started_after_an_init_error_is_given_a_chance() {
    let runtime = Runtime::start();
    let task = task("init");
    let mut broken = start(&runtime, &task, &[("STAND_IN_CANNOT_START", "Tether.Settings")]);
    assert_eq!(
        runtime.wait_for_init_error(PATIENCE).unwrap().error_type,
        "Tether.Settings"
    );
    assert_eq!(broken.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    assert!(matches!(served(&runtime), Outcome::InitError(_)));
    let _fixed = start(&runtime, &task, &[]);
    assert_eq!(served(&runtime), success("1"));
}
