//! `status`: where every binding and proxy stands, from the process that follows them or else from a look of its own.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::exit::Exit;
use crate::planner::answer::Blind;
use crate::proxy::{self, Proxy};
use crate::settings::Settings;
use crate::telemetry::output::{self, SCHEMA, ago, heading, list, time, words};
use crate::verbs::once;

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

/// Where everything stands, as one document; `limit` is for a look of its own.
pub async fn document(settings: &Settings, limit: Option<Duration>) -> anyhow::Result<Value> {
    let why = match settings.http {
        None => "the settings name no [http] listen, and --http is not given".to_owned(),
        Some(listen) => match ask(reachable(listen)).await {
            Ok(document) => match unknown_to(&document, settings) {
                None => return Ok(told(document, settings, listen)),
                Some(what) => format!("the process at http://{}/ {what}", reachable(listen)),
            },
            Err(why) => format!("nothing to be learnt from http://{}/: {why}", reachable(listen)),
        },
    };
    if settings.bindings.is_empty() && settings.proxies.is_empty() {
        return Err(NobodyKnows(why).into());
    }
    look(settings, limit, &why).await
}

/// Settled, or not.
pub fn exit(document: &Value) -> Exit {
    if document["settled"] == true {
        Exit::Settled
    } else {
        Exit::Pending
    }
}

/// How long a watch waits before it shows the next document.
pub fn pause(document: &Value) -> Duration {
    match document["source"]["url"] {
        Value::Null => LOOKED_APART,
        _ => ASKED_APART,
    }
}

/// Who listens everywhere is asked on this host.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr) -> Result<Value, String> {
    let asked = timeout(ASK_TIMEOUT, get(address)).await;
    asked.unwrap_or_else(|_| Err(format!("no answer within {} s", ASK_TIMEOUT.as_secs())))
}

async fn get(address: SocketAddr) -> Result<Value, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    // It ends with the sender.
    tokio::spawn(connection);
    let request = Request::get("/status").header(HOST, address.to_string());
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status() != StatusCode::OK {
        return Err(format!("it answers /status with {}", response.status()));
    }
    let body = Limited::new(response.into_body(), DOCUMENT_MAX).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    let document: Option<Value> = serde_json::from_slice(&body).ok();
    let ours = document.filter(|document| document["schema"] == SCHEMA);
    ours.ok_or_else(|| "its /status is not that of rds-tether".into())
}

/// What the settings have that the document lacks.
fn unknown_to(document: &Value, settings: &Settings) -> Option<String> {
    for binding in &settings.bindings {
        let wanted = |group: &&Value| group["arn"] == binding.arn.as_str();
        let Some(group) = list(&document["target_groups"]).iter().find(wanted) else {
            let awaited = list(&document["not_looked_at_yet"])
                .iter()
                .any(|arn| arn == binding.arn.as_str());
            let what = if awaited {
                "has not looked yet at"
            } else {
                "does not follow"
            };
            return Some(format!("{what} target group {}", binding.arn.name()));
        };
        let theirs = list(&group["endpoints"])
            .iter()
            .filter_map(|endpoint| endpoint["endpoint"].as_str());
        let theirs: BTreeSet<String> = theirs.map(str::to_owned).collect();
        let ours: BTreeSet<String> = binding.endpoints.iter().map(ToString::to_string).collect();
        // As long as a group cannot be described, none of its endpoints has been looked at.
        if !theirs.is_empty() && theirs != ours {
            return Some(format!(
                "follows other endpoints for target group {}",
                binding.arn.name()
            ));
        }
    }
    let lacks = |proxy: &&Proxy| !list(&document["proxies"]).iter().any(|theirs| is_same(theirs, proxy));
    let lacking = settings.proxies.iter().find(lacks)?;
    Some(format!("does not serve the proxy on {}", lacking.listen))
}

fn is_same(view: &Value, proxy: &Proxy) -> bool {
    view["listen"] == proxy.listen.to_string() && view["endpoint"] == proxy.endpoint.to_string()
}

