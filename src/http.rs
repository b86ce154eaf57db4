//! Health over HTTP, for load balancers and people. Read only.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::proxy::health::View;

/// A taken port is tried again this often.
const RETRY: Duration = Duration::from_secs(5);
/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take to say what it wants.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be kept.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// What the pages are made of.
#[derive(Default)]
pub struct Site {
    proxies: Mutex<Vec<View>>,
}

impl Site {
    /// Shows these proxies from now on.
    pub fn show(&self, proxies: Vec<View>) {
        *self.proxies.lock().unwrap_or_else(PoisonError::into_inner) = proxies;
    }

    /// Whether clients are to be sent to the proxies, or to the one on a port, with a line on each.
    fn ready(&self, port: Option<u16>) -> (StatusCode, String) {
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        let mut status = if port.is_some() {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::OK
        };
        for view in proxies
            .iter()
            .filter(|view| port.is_none_or(|port| view.address().port() == port))
        {
            let (word, why) = match view.ready() {
                Ok(why) => ("ready", why),
                Err(why) => ("not ready", why),
            };
            if status != StatusCode::SERVICE_UNAVAILABLE {
                status = if word == "ready" {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
            }
            lines.push_str(&format!("{word}: {} for {}: {why}\n", view.address(), view.endpoint()));
        }
        match port {
            Some(port) if lines.is_empty() => lines = format!("no proxy listens on port {port}\n"),
            None if lines.is_empty() => lines = "ready: there is no proxy\n".into(),
            _ => {}
        }
        (status, lines)
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let path = request.uri().path();
        let port = path.strip_prefix("/readyz/").and_then(|port| port.parse().ok());
        let (status, body) = match (path, port) {
            ("/healthz", _) => (StatusCode::OK, "alive\n".into()),
            ("/readyz", _) => self.ready(None),
            (_, Some(port)) => self.ready(Some(port)),
            _ => (
                StatusCode::NOT_FOUND,
                "there are /healthz, /readyz and /readyz/PORT\n".into(),
            ),
        };
        text(status, body)
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Serves the pages for ever. An address that cannot be listened on is tried again and again.
pub async fn serve(listen: SocketAddr, site: Arc<Site>) {
    let listener = bind(listen).await;
    let address = listener.local_addr().unwrap_or(listen);
    info!("health on http://{address}/readyz");
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    let _ = timeout(CONNECTION_TIMEOUT, converse(stream, site)).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!("cannot accept a connection on {address}: {error}");
                sleep(RETRY).await;
            }
        }
    }
}

async fn bind(listen: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => return listener,
            Err(error) if !is_told => {
                warn!(
                    "cannot serve health on {listen} ({error}); trying again every {} s",
                    RETRY.as_secs()
                );
                is_told = true;
            }
            Err(_) => {}
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
    if let Err(error) = served.await {
        debug!("a connection for health failed: {error}");
    }
}
