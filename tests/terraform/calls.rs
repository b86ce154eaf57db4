//! Calls of the function, and what an apply makes of the first.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use super::code::{run, succeed};
use super::stage::Stage;
use testkit::program::said;

/// What the function says when it cannot do it.
const MESSAGE: &str = "orders: RegisterTargets is denied (AccessDenied): allow it to the function's role";

/// Lambda's API: a function is called here, everything else is moto's.
pub struct Lambda {
    pub address: SocketAddr,
    is_good: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl Lambda {
    pub fn start(moto: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its number");
        let lambda = Self {
            address,
            is_good: Arc::new(AtomicBool::new(true)),
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
        ("", answer())
    } else {
        let error = json!({ "errorType": "Unsettled", "errorMessage": MESSAGE });
        ("X-Amz-Function-Error: Unhandled\r\n", error.to_string())
    };
    let length = answer.len();
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{sign}Content-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
    )
}

/// An apply fails if the function does, and says what it says; what makes it go on trying is there nevertheless.
pub fn fail(stage: &Stage) {
    stage.lambda.is_good.store(false, Ordering::SeqCst);
    let failed = run(&mut stage.terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]));
    let told = said(&failed);
    assert!(!failed.status.success() && told.contains(MESSAGE), "{told}");
    let made = succeed(&mut stage.terraform(&["state", "list"]));
    assert!(made.contains(".aws_cloudwatch_event_target.schedule\n"), "{made}");
    assert!(!made.contains(".aws_lambda_invocation.first_sync["), "{made}");
    stage.lambda.is_good.store(true, Ordering::SeqCst);
}

/// The function's answer, as its first call's result.
pub fn answer() -> String {
    json!({ "settled": true }).to_string()
}
