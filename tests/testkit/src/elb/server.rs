use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::api::{Call, Reply, Taker, World};
use super::faults::Failure;
use super::group::Group;
use super::limits::Limits;
use super::model::Model;
use super::refusal::Refusal;
use super::tags::Tags;
use super::target::TargetView;
use super::wire::Request;
use crate::background::Background;

/// An ELBv2 (and STS and EC2) endpoint on loopback, on a thread of its own; it ends when this is dropped.
///
/// The closures given to its methods run while the server is locked and must not call it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Mutex<Option<Background>>,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    world: Mutex<World>,
    /// Told after every call and every change made by a test.
    changed: Condvar,
}

/// Starting, stopping, waiting.
impl Server {
    /// Starts a server without target groups on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).expect("loopback has a free port")
    }

    /// Starts a server without target groups at an address, such as that of one that was dropped.
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            started: real_time(),
            world: Mutex::default(),
            changed: Condvar::new(),
        });
        let running = Mutex::new(Some(open(listener, Arc::clone(&shared))?));
        Ok(Self {
            address,
            shared,
            running,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint URL for an AWS client.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes the port and every connection; the target groups and their clocks go on.
    pub fn stop_listening(&self) {
        drop(self.running().take());
    }

    /// Opens the port again after [`Server::stop_listening`].
    pub fn listen_again(&self) -> io::Result<()> {
        let mut running = self.running();
        if running.is_none() {
            let listener = TcpListener::bind(self.address)?;
            *running = Some(open(listener, Arc::clone(&self.shared))?);
        }
        Ok(())
    }

    /// Waits until the calls recorded so far satisfy `enough`, and says whether they did in time.
    pub fn wait_for(&self, within: Duration, mut enough: impl FnMut(&[Call]) -> bool) -> bool {
        let waiting = |world: &mut World| !enough(world.calls.make_contiguous());
        let world = self.shared.world();
        let waited = self.shared.changed.wait_timeout_while(world, within, waiting);
        let (_world, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    /// Waits until the target groups satisfy `enough`, be it by a call, by a test or by the passing of time, and
    /// says whether they did in time.
    pub fn wait_until(&self, within: Duration, mut enough: impl FnMut(&Model, Duration) -> bool) -> bool {
        let deadline = self.shared.now() + within;
        let mut world = self.shared.world();
        loop {
            let now = self.shared.now();
            if enough(&world.model, now) {
                return true;
            }
            if now >= deadline {
                return false;
            }
            let wake_at = world
                .model
                .next_change(now)
                .map_or(deadline, |change| change.min(deadline));
            let waited = self.shared.changed.wait_timeout(world, wake_at.saturating_sub(now));
            (world, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Background>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Arranging the target groups, and looking at them.
impl Server {
    /// Adds a target group and returns its ARN.
    pub fn add_group(&self, group: Group) -> String {
        self.model(|model, _| model.add_group(group))
    }

    /// Puts a target into a group as if somebody had registered it long ago: healthy, and not recorded as a call.
    pub fn put_target(&self, arn: &str, ip: &str, port: u16) {
        self.model(|model, now| model.put_target(arn, ip, port, now));
    }

    /// Takes a target out of a group at once, without draining and without a recorded call.
    pub fn remove_target(&self, arn: &str, ip: &str, port: u16) {
        self.model(|model, _| model.remove_target(arn, ip, port));
    }

    /// From now on somebody else deregisters the targets of a group, without a recorded call: each time after so many lists that
    /// show one registered, as often as there are numbers.
    pub fn take_away(&self, arn: &str, after_lists: &[usize]) {
        let taker = Taker {
            arn: arn.to_owned(),
            after_lists: after_lists.iter().copied().collect(),
            taken: Vec::new(),
        };
        self.change(|world, _| world.taker = Some(taker));
    }

    /// When that was done.
    pub fn taken_away(&self) -> Vec<Instant> {
        let world = self.shared.world();
        world.taker.iter().flat_map(|taker| taker.taken.clone()).collect()
    }

    /// The tags of a group.
    pub fn tags(&self, arn: &str) -> Tags {
        self.model(|model, _| model.tags(arn))
    }

    /// Tags a group as if somebody had long ago: unchecked, and not recorded as a call.
    pub fn set_tag(&self, arn: &str, key: &str, value: &str) {
        self.model(|model, _| model.set_tag(arn, key, value));
    }

    /// Overrides the state of a registered target, see [`Model::set_health`].
    pub fn set_health<'a>(&self, arn: &str, ip: &str, port: u16, state: &str, reason: impl Into<Option<&'a str>>) {
        self.model(|model, _| model.set_health(arn, ip, port, state, reason));
    }

    /// Takes the override of [`Server::set_health`] back.
    pub fn clear_health(&self, arn: &str, ip: &str, port: u16) {
        self.model(|model, _| model.clear_health(arn, ip, port));
    }

    /// Lets the health checks of an address fail, in all groups and at once.
    pub fn mark_dead(&self, ip: &str) {
        self.model(|model, _| model.mark_dead(ip));
    }

    /// Lets the health checks of an address succeed again.
    pub fn mark_alive(&self, ip: &str) {
        self.model(|model, _| model.mark_alive(ip));
    }

    /// Direct access to the model, with the time it is to be given.
    pub fn model<T>(&self, access: impl FnOnce(&mut Model, Duration) -> T) -> T {
        self.change(|world, now| access(&mut world.model, now))
    }

    /// All targets that a group lists now, draining ones included.
    pub fn targets(&self, arn: &str) -> Vec<TargetView> {
        self.model(|model, now| model.targets(arn, now))
    }

    /// The lowest number of registered targets, see [`Model::lowest_registered`].
    pub fn lowest_registered(&self, arn: &str) -> usize {
        self.model(|model, _| model.lowest_registered(arn))
    }

    /// Starts [`Server::lowest_registered`] afresh.
    pub fn reset_lowest(&self, arn: &str) {
        self.model(|model, _| model.watch_lowest(arn));
    }

    /// The calls so far, oldest first; at most [`super::CALLS_KEPT`].
    pub fn calls(&self) -> Vec<Call> {
        self.shared.world().calls.iter().cloned().collect()
    }

    /// The calls so far that are meant to change something, whatever came of them.
    pub fn writes(&self) -> Vec<Call> {
        self.shared
            .world()
            .calls
            .iter()
            .filter(|call| call.is_write())
            .cloned()
            .collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut World, Duration) -> T) -> T {
        let result = change(&mut self.shared.world(), self.shared.now());
        self.shared.changed.notify_all();
        result
    }
}

/// Making it fail.
impl Server {
    /// Lets calls of an action (`*`: of all) fail, the next `times` or, without a number, until [`Server::heal`].
    ///
    /// Several failures are used up in the order in which they were asked for.
    pub fn fail(&self, action: &str, failure: Failure, times: Option<usize>) {
        self.change(|world, _| world.faults.order(action, None, failure, times));
    }

    /// As [`Server::fail`], but only for calls that name this target group.
    pub fn fail_for(&self, arn: &str, action: &str, failure: Failure, times: Option<usize>) {
        self.change(|world, _| world.faults.order(action, Some(arn), failure, times));
    }

    /// Takes all failures back.
    pub fn heal(&self) {
        self.change(|world, _| world.faults.clear());
    }

    /// Switches the request rate limits of the API on, with full buckets for each account and region, or off.
    pub fn limits(&self, on: bool) {
        self.change(|world, now| world.limits = on.then(|| Limits::full_at(now)));
    }

    /// Sets the server's clock ahead of this host's, or back by a negative number.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.change(|world, _| world.ahead_seconds = seconds);
    }

    /// Lets nobody assume a role without this external id.
    pub fn require_external_id(&self, role_arn: &str, external_id: &str) {
        self.change(|world, _| world.external_ids.insert(role_arn.to_owned(), external_id.to_owned()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A test that fails inside a closure poisons the lock; what it then says of itself must not be hidden by a
    /// second panic.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, request: &Request, at: Instant) -> Reply {
        let reply = self.world().carry_out(request, at, self.now());
        self.changed.notify_all();
        reply
    }

    fn record_undone(&self, request: &Request, at: Instant, why: &str) {
        self.world().record(request, at, Err(why));
        self.changed.notify_all();
    }
}

/// Opens the port; it and all its sockets are closed when the returned value is dropped.
fn open(listener: TcpListener, shared: Arc<Shared>) -> io::Result<Background> {
    listener.set_nonblocking(true)?;
    Background::serve("elb", move || async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a bound socket is taken");
        accept(listener, shared).await;
    })
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    loop {
        // What fails here is one connection that was given up before it was accepted.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| serve(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new();
            // A connection ends with an error whenever a failure was ordered or a client went away.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "clients are real processes; virtual time belongs to the model"
)]
fn real_time() -> Instant {
    Instant::now()
}

/// The connection is to be closed without a reply.
type Closed = io::Error;

async fn serve(shared: Arc<Shared>, request: hyper::Request<Incoming>) -> Result<Response<Full<Bytes>>, Closed> {
    let ahead_seconds = shared.world().ahead_seconds;
    let mut response = answer(shared, request).await?;
    if ahead_seconds != 0
        && let Ok(date) = date(ahead_seconds).parse()
    {
        response.headers_mut().insert(hyper::header::DATE, date);
    }
    Ok(response)
}

/// An HTTP date that many seconds from now.
#[allow(clippy::disallowed_methods, reason = "the clock that clients compare theirs with")]
fn date(ahead_seconds: i64) -> String {
    let by = Duration::from_secs(ahead_seconds.unsigned_abs());
    let now = std::time::SystemTime::now();
    httpdate::fmt_http_date(if ahead_seconds < 0 { now - by } else { now + by })
}

async fn answer(shared: Arc<Shared>, request: hyper::Request<Incoming>) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let at = real_time();
    let request = Request::new(&head.headers, &body);
    let failure = shared.world().strike(&request);
    match failure {
        None => Ok(http(shared.carry_out(&request, at))),
        Some(Failure::Code { status, code, message }) => {
            shared.record_undone(&request, at, &code);
            let refusal = Refusal { status, code, message };
            Ok(http(shared.world().refuse(&request, &refusal)))
        }
        Some(Failure::LostReply) => {
            shared.carry_out(&request, at);
            Err(io::Error::other("the reply is lost"))
        }
        Some(Failure::Reset) => {
            shared.record_undone(&request, at, "Reset");
            Err(io::Error::other("the connection is reset"))
        }
        Some(Failure::Hang) => {
            shared.record_undone(&request, at, "Hang");
            std::future::pending().await
        }
        Some(Failure::Garbage) => {
            shared.record_undone(&request, at, "Garbage");
            Ok(http(
                shared.world().reply(200, |_| "{\"this\": \"is not XML\"}".to_owned()),
            ))
        }
        Some(Failure::Cut(length)) => {
            let mut reply = shared.carry_out(&request, at);
            reply.body.truncate(length);
            Ok(http(reply))
        }
        Some(Failure::Altered(from, to)) => {
            let mut reply = shared.carry_out(&request, at);
            reply.body = reply.body.replace(&from, &to);
            Ok(http(reply))
        }
        Some(Failure::Sized(length)) => {
            let mut reply = shared.carry_out(&request, at);
            let more = length.saturating_sub(reply.body.len());
            reply.body.push_str(&" ".repeat(more));
            Ok(http(reply))
        }
        Some(Failure::Delay(delay)) => {
            // A task of its own outlives the connection: a client that gives up does not take its call back.
            let late = tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                shared.carry_out(&request, at)
            });
            late.await.map(http).map_err(io::Error::other)
        }
    }
}

fn http(reply: Reply) -> Response<Full<Bytes>> {
    let Reply {
        status,
        request_id,
        body,
    } = reply;
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", hyper::header::HeaderValue::from_static("text/xml"));
    if let Ok(request_id) = request_id.parse() {
        headers.insert("x-amzn-requestid", request_id);
    }
    response
}