/// What a running process says about what the settings have; about everything if they have nothing.
fn told(mut document: Value, settings: &Settings, listen: SocketAddr) -> Value {
    if !settings.bindings.is_empty() || !settings.proxies.is_empty() {
        let has = |arn: &Value| settings.bindings.iter().any(|binding| arn == binding.arn.as_str());
        let groups = settings.bindings.iter().map(|binding| binding.arn.name().to_owned());
        let proxies = settings.proxies.iter().map(|proxy| proxy::name(proxy.listen));
        let names: Vec<String> = groups.chain(proxies).collect();
        keep(&mut document["target_groups"], |group| has(&group["arn"]));
        keep(&mut document["not_looked_at_yet"], has);
        keep(&mut document["proxies"], |view| {
            settings.proxies.iter().any(|proxy| is_same(view, proxy))
        });
        keep(&mut document["changes"], |change| {
            names.iter().any(|name| change["subject"] == name.as_str())
        });
    }
    document["source"] = json!({ "url": format!("http://{}/status", reachable(listen)), "why": null });
    judge(&mut document);
    document
}

fn keep(list: &mut Value, is_wanted: impl Fn(&Value) -> bool) {
    if let Some(list) = list.as_array_mut() {
        list.retain(is_wanted);
    }
}

/// Settled are groups that equal DNS and proxies that are not known to be of no use.
fn judge(document: &mut Value) {
    let is_settled = list(&document["target_groups"])
        .iter()
        .all(|group| group["settled"] == true)
        && list(&document["not_looked_at_yet"]).is_empty()
        && list(&document["proxies"]).iter().all(|proxy| proxy["ready"] != false);
    document["settled"] = json!(is_settled);
    document["exit_code"] = json!(exit(document) as u8);
}

async fn look(settings: &Settings, limit: Option<Duration>, why: &str) -> anyhow::Result<Value> {
    let clock = Clock::start();
    let reports = once::plan(settings, limit).await?;
    let mut document = output::json_value("status", &reports, Exit::Settled);
    document["proxies"] = look_at_proxies(settings, clock).await?;
    document["at"] = json!(clock.now());
    document["version"] = json!(env!("CARGO_PKG_VERSION"));
    document["source"] = json!({ "url": null, "why": why });
    judge(&mut document);
    Ok(document)
}

/// What can be said of proxies from outside: where they would connect to.
async fn look_at_proxies(settings: &Settings, clock: Clock) -> anyhow::Result<Value> {
    let watchers = once::watchers(&settings.dns, clock)?;
    let follow = |proxy: &Proxy| watchers.follow(proxy.endpoint.host(), proxy.family);
    let watches: Vec<_> = settings.proxies.iter().map(follow).collect();
    let mut views = Vec::new();
    for (proxy, watch) in settings.proxies.iter().zip(watches) {
        let mut sights = watch.sights();
        // An error means that the watcher has ended, which leaves nothing seen.
        let _ = sights.wait_for(|sight| !matches!(sight.seen, Err(Blind::NotYet))).await;
        let seen = sights.borrow().seen.clone();
        let (addresses, ready, why) = match &seen {
            Ok(answer) => {
                let addresses = answer.resolution.addresses().iter().map(ToString::to_string);
                (
                    addresses.collect(),
                    Value::Null,
                    "only its own process knows".to_owned(),
                )
            }
            Err(blind) => (
                Vec::new(),
                json!(false),
                format!("the name cannot be resolved: {blind}"),
            ),
        };
        views.push(json!({
            "listen": proxy.listen.to_string(),
            "endpoint": proxy.endpoint.to_string(),
            "addresses": addresses,
            "ready": ready,
            "why": why,
            "counts": null,
        }));
    }
    Ok(views.into())
}

/// Draws the document as tables.
pub fn draw(document: &Value) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut out, document);
    out
}

fn write_all(out: &mut String, document: &Value) -> std::fmt::Result {
    let now = time(&document["at"]);
    let source = &document["source"];
    match &source["url"] {
        Value::Null => writeln!(out, "seen by a look of its own: {}", text(&source["why"]))?,
        url => {
            let (up, version) = (ago(now, &document["started"]), text(&document["version"]));
            writeln!(out, "asked {}: rds-tether {version}, up for {up}", text(url))?;
        }
    }
    for arn in list(&document["not_looked_at_yet"]) {
        writeln!(out, "\ntarget group {}\n  not looked at yet", text(arn))?;
    }
    for group in list(&document["target_groups"]) {
        write_group(out, group, document)?;
    }
    for proxy in list(&document["proxies"]) {
        write_proxy(out, proxy)?;
    }
    Ok(())
}

