//! An AWS without docker, accounts and rules, and what the examples assume to be there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use super::program::{self, Program};

pub const REGION: &str = "eu-west-1";
pub const EC2: (&str, &str) = ("ec2", "2016-11-15");
pub const ELB: (&str, &str) = ("elasticloadbalancing", "2015-12-01");

pub struct Moto {
    _program: Program,
    address: String,
}

impl Moto {
    pub fn start() -> Self {
        let mut command = Command::new(program::path("RDS_TETHER_TEST_MOTO"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("MOTO_IAM_LOAD_MANAGED_POLICIES", "true");
        let command = command.args(["--host", "127.0.0.1", "--port", "0"]);
        let started = Program::start(command, &["Running on http://"]);
        let (program, line) = started.unwrap_or_else(|said| panic!("moto ended at once:\n{said}"));
        let (_, address) = line.split_once("http://").expect("the line it waited for");
        let moto = Self {
            _program: program,
            address: address.trim().to_owned(),
        };
        // Without docker it answers a call of a function by itself, and runs nothing.
        moto.post(
            "/moto-api/config",
            "Content-Type: application/json",
            r#"{"lambda":{"use_docker":false}}"#,
        );
        moto
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    #[track_caller]
    fn post(&self, path: &str, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("moto listens");
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n\r\n{body}",
            self.address
        )
        .expect("moto reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("moto answers in text");
        let status = reply.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{body}: {reply}");
        reply
    }

    /// Calls an action. Values must need no escaping in a form.
    #[track_caller]
    pub fn call(&self, (service, version): (&str, &str), action: &str, parameters: &str) -> String {
        let scope = format!("AKIAEXAMPLE/20260101/{REGION}/{service}/aws4_request");
        let head = format!(
            "Content-Type: application/x-www-form-urlencoded\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=not-looked-at"
        );
        self.post("/", &head, &format!("Action={action}&Version={version}&{parameters}"))
    }
}

/// The text of the first element of this name.
#[track_caller]
pub fn element(xml: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let text = xml
        .split_once(&open)
        .and_then(|(_, rest)| rest.split_once(&close))
        .map(|(text, _)| text);
    text.unwrap_or_else(|| panic!("no {name} in {xml}")).to_owned()
}
