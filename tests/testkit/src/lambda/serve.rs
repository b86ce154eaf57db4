//! The Runtime API over HTTP ("Using the Lambda runtime API for custom runtimes" in the Lambda Developer Guide).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::queue::{Asking, Queue, Work};
use super::runtime::Shared;
use super::{FUNCTION_ARN, FunctionError, Outcome};

const BASE: &str = "/2018-06-01/runtime/";
/// The largest response Lambda takes from a function that is invoked without streaming: 6 MB and its envelope.
const RESPONSE_BYTES_MAX: usize = 6_291_556;
const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
/// X-Ray on, and this request not sampled.
const TRACE_ID: &str = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0";

type Reply = Response<Full<Bytes>>;

/// A port that the API is served on; closed when this is dropped, though not what came in by it.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) number: u64,
    pub(super) address: SocketAddr,
    accepting: AbortHandle,
}

impl Door {
    /// Opens a free port of 127.0.0.1, served by the thread of `runtime`.
    pub(super) fn open(runtime: &Handle, shared: &Arc<Shared>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let _entered = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let number = shared.change(Queue::open);
        let accepting = runtime.spawn(accept(listener, Arc::clone(shared), number));
        Ok(Self {
            number,
            address,
            accepting: accepting.abort_handle(),
        })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, door: u64) {
    loop {
        // What fails here is one connection that was given up before it was accepted.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| serve(&shared, door, request));
            let mut http = hyper::server::conn::http1::Builder::new();
            // Lambda does so, and a hand-written client may be particular.
            http.title_case_headers(true);
            // A connection ends with an error whenever a process is killed while it waits for work.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(shared: &Shared, door: u64, request: Request<Incoming>) -> io::Result<Reply> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let text = || String::from_utf8_lossy(&body).into_owned();
    let error = || {
        let header = head.headers.get(ERROR_TYPE).and_then(|value| value.to_str().ok());
        FunctionError::new(header.map(str::to_owned), text())
    };
    let path = head.uri.path().strip_prefix(BASE).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    Ok(match (&head.method, &parts[..]) {
        (&Method::GET, ["invocation", "next"]) => next(shared, door).await?,
        (&Method::POST, ["invocation", id, "response"]) if body.len() > RESPONSE_BYTES_MAX => too_large(shared, id),
        (&Method::POST, ["invocation", id, "response"]) => answer(shared, id, Outcome::Success(text())),
        (&Method::POST, ["invocation", id, "error"]) => answer(shared, id, Outcome::Error(error())),
        (&Method::POST, ["init", "error"]) => {
            shared.change(|queue| queue.fail_init(door, error(), Instant::now()));
            accepted()
        }
        _ => refused(StatusCode::NOT_FOUND, "InvalidPath", "There is nothing here"),
    })
}

async fn next(shared: &Shared, door: u64) -> io::Result<Reply> {
    let (hand_over, handed) = oneshot::channel();
    let asking = Asking { door, hand_over };
    shared.change(|queue| queue.ask(asking, Instant::now()));
    let work = handed.await.map_err(io::Error::other)?;
    Ok(invocation(work))
}

fn invocation(work: Work) -> Reply {
    let deadline = work.deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut response = json(StatusCode::OK, work.payload);
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("lambda-runtime-aws-request-id", &work.id);
    set("lambda-runtime-deadline-ms", &deadline.to_string());
    set("lambda-runtime-invoked-function-arn", FUNCTION_ARN);
    set("lambda-runtime-trace-id", TRACE_ID);
    response
}

fn answer(shared: &Shared, id: &str, outcome: Outcome) -> Reply {
    match shared.change(|queue| queue.answer(id, outcome, Instant::now())) {
        Ok(()) => accepted(),
        Err(()) => refused(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
    }
}

fn too_large(shared: &Shared, id: &str) -> Reply {
    let body = error_body(
        "Function.ResponseSizeTooLarge",
        &format!("Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes)."),
    );
    let outcome = Outcome::Error(FunctionError::new(None, body));
    let reply = answer(shared, id, outcome);
    if reply.status() != StatusCode::ACCEPTED {
        return reply;
    }
    refused(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLarge",
        "The response is too large",
    )
}

fn accepted() -> Reply {
    json(StatusCode::ACCEPTED, "{\"status\":\"OK\"}".to_owned())
}

fn refused(status: StatusCode, error_type: &str, message: &str) -> Reply {
    json(status, error_body(error_type, message))
}

fn error_body(error_type: &str, message: &str) -> String {
    format!("{{\"errorMessage\":\"{message}\",\"errorType\":\"{error_type}\"}}")
}

fn json(status: StatusCode, body: String) -> Reply {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    response
}
