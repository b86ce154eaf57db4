//! `status`: where every binding and proxy stands, from the process that follows them or else from a look of its own.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, stdout};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::dns::watch::Watchers;
use crate::exit::Exit;
use crate::proxy::{self, Proxy};
use crate::settings::{OneShot, Output, Settings};
use crate::telemetry::document::{self, Document, Process, SCHEMA, Source, Text};
use crate::telemetry::output;
use crate::telemetry::rules::{self, Rules};
use crate::text::shown;
use crate::verbs::named;
use crate::verbs::once;
use crate::verbs::out::{clear, print};

/// A process on this host that does not answer within this time has other troubles than being asked.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest document that is read: thousands of bindings take less.
const DOCUMENT_MAX: usize = 64 << 20;
/// How often a watch asks a running process.
const ASKED_APART: Duration = Duration::from_secs(2);
/// How often a watch looks for itself: its calls of AWS are taken from everybody's.
const LOOKED_APART: Duration = Duration::from_secs(10);

/// Nobody who could be asked, and nothing to look at.
#[derive(Debug, thiserror::Error)]
#[error("{0}; start it, or give --config or --endpoint and --target-group to look without it")]
pub struct NobodyKnows(String);

/// What to ask or look at, and how often.
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    look: OneShot,
    /// Show it again and again until interrupted
    #[arg(long)]
    watch: bool,
}

