//! The Python of tests/run, for what is not to be written twice: the reading of templates as cfn-lint does it, and AWS calls.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use testkit::program::{foreign, provided};

/// The region that moto takes the answers of custom resources for.
pub const REGION: &str = "us-east-1";

/// bridge.py, running.
pub struct Bridge {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Bridge {
    /// With AWS at this URL.
    pub fn to(url: &str) -> Self {
        let mut command = python();
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cloudformation/bridge.py"))
            .env("AWS_ENDPOINT_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let requests = child.stdin.take().expect("piped");
        let replies = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            child,
            requests,
            replies,
        }
    }

    /// The reply, or what went wrong.
    pub fn ask(&mut self, kind: &str, asked: &Value) -> Result<Value, String> {
        writeln!(self.requests, "{}", json!({ kind: asked })).expect("Python reads");
        let mut line = String::new();
        self.replies.read_line(&mut line).expect("Python answers");
        let mut reply: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        match reply.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(reply["ok"].take()),
        }
    }

    /// An AWS call, which must succeed.
    #[track_caller]
    pub fn call(&mut self, service: &str, operation: &str, parameters: Value) -> Value {
        self.ask("call", &json!([service, operation, parameters]))
            .unwrap_or_else(|error| panic!("{service} {operation} {parameters}: {error}"))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What needs no AWS is asked of one process. It ends with this one, whose end of the pipe it then reads.
static SHARED: LazyLock<Mutex<Bridge>> = LazyLock::new(|| Mutex::new(Bridge::to("http://127.0.0.1:9")));

fn shared() -> MutexGuard<'static, Bridge> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A template with its short forms in their long ones.
#[track_caller]
pub fn template(name: &str) -> Value {
    let answer = shared().ask("template", &json!(super::path(name)));
    answer.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whether a pattern of a template fits the whole of a text.
pub fn fits(pattern: &str, text: &str) -> bool {
    let answer = shared().ask("match", &json!([pattern, text])).expect(pattern);
    answer.as_bool().expect("true or false")
}

/// Python with the packages of tests/requirements.txt, and nothing of this machine's settings.
pub fn python() -> Command {
    let mut command = foreign(provided("RDS_TETHER_TEST_PYTHON"));
    command
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
