//! Health for load balancers, metrics for Prometheus, and a page for people, over HTTP. Read only.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::proxy::health::View;
use crate::telemetry::board::Board;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::page;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
/// Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// All pages, for whoever asks for another.
const PAGES: &str = "/, /status, /metrics, /healthz, /readyz and /readyz/PORT";
/// A taken port is tried again this often.
const RETRY: Duration = Duration::from_secs(2);
/// How long accepting rests after a failure.
const REST: Duration = Duration::from_millis(100);
/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take to say what it wants.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be kept.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The pages, made anew from the board and the metrics at each request.
pub struct Site {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    trouble: Mutex<Option<String>>,
}

impl Site {
    /// A site that is not served yet.
    pub fn new(board: &Arc<Board>, metrics: &Arc<Metrics>) -> Self {
        Self {
            board: Arc::clone(board),
            metrics: Arc::clone(metrics),
            trouble: Mutex::default(),
        }
    }

    /// Why the pages cannot be served, if so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Whether clients are to be sent to the proxies, or to the one on a port, with a line on each.
    fn ready(&self, port: Option<u16>) -> (StatusCode, String) {
        let proxies = self.board.proxies();
        let is_asked_for = |view: &&View| port.is_none_or(|port| view.address().port() == port);
        let (mut status, mut lines) = (StatusCode::OK, String::new());
        for view in proxies.iter().filter(is_asked_for) {
            let ready = view.ready();
            let word = if ready.is_ok() { "ready" } else { "not ready" };
            if ready.is_err() {
                status = StatusCode::SERVICE_UNAVAILABLE;
            }
            let (Ok(why) | Err(why)) = ready;
            lines.push_str(&format!("{word}: {} for {}: {why}\n", view.address(), view.endpoint()));
        }
        match port {
            _ if !lines.is_empty() => (status, lines),
            Some(port) => (StatusCode::NOT_FOUND, format!("no proxy listens on port {port}\n")),
            None => (StatusCode::OK, "ready: there is no proxy\n".into()),
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = answer_with(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".into());
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let path = request.uri().path();
        let port = path.strip_prefix("/readyz/").and_then(|port| port.parse().ok());
        let plain = |(status, body)| answer_with(status, PLAIN, body);
        match (path, port) {
            ("/", None) => answer_with(StatusCode::OK, HTML, page::draw(&self.board.document())),
            ("/healthz", None) => plain((StatusCode::OK, "alive\n".into())),
            ("/metrics", None) => answer_with(StatusCode::OK, PROMETHEUS, self.metrics.page()),
            ("/readyz", None) => plain(self.ready(None)),
            ("/status", None) => answer_with(StatusCode::OK, JSON, self.board.document().json() + "\n"),
            (_, Some(port)) => plain(self.ready(Some(port))),
            _ => plain((
                StatusCode::NOT_FOUND,
                format!("there is no such page; there are {PAGES}\n"),
            )),
        }
    }
}

fn answer_with(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if content_type == HTML {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
        );
    }
    response
}

/// Serves the pages for ever. An address that cannot be listened on is tried again and again.
pub async fn serve(listen: SocketAddr, site: Arc<Site>) {
    let listener = bind(listen, &site).await;
    let address = listener.local_addr().unwrap_or(listen);
    info!("serving http://{address}/ (health, metrics, status)");
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    converse(stream, site).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!("cannot accept a connection on {address}: {error}");
                sleep(REST).await;
            }
        }
    }
}

async fn bind(listen: SocketAddr, site: &Site) -> TcpListener {
    site.set_trouble(None);
    loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => {
                site.set_trouble(None);
                return listener;
            }
            Err(error) => {
                let trouble = format!("cannot serve http://{listen}/: {error}");
                if site.trouble().as_ref() != Some(&trouble) {
                    warn!("{trouble}; trying again every {} s", RETRY.as_secs());
                    site.set_trouble(Some(trouble));
                }
            }
        }
        sleep(RETRY).await;
    }
}

async fn converse(stream: TcpStream, site: Arc<Site>) {
    let answer = |request: Request<Incoming>| {
        let response = site.answer(&request);
        async { Ok::<_, Infallible>(response) }
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    let mut served = pin!(served);
    let ended = match timeout(CONNECTION_TIMEOUT, served.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            // An answer that is on its way still gets there.
            served.as_mut().graceful_shutdown();
            let Ok(ended) = timeout(HEADER_TIMEOUT, served).await else {
                return;
            };
            ended
        }
    };
    if let Err(error) = ended {
        debug!("an HTTP connection failed: {error}");
    }
}