fn write_group(out: &mut String, group: &Value, document: &Value) -> std::fmt::Result {
    let now = time(&document["at"]);
    writeln!(
        out,
        "\ntarget group {}\n  {}",
        text(&group["name"]),
        text(&group["arn"])
    )?;
    let since = match &group["in_sync_since"] {
        Value::Null => String::new(),
        since => format!(", in sync since {} ({})", text(since), ago(now, since)),
    };
    writeln!(out, "  {}{since}", heading(&text(&group["verdict"])))?;
    let mut rows = vec![
        ["ENDPOINT", "ROLE", "RESOLVER", "SAYS", "TTL"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for endpoint in list(&group["endpoints"]) {
        let (name, role) = (text(&endpoint["endpoint"]), text(&group["role"]));
        let servers = list(&endpoint["name_servers"]);
        if servers.is_empty() {
            rows.push(vec![
                name.clone(),
                role.clone(),
                "-".into(),
                text(&endpoint["blind"]),
                String::new(),
            ]);
        }
        for server in servers {
            let says = match &server["failure"] {
                Value::Null => join(&server["addresses"]),
                failure => text(failure),
            };
            let ttl = server["ttl_seconds"]
                .as_u64()
                .map(|secs| format!("{secs} s"))
                .unwrap_or_default();
            rows.push(vec![name.clone(), role.clone(), text(&server["address"]), says, ttl]);
        }
    }
    write_table(out, &rows)?;
    let targets = list(&group["targets"]);
    let mut rows = vec![["TARGET", "HEALTH", "ZONE", "DNS", "HELD"].map(str::to_owned).to_vec()];
    rows.extend(targets.iter().map(|target| target_row(target, group)));
    if group["targets"].is_null() {
        writeln!(out, "  the targets could not be listed")?;
    } else if targets.is_empty() {
        writeln!(out, "  no targets")?;
    } else {
        write_table(out, &rows)?;
    }
    let is_of_target = |hold: &Value| targets.iter().any(|target| target["target"] == hold["what"]);
    for hold in list(&group["holds"]) {
        if !is_of_target(hold) && hold["reason"] != "group_unseen" {
            writeln!(out, "  held: {}", text(&hold["text"]))?;
        }
    }
    for note in list(&group["notes"]) {
        writeln!(out, "  note: {}", text(note))?;
    }
    for error in list(&group["errors"]) {
        writeln!(out, "  error: {}", text(&error["text"]))?;
    }
    Ok(())
}

fn target_row(target: &Value, group: &Value) -> Vec<String> {
    let what = text(&target["target"]);
    let reason = match &target["reason"] {
        Value::Null => String::new(),
        reason => format!(" ({})", text(reason)),
    };
    let holds = list(&group["holds"])
        .iter()
        .filter(|hold| hold["what"] == target["target"]);
    let held: Vec<String> = holds
        .map(|hold| text(&hold["text"]).trim_start_matches(&what).trim_start().to_owned())
        .collect();
    let zone = match &target["zone"] {
        Value::Null => "-".into(),
        zone => text(zone),
    };
    let named = if target["named"] == true {
        "names it"
    } else {
        "does not name it"
    };
    vec![
        what,
        format!("{}{reason}", text(&target["state"])),
        zone,
        named.into(),
        held.join("; "),
    ]
}

fn write_proxy(out: &mut String, proxy: &Value) -> std::fmt::Result {
    let word = match proxy["ready"].as_bool() {
        Some(true) => "ready",
        Some(false) => "not ready",
        None => "readiness unknown",
    };
    writeln!(
        out,
        "\nproxy {}\n  {word}: {}",
        text(&proxy["listen"]),
        text(&proxy["why"])
    )?;
    let counts = &proxy["counts"];
    let count = |name: &str| {
        counts[name]
            .as_u64()
            .map_or_else(|| "-".to_owned(), |count| count.to_string())
    };
    let titles = ["ENDPOINT", "ADDRESSES", "OPEN", "SESSIONS", "REFUSED", "CUT"].map(str::to_owned);
    let mut row = vec![text(&proxy["endpoint"]), join(&proxy["addresses"])];
    row.extend(["open", "sessions", "refused", "cut"].map(count));
    write_table(out, &[titles.to_vec(), row])
}

/// Rows with their columns aligned; the first has the titles. Without rows below them there is no table.
fn write_table(out: &mut String, rows: &[Vec<String>]) -> std::fmt::Result {
    if rows.len() < 2 {
        return Ok(());
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "  {}", line.trim_end())?;
    }
    Ok(())
}

fn join(value: &Value) -> String {
    list(value).iter().map(text).collect::<Vec<_>>().join(", ")
}

/// What a value says, without what would move a terminal's cursor.
fn text(value: &Value) -> String {
    words(value).replace(char::is_control, "?")
}
