//! What an apply makes of the function's first answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use super::code::{resources, run};
use super::stage::Stage;
use super::world::said;

/// What the function says when it cannot do it.
const MESSAGE: &str = "orders: RegisterTargets is denied (AccessDenied): allow it to the function's role";

/// Lambda's API: a function is called here, everything else is moto's.
struct Lambda {
    address: SocketAddr,
    is_good: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl Lambda {
    fn start(moto: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its number");
        let lambda = Self {
            address,
            is_good: Arc::default(),
            is_over: Arc::default(),
        };
        let (is_good, is_over) = (Arc::clone(&lambda.is_good), Arc::clone(&lambda.is_over));
        let moto = moto.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (is_good, moto) = (Arc::clone(&is_good), moto.clone());
                // Who has gone away needs no answer.
                thread::spawn(move || serve(client, &moto, is_good.load(Ordering::SeqCst)));
            }
        });
        lambda
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes whoever waits for clients.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers one request.
fn serve(mut client: TcpStream, moto: &str, is_good: bool) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        if line == "\r\n" {
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = head.split([' ', '?']).nth(1).unwrap_or_default();
    if !path.ends_with("/invocations") {
        let mut server = TcpStream::connect(moto)?;
        server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
        server.write_all(&body)?;
        io::copy(&mut server, &mut client)?;
        return Ok(());
    }
    let (sign, answer) = if is_good {
        ("", json!({ "settled": true }))
    } else {
        let error = json!({ "errorType": "Unsettled", "errorMessage": MESSAGE });
        ("X-Amz-Function-Error: Unhandled\r\n", error)
    };
    let answer = answer.to_string();
    let length = answer.len();
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{sign}Content-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
    )
}

/// Fails if an apply does not say what its function says against it, if something is not made for that, or if the next apply
/// does not call again.
#[test]
#[ignore = "needs terraform, the AWS provider and moto: tests/run provides them"]
fn an_apply_fails_with_the_functions_message_and_the_next_calls_again() {
    let stage = Stage::new("examples/function-for-existing-group");
    let lambda = Lambda::start(&stage.moto.address);
    let apply = || {
        // With what it needs, and without what takes moto long.
        let target = "-target=module.function.aws_lambda_invocation.first_sync";
        let mut command = stage.terraform(&["apply", target, "-auto-approve", "-input=false", "-no-color"]);
        run(command.env("AWS_ENDPOINT_URL_LAMBDA", format!("http://{}", lambda.address)))
    };
    let failed = apply();
    let told = said(&failed);
    assert!(!failed.status.success() && told.contains(MESSAGE), "{told}");
    let made = |address: &str| {
        let state = super::code::json(&mut stage.terraform(&["show", "-json"]));
        let found = resources(&state).into_iter().find(|(found, _)| found == address);
        found.map(|(_, values)| values)
    };
    let schedule = made("module.function.aws_cloudwatch_event_target.schedule");
    assert!(schedule.is_some(), "the schedule is to go on trying: {told}");

    lambda.is_good.store(true, Ordering::SeqCst);
    let second = apply();
    assert!(second.status.success(), "{}", said(&second));
    let called = made("module.function.aws_lambda_invocation.first_sync[0]").expect("it is called again");
    assert_eq!(called["result"], json!({ "settled": true }).to_string());
}
