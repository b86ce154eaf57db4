//! Amazon SNS as far as Publish goes: an endpoint on loopback that keeps what is published, and fails as it is told to. Topics
//! are not created; all exist.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::background::Background;
use crate::elb::{element, form, text};

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// How long a slow reply takes.
const SLOW: Duration = Duration::from_secs(2);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// The message is taken.
    #[default]
    Take,
    /// The message is taken, but the reply takes seconds, less than a client waits for it.
    Slow,
    /// No reply ever comes, and the message is lost.
    Hang,
    /// The caller is not allowed to publish.
    Deny,
    /// There is no such topic.
    Missing,
    /// SNS fails.
    Fail,
    /// SNS refuses with this code and message.
    Refuse(&'static str, &'static str),
}

/// A call of Publish, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The topic's ARN.
    pub topic: String,
    /// The subject line.
    pub subject: String,
    /// The body.
    pub message: String,
    /// The attributes of type String.
    pub attributes: BTreeMap<String, String>,
    /// What became of it.
    pub behaviour: Behaviour,
}

/// An SNS endpoint on a thread of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: Background,
}

#[derive(Debug, Default)]
struct Shared {
    world: Mutex<World>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct World {
    behaviour: Behaviour,
    calls: Vec<Published>,
}

impl Server {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Self {
        Self::listen().expect("loopback has a free port")
    }

    fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        let serving = {
            let shared = Arc::clone(&shared);
            move || async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a bound socket is taken");
                accept(listener, shared).await;
            }
        };
        Ok(Self {
            address,
            shared,
            _serving: Background::serve("sns", serving)?,
        })
    }

    /// The endpoint URL for an AWS client.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What becomes of calls from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.world().behaviour = behaviour;
    }

    /// The calls so far, oldest first.
    pub fn calls(&self) -> Vec<Published> {
        self.shared.world().calls.clone()
    }

    /// Waits until the calls so far satisfy `enough`, and says whether they did in time.
    pub fn wait_for(&self, within: Duration, enough: impl Fn(&[Published]) -> bool) -> bool {
        let waiting = |world: &mut World| !enough(&world.calls);
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.world(), within, waiting);
        let (_world, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, call: &BTreeMap<String, String>) -> Behaviour {
        let get = |name: &str| call.get(name).cloned().unwrap_or_default();
        let attribute = |number: u32| {
            let entry = format!("MessageAttributes.entry.{number}");
            let name = call.get(&format!("{entry}.Name"))?.clone();
            Some((name, get(&format!("{entry}.Value.StringValue"))))
        };
        let mut world = self.world();
        let behaviour = world.behaviour;
        world.calls.push(Published {
            topic: get("TopicArn"),
            subject: get("Subject"),
            message: get("Message"),
            attributes: (1..).map_while(attribute).collect(),
            behaviour,
        });
        drop(world);
        self.changed.notify_all();
        behaviour
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    loop {
        // What fails here is one connection that was given up before it was accepted.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| serve(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that gives up ends its connection with an error.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(shared: Arc<Shared>, request: hyper::Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let call = form(&body);
    let refused = |status, code, message| (status, refusal(code, message));
    let (status, body) = if call.get("Action").map(String::as_str) != Some("Publish") {
        refused(400, "InvalidAction", "only Publish is simulated")
    } else {
        match shared.take(&call) {
            Behaviour::Take => (200, success()),
            Behaviour::Slow => {
                tokio::time::sleep(SLOW).await;
                (200, success())
            }
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Deny => refused(
                403,
                "AuthorizationError",
                "User: tether is not authorized to perform: SNS:Publish",
            ),
            Behaviour::Missing => refused(404, "NotFound", "Topic does not exist"),
            Behaviour::Fail => refused(500, "InternalFailure", "try again"),
            Behaviour::Refuse(code, message) => refused(400, code, message),
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    let content_type = hyper::header::HeaderValue::from_static("text/xml");
    response.headers_mut().insert("content-type", content_type);
    Ok(response)
}

fn success() -> String {
    let result = element(
        "PublishResult",
        &text("MessageId", "94f20ce6-13c5-43a0-9a9e-ca52d816e90b"),
    );
    let metadata = element(
        "ResponseMetadata",
        &text("RequestId", "f187a3c1-376f-11df-8963-01868b7c937a"),
    );
    format!("<PublishResponse xmlns=\"{NAMESPACE}\">{result}{metadata}</PublishResponse>")
}

fn refusal(code: &str, message: &str) -> String {
    let error = element(
        "Error",
        &(text("Type", "Sender") + &text("Code", code) + &text("Message", message)),
    );
    let id = text("RequestId", "f187a3c1-376f-11df-8963-01868b7c937a");
    format!("<ErrorResponse xmlns=\"{NAMESPACE}\">{error}{id}</ErrorResponse>")
}
