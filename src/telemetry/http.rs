//! Health for load balancers, metrics for Prometheus, and a page for people, over HTTP. Read only.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::proxy::health::View;
use crate::telemetry::board::Board;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::page::{self, Part, Scene};
use crate::text::shown;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
/// Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// All pages, for whoever asks for another.
const PAGES: &str = "/, /group/NAME, /proxy/ADDRESS:PORT, /status, /metrics, /healthz, /readyz and /readyz/PORT";
/// A taken port is tried again this often.
const RETRY: Duration = Duration::from_secs(2);
/// How long accepting rests after a failure.
const REST: Duration = Duration::from_millis(100);
/// One address may have one in so many of the connections that there may be at once. Of 64 that is eight: what a browser, a scraper
/// and a health check have together. Its next takes the place of its own first, so it is only ever in its own way.
pub const PEERS: usize = 8;
/// How long a connection may take to say what it wants, at first and again.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A request is longer than this only if it means no good: browsers send a few KiB, cookies of other ports of this host included.
pub const REQUEST_MAX_BYTES: usize = 16 * 1024;
/// How long a connection may be kept: an answer that is read takes a fraction of it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);
/// For how long readers that come while others still read a page get the same: with a thousand groups, 64 would have tens of MiB.
const SHARED: Duration = Duration::from_secs(1);
/// The name that the kernel has for this machine (proc(5)).
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// The pages, made from the board and the metrics when they are asked for.
pub struct Site {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    trouble: Mutex<Option<String>>,
    drawn: Drawn,
    /// Connections and requests so far.
    turns: AtomicU64,
}

impl Site {
    /// A site that is not served yet.
    pub fn new(board: &Arc<Board>, metrics: &Arc<Metrics>) -> Self {
        Self {
            board: Arc::clone(board),
            metrics: Arc::clone(metrics),
            trouble: Mutex::default(),
            drawn: Drawn::default(),
            turns: AtomicU64::default(),
        }
    }

    fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// Why the pages cannot be served, if so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Whether clients are to be sent to the proxies, or to the one on a port, with a line on each, which says why if that is to be told.
    fn ready(&self, port: Option<u16>, tells_why: bool) -> (StatusCode, String) {
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
            lines.push_str(&match tells_why {
                true => shown(format_args!(
                    "{word}: {} for {}: {why}",
                    view.address(),
                    view.endpoint()
                )),
                false => word.to_owned(),
            });
            lines.push('\n');
        }
        match port {
            _ if !lines.is_empty() => (status, lines),
            Some(port) => (StatusCode::NOT_FOUND, format!("no proxy listens on port {port}\n")),
            None => (StatusCode::OK, "ready: there is no proxy\n".into()),
        }
    }

    fn scene(&self) -> Scene {
        Scene {
            document: self.board.document(),
            timelines: self.board.timelines(),
            host: hostname(),
        }
    }

    /// What shows everything is for those who ask by a name of this machine. Health and metrics are for everybody: load balancers and
    /// scrapers have names for this machine that nobody here knows. The former look at the status alone, so no more is told; metrics
    /// name groups, endpoints and name servers, but neither an address of a database nor anything that lets somebody in.
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = answer_with(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".into());
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let is_meant = is_meant(request);
        let path = request.uri().path();
        let part = match (path.strip_prefix("/group/"), path.strip_prefix("/proxy/")) {
            (Some(name), _) => Some(Part::Group(name)),
            (_, Some(listen)) => Some(Part::Proxy(listen)),
            (None, None) => None,
        };
        let port = path.strip_prefix("/readyz/").and_then(|port| port.parse().ok());
        let plain = |(status, body): (_, String)| answer_with(status, PLAIN, body.into());
        let drawn = |page, content_type, draw: &dyn Fn() -> String| {
            answer_with(StatusCode::OK, content_type, self.drawn.page(page, draw))
        };
        match (path, port) {
            ("/" | "/status", None) if !is_meant => plain((StatusCode::MISDIRECTED_REQUEST, not_meant())),
            _ if part.is_some() && !is_meant => plain((StatusCode::MISDIRECTED_REQUEST, not_meant())),
            _ if let Some(part) = part => match page::draw(&self.scene(), part) {
                Some(page) => answer_with(StatusCode::OK, HTML, page.into()),
                None => plain((StatusCode::NOT_FOUND, format!("{}\n", none_of(part)))),
            },
            ("/", None) => drawn("/", HTML, &|| page::draw(&self.scene(), Part::All).unwrap_or_default()),
            ("/healthz", None) => plain((StatusCode::OK, "alive\n".into())),
            ("/metrics", None) => drawn("/metrics", PROMETHEUS, &|| self.metrics.page()),
            ("/readyz", None) => plain(self.ready(None, is_meant)),
            ("/status", None) => drawn("/status", JSON, &|| self.board.document().json() + "\n"),
            (_, Some(port)) => plain(self.ready(Some(port), is_meant)),
            _ => plain((
                StatusCode::NOT_FOUND,
                format!("there is no such page; there are {PAGES}\n"),
            )),
        }
    }
}

/// What there is not.
fn none_of(part: Part<'_>) -> &'static str {
    match part {
        Part::All => "nothing is followed here",
        Part::Group(_) => "no target group of that name is followed here, or it has not been looked at yet",
        Part::Proxy(_) => "no proxy at that address is followed here",
    }
}

fn answer_with(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
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
        // It is made of what a header may have.
        if let Ok(policy) = HeaderValue::from_str(&page::POLICY) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
    }
    response
}