impl Status {
    /// Prints where everything stands.
    pub async fn show(&self) -> anyhow::Result<Exit> {
        let flags = named::resolved(&self.look.flags, self.look.timeout.map(Duration::from)).await?;
        let settings = flags.settings_or_address()?;
        loop {
            let (text, exit, pause) = match document(&settings, self.look.timeout.map(Duration::from)).await {
                Ok(document) => (self.draw(&document), document.exit(), pause(Some(&document))),
                // Who watches waits for better times.
                Err(error) if self.watch => (format!("rds-tether: {}\n", shown(error)), Exit::Pending, pause(None)),
                Err(error) => return Err(error),
            };
            if self.watch && stdout().is_terminal() {
                clear()?;
            }
            if !print(&text)? || !self.watch {
                return Ok(exit);
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn draw(&self, document: &Document) -> String {
        match (self.look.output, self.watch) {
            (Output::Text, false) => output::status(document),
            (Output::Text, true) => format!("{}\n", output::status(document)),
            (Output::Json, false) => document.json() + "\n",
            (Output::Json, true) => document.json_line() + "\n",
        }
    }
}

/// Where everything stands, as one document; `limit` is for a look of its own.
pub async fn document(settings: &Settings, limit: Option<Duration>) -> anyhow::Result<Document> {
    let (why, process) = match settings.http {
        None => (
            "the settings name no [http] listen, and --http is not given".to_owned(),
            (!settings.proxies.is_empty()).then_some(Process::NotAsked),
        ),
        Some(listen) => match ask(reachable(listen)).await {
            Ok(document) => match unknown_to(&document, settings) {
                None => return Ok(told(document, settings, listen)),
                Some((what, process)) => (format!("the process at http://{}/ {what}", reachable(listen)), process),
            },
            Err(why) => {
                let why = format!("nothing to be learnt from http://{}/: {why}", reachable(listen));
                (why, Some(Process::NoAnswer))
            }
        },
    };
    if follows_nothing(settings) {
        return Err(NobodyKnows(why).into());
    }
    look(settings, limit, &why, process).await
}

/// How long a watch waits before it shows the next document, or tries again to get one.
pub fn pause(document: Option<&Document>) -> Duration {
    let source = document.and_then(|document| document.source.as_ref());
    match source.and_then(|source| source.url.as_ref()) {
        None => LOOKED_APART,
        Some(_) => ASKED_APART,
    }
}

/// Where to ask a process that listens there: on this host if it listens on every address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr) -> anyhow::Result<Document> {
    let asked = timeout(ASK_TIMEOUT, get(address)).await;
    asked.unwrap_or_else(|_| bail!("no answer within {} s", ASK_TIMEOUT.as_secs()))
}

async fn get(address: SocketAddr) -> anyhow::Result<Document> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(connection);
    let request = Request::get("/status").header(HOST, address.to_string());
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    if response.status() != StatusCode::OK {
        bail!("it answers /status with {}", response.status());
    }
    let body = Limited::new(response.into_body(), DOCUMENT_MAX).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
    let document: Option<Document> = serde_json::from_slice(&body).ok();
    let ours = document.filter(|document| document.schema == *SCHEMA);
    ours.context("its /status is not that of rds-tether")
}

/// Says what the document lacks of what the settings have, and whether that is wrong; nothing if it lacks none of it.
fn unknown_to(document: &Document, settings: &Settings) -> Option<(String, Option<Process>)> {
    let elsewhere = |what: String| Some((what, Some(Process::Elsewhere)));
    for binding in &settings.bindings {
        let (arn, name) = (binding.arn.as_str(), binding.arn.name());
        let Some(group) = document.target_groups.iter().find(|group| group.arn == *arn) else {
            let mut awaited = document.not_looked_at_yet.iter().flatten();
            if awaited.any(|awaited| awaited == arn) {
                return Some((format!("has not looked yet at target group {name}"), None));
            }
            return elsewhere(format!("does not follow target group {name}"));
        };
        let theirs: BTreeSet<String> = group
            .endpoints
            .iter()
            .map(|sighted| sighted.endpoint.to_string())
            .collect();
        let ours: BTreeSet<String> = binding.endpoints.iter().map(ToString::to_string).collect();
        // As long as a group cannot be described, none of its endpoints has been looked at.
        if !theirs.is_empty() && theirs != ours {
            return elsewhere(format!("follows other endpoints for target group {name}"));
        }
    }
    for place in &settings.discover {
        let role = place.assume_role.as_ref().map(|role| Text::of(&role.arn));
        let mut theirs = document.discover.iter();
        if !theirs.any(|theirs| theirs.region == *place.region && theirs.role == role) {
            return elsewhere(format!("does not look for tagged target groups in {}", place.name()));
        }
    }
    let lacks = |proxy: &&Proxy| !document.proxies.iter().flatten().any(|theirs| is_same(theirs, proxy));
    let lacking = settings.proxies.iter().find(lacks)?;
    elsewhere(format!("does not serve the proxy on {}", lacking.listen))
}

/// What the process that follows the same does by other rules than the settings have, for people.
fn otherwise(document: &Document, settings: &Settings) -> Option<String> {
    if follows_nothing(settings) {
        return None;
    }
    let groups = settings.bindings.iter().filter_map(|binding| {
        let group = document
            .target_groups
            .iter()
            .find(|group| group.arn == *binding.arn.as_str())?;
        let title = format!("target group {}", binding.arn.name());
        Some((title, group.rules.as_ref()?, rules::of_binding(binding)))
    });
    let proxies = settings.proxies.iter().filter_map(|proxy| {
        let theirs = document
            .proxies
            .iter()
            .flatten()
            .find(|theirs| is_same(theirs, proxy))?;
        let title = format!("the proxy on {}", proxy.listen);
        Some((title, theirs.rules.as_ref()?, rules::of_proxy(proxy)))
    });
    let dns = document.dns.as_ref();
    let dns = dns.map(|theirs| ("DNS".to_owned(), theirs, rules::of_dns(&settings.dns)));
    let all = groups.chain(proxies).chain(dns);
    let differing = all.filter_map(|(title, theirs, ours): (String, &Rules, Rules)| {
        Some(format!("for {title}, {}", rules::difference(theirs, &ours)?))
    });
    let differing: Vec<String> = differing.collect();
    (!differing.is_empty()).then(|| differing.join("; "))
}

fn follows_nothing(settings: &Settings) -> bool {
    settings.bindings.is_empty() && settings.discover.is_empty() && settings.proxies.is_empty()
}

fn is_same(theirs: &document::Proxy, proxy: &Proxy) -> bool {
    theirs.listen == *proxy.listen.to_string() && theirs.endpoint == *proxy.endpoint.to_string()
}

/// The document of a running process, without what the settings do not have; all of it if they have nothing.
fn told(mut document: Document, settings: &Settings, listen: SocketAddr) -> Document {
    let why = otherwise(&document, settings);
    if !follows_nothing(settings) {
        let has = |arn: &Text| settings.bindings.iter().any(|binding| arn == binding.arn.as_str());
        let groups = settings.bindings.iter().map(|binding| binding.arn.name().to_owned());
        let proxies = settings.proxies.iter().map(|proxy| proxy::name(proxy.listen));
        let names: Vec<Text> = groups.chain(proxies).map(Text::of).collect();
        keep(&mut document.proxies, |theirs| {
            settings.proxies.iter().any(|proxy| is_same(theirs, proxy))
        });
        // Which target groups are tagged, the process knows.
        if settings.discover.is_empty() {
            document.target_groups.retain(|group| has(&group.arn));
            keep(&mut document.not_looked_at_yet, has);
            keep(&mut document.changes, |change| names.contains(&change.subject));
            document.discover.clear();
        }
    }
    document.source = Some(Source {
        url: Some(Text::of(format_args!("http://{}/status", reachable(listen)))),
        process: why.is_some().then_some(Process::Elsewhere),
        why: why.map(Text::of),
    });
    document.judge();
    document
}

fn keep<T>(list: &mut Option<Vec<T>>, is_wanted: impl Fn(&T) -> bool) {
    if let Some(list) = list {
        list.retain(is_wanted);
    }
}

async fn look(
    settings: &Settings,
    limit: Option<Duration>,
    why: &str,
    process: Option<Process>,
) -> anyhow::Result<Document> {
    let clock = Clock::start();
    let settings = &once::found(settings.clone(), limit).await?;
    let reports = once::plan(settings, limit).await?;
    let mut document = Document::of("status", &reports, Exit::Settled);
    document.proxies = Some(look_at_proxies(settings, clock).await?);
    document.at = Some(clock.now());
    document.version = Some(Text::of(env!("CARGO_PKG_VERSION")));
    document.source = Some(Source {
        url: None,
        why: Some(Text::of(why)),
        process,
    });
    document.judge();
    Ok(document)
}

/// Resolves the names that the proxies follow: more cannot be known from outside.
async fn look_at_proxies(settings: &Settings, clock: Clock) -> anyhow::Result<Vec<document::Proxy>> {
    let watchers = Watchers::of(&settings.dns, clock)?;
    let follow = |proxy: &Proxy| watchers.follow(proxy.endpoint.host(), proxy.family);
    let watches: Vec<_> = settings.proxies.iter().map(follow).collect();
    let mut views = Vec::new();
    for (proxy, watch) in settings.proxies.iter().zip(watches) {
        let mut sights = watch.sights();
        // An error means that the watcher has ended, which leaves nothing seen.
        let _ = sights.wait_for(|sight| sight.is_looked_at()).await;
        let seen = sights.borrow().seen.clone();
        let seen = seen.map(|answer| answer.resolution.addresses().iter().copied().collect());
        views.push(document::Proxy::from_outside(
            proxy,
            seen.map_err(|blind| blind.to_string()),
        ));
    }
    Ok(views)
}