/// Whether a request calls this machine by a name of its own: an address, `localhost`, or its host name. With any other it may come
/// from the browser of somebody who has just opened a page of anybody's, the name of which leads here by now, so that the page may
/// read what is answered (DNS rebinding). Browsers always say which name they ask for.
fn is_meant<B>(request: &Request<B>) -> bool {
    let by_header = request.headers().get_all(HOST).iter().map(HeaderValue::to_str);
    let mut by_header = by_header.map(|host| host.ok()?.parse::<Uri>().ok());
    request.uri().host().is_none_or(is_ours)
        && by_header.all(|host| host.is_some_and(|host| host.host().is_some_and(is_ours)))
}

fn is_ours(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    is_address || host == "localhost" || host.ends_with(".localhost") || hostname().is_some_and(|name| name == host)
}

/// The name of this machine, in lower case.
fn hostname() -> Option<String> {
    let name = std::fs::read_to_string(HOSTNAME).ok()?.trim().to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}

fn not_meant() -> String {
    let name = hostname().map(|name| format!(" or as {name}")).unwrap_or_default();
    format!("not known by that name: ask by an address, as localhost{name}\n")
}

/// The pages that were drawn last, by their paths.
#[derive(Default)]
struct Drawn(Mutex<BTreeMap<&'static str, (Instant, Bytes)>>);

impl Drawn {
    /// A page, drawn anew unless somebody still reads the latest and that is young: those who read slowly hold few of them in all, and
    /// who is alone gets what holds now.
    fn page(&self, path: &'static str, draw: impl FnOnce() -> String) -> Bytes {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match drawn.get(path) {
            Some((at, page)) if at.elapsed() < SHARED && !page.is_unique() => page.clone(),
            _ => {
                let page = Bytes::from(draw());
                drawn.insert(path, (Instant::now(), page.clone()));
                page
            }
        }
    }
}

/// A connection that is open.
struct Guest {
    peer: IpAddr,
    /// The turn in which it came, or last asked.
    asked: Arc<AtomicU64>,
    task: AbortHandle,
}

/// The connections that are open. Nobody waits for another to go: where there is no room, the one that has asked nothing for longest
/// goes, whether it is idle or does not read its answer.
struct Guests {
    open: Vec<Guest>,
    most: usize,
}

impl Guests {
    fn admit(&mut self, guest: Guest) {
        self.open.retain(|guest| !guest.task.is_finished());
        let of_peer = self.open.iter().filter(|other| other.peer == guest.peer).count();
        if of_peer >= (self.most / PEERS).max(1) {
            self.show_out(|other| other.peer == guest.peer);
        } else if self.open.len() >= self.most {
            self.show_out(|_| true);
        }
        self.open.push(guest);
    }

    /// Ends the connection, of these, that has asked nothing for longest.
    fn show_out(&mut self, may_go: impl Fn(&Guest) -> bool) {
        let may_go = (0..self.open.len()).filter(|index| may_go(&self.open[*index]));
        let longest = may_go.min_by_key(|index| self.open[*index].asked.load(Ordering::Relaxed));
        if let Some(index) = longest {
            self.open.swap_remove(index).task.abort();
        }
    }
}

/// Serves the pages for ever, to `most` connections at once. An address that cannot be listened on is tried again and again.
pub async fn serve(listen: SocketAddr, site: Arc<Site>, most: usize) {
    let listener = bind(listen, &site).await;
    let address = listener.local_addr().unwrap_or(listen);
    info!("serving http://{address}/ (health, metrics, status)");
    let (open, mut came) = (Vec::new(), 0_usize);
    let mut guests = Guests { open, most };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let asked = Arc::new(AtomicU64::new(site.turn()));
                let task = tokio::spawn(converse(stream, Arc::clone(&site), Arc::clone(&asked))).abort_handle();
                let peer = peer.ip();
                guests.admit(Guest { peer, asked, task });
                came += 1;
                // Each has a turn before so many others have come that it has to go.
                if came % most.div_ceil(2) == 0 {
                    yield_now().await;
                }
            }
            Err(error) => {
                debug!("cannot accept a connection on {address}: {error}");
                guests.show_out(|_| true);
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

/// Answers what is asked over one connection. `asked` gets the turn of each request. Public for tests.
pub async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, site: Arc<Site>, asked: Arc<AtomicU64>) {
    let answer = |request: Request<Incoming>| {
        asked.store(site.turn(), Ordering::Relaxed);
        let response = site.answer(&request);
        async {
            // The others have a turn before this one's next request.
            yield_now().await;
            Ok::<_, Infallible>(response)
        }
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(REQUEST_MAX_BYTES)
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_shares_a_page_and_who_is_alone_gets_a_new_one() {
        let drawn = Drawn::default();
        let page = |text: &'static str| drawn.page("/status", || text.to_owned());
        assert_eq!(page("first"), "first");
        let slow = page("second");
        assert_eq!(slow, "second", "nobody reads the first any more");
        assert_eq!(page("third").as_ptr(), slow.as_ptr());
        assert_eq!(drawn.page("/metrics", || "another".to_owned()), "another");
        advance(SHARED).await;
        assert_eq!((page("fourth"), slow), ("fourth".into(), "second".into()));
    }
}
