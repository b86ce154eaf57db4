//! The page for people as a browser shows it: Debian's Chromium, without a window.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use rds_tether::planner;
use rds_tether::planner::time::Timestamp;
use rds_tether::telemetry::document::{Document, Group, Held, Sighted, Target, Text};
use rds_tether::telemetry::page::{self, CARDS_ALL, CARDS_MAX, POLICY, Part, Scene};
use rds_tether::telemetry::timeline::{Look, SPANS_MAX, Timeline};
use testkit::program::{FOREIGN_MAX, finish_within, provided};

use super::world::*;

/// The largest page of a thousand target groups.
const PAGE_MAX_BYTES: usize = 2_000_000;

/// Serves pages one after the other, the last of them for ever, and remembers which paths were asked for.
struct Served {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Served {
    fn start(pages: Vec<String>, policy: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            let mut pages = pages.iter();
            let mut page = pages.next().unwrap();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 8192];
                let count = stream.read(&mut request).unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..count]).into_owned();
                let Some(path) = request.split(' ').nth(1) else {
                    continue;
                };
                let is_page = path.split('?').next() == Some("/");
                seen.lock().unwrap().push(path.to_owned());
                let (status, body) = if is_page {
                    ("200 OK", page.as_str())
                } else {
                    ("404 Not Found", "")
                };
                let policy = policy
                    .iter()
                    .map(|policy| format!("Content-Security-Policy: {policy}\r\n"));
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n{}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    policy.collect::<String>(),
                    body.len()
                );
                // A browser that has gone does not read it.
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(body.as_bytes()));
                if is_page {
                    page = pages.next().unwrap_or(page);
                }
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// What the browser has made of an address, and what it says.
fn browse(address: &str, more: &[&str], folder: &Path) -> Output {
    fs::create_dir(folder).unwrap();
    let mut command = Command::new(provided("RDS_TETHER_TEST_CHROMIUM"));
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            "--timeout=120000",
        ])
        .arg(format!("--user-data-dir={}", folder.display()))
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .args(more)
        .arg("--dump-dom")
        .arg(address);
    let output = finish_within(FOREIGN_MAX, &mut command);
    assert!(output.status.success(), "{}", said(&output));
    output
}

fn dom(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A page of so many target groups, some of them with this name server failing.
fn scene(groups: usize, failing: &[usize]) -> Scene {
    let group = |number: usize| {
        let (name, target) = (
            format!("orders-{number}"),
            format!("10.0.{}.{}:5432", number / 250, number % 250 + 1),
        );
        let is_trouble = failing.contains(&number);
        Group {
            arn: Text::of(format!(
                "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/{number:016x}"
            )),
            name: Text::of(&name),
            role: Text::of("writer"),
            settled: !is_trouble,
            is_trouble,
            verdict: Text::of(if is_trouble {
                "DNS: it cannot be resolved: see above"
            } else {
                "settled: the group equals DNS"
            }),
            endpoints: vec![Sighted {
                endpoint: Text::of(format!("{name}.cluster-abc123.eu-west-1.rds.amazonaws.com:5432")),
                ..Sighted::default()
            }],
            targets: Some(vec![Target {
                target: Text::of(target),
                state: Text::of("healthy"),
                named: !is_trouble,
                ..Target::default()
            }]),
            holds: is_trouble
                .then(|| Held {
                    text: Text::of(format!(
                        "{name} cannot be resolved, so nothing is removed: SERVFAIL {}",
                        "x".repeat(400)
                    )),
                    is_trouble,
                    ..Held::default()
                })
                .into_iter()
                .collect(),
            ..Group::default()
        }
    };
    let mut document = Document {
        target_groups: (0..groups).map(group).collect(),
        ..Document::default()
    };
    document.judge();
    Scene {
        document,
        ..Scene::default()
    }
}

/// The timeline of a group to which as much has happened as is remembered.
fn busy() -> (Timestamp, Arc<Timeline>) {
    let mut timeline = Timeline::default();
    let at = |secs: u64| Timestamp::from_millis(1_795_000_000_000 + secs * 1000);
    let ends = 10 * SPANS_MAX as u64;
    for secs in (0..=ends).step_by(10) {
        let target = planner::target::Target {
            ip: [10, 0, 0, (secs / 10 % 8) as u8].into(),
            port: 5432,
        };
        let is_new = secs == ends - 200;
        timeline.note(&Look {
            at: at(secs),
            ended: at(secs + 1),
            is_of_readers: false,
            named: BTreeSet::from([target]),
            is_blind: secs.is_multiple_of(70),
            seeing_since: None,
            proven: BTreeSet::from([target]),
            listed: Some((at(secs), BTreeMap::from([(target, planner::target::State::Healthy)]))),
            registered: BTreeSet::new(),
            deregistered: BTreeSet::new(),
            begins: is_new,
            ends: secs == ends - 10,
            is_progress: is_new,
        });
    }
    assert_eq!(timeline.spans().len(), SPANS_MAX);
    (at(ends), Arc::new(timeline))
}

fn drawn(scene: &Scene) -> String {
    page::draw(scene, Part::All).unwrap()
}

/// The page with a script of the test's own, which leaves what it measures in the document.
fn measured(page: &str, script: &str) -> String {
    page.replace(
        "</body>",
        &format!("<script>addEventListener('load', () => {{ document.body.dataset.measured = (() => {{ {script} }})(); }})</script></body>"),
    )
}

#[track_caller]
fn measure(dom: &str) -> f64 {
    let value = dom
        .split("data-measured=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let value = value.unwrap_or_else(|| panic!("nothing was measured: {dom}"));
    value.parse().unwrap()
}

/// Fails if the script does not run under the page's own policy, or a refresh loses the filter, or is none.
#[test]
#[ignore = "needs Chromium: tests/run"]
fn the_page_keeps_itself_fresh_and_filtered() {
    let scratch = Scratch::new();
    let (first, later) = (drawn(&scene(3, &[])), drawn(&scene(5, &[4])));
    let served = Served::start(vec![first, later], Some(POLICY.clone()));
    let address = format!("http://{}/?find=orders-4+trouble", served.address);
    let output = browse(&address, &["--virtual-time-budget=12000"], &scratch.path("profile"));
    let dom = dom(&output);
    assert!(
        served.asked().iter().filter(|path| *path == "/").count() >= 1,
        "{:?}",
        served.asked()
    );
    assert_says(&dom, &["1 of 5", "<title>1 in trouble", "id=\"group-orders-4\""]);
    let hidden = dom.matches("hidden=\"\"").count();
    assert_eq!(hidden, 4 + 1, "four groups and what tells of no answer: {dom}");
    let console = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!console.contains("CONSOLE"), "{console}");
}

/// Fails if a page that nobody keeps fresh any more looks as if somebody did.
#[test]
#[ignore = "needs Chromium: tests/run"]
fn a_page_that_gets_no_answer_says_so_and_stays() {
    let scratch = Scratch::new();
    let served = Served::start(
        vec![drawn(&scene(3, &[])), "no page of ours".to_owned()],
        Some(POLICY.clone()),
    );
    let address = format!("http://{}/", served.address);
    let output = browse(&address, &["--virtual-time-budget=12000"], &scratch.path("profile"));
    assert_says(
        &dom(&output),
        &[
            "No answer since ",
            "what is shown is from then",
            "id=\"group-orders-2\"",
        ],
    );
}

/// Fails if a refresh moves what somebody reads, or takes the keyboard from where it was.
#[test]
#[ignore = "needs Chromium: tests/run"]
fn a_refresh_keeps_the_place() {
    let scratch = Scratch::new();
    let failing: Vec<usize> = (0..10).collect();
    let (first, later) = (scene(100, &[]), scene(100, &failing));
    let script = "const row = () => document.getElementById('group-orders-60'); const top = () => row().getBoundingClientRect().top; \
                  row().querySelector('a').focus(); scrollTo(0, scrollY + top() - 80); const before = [top(), scrollY]; \
                  new MutationObserver((_, observer) => { observer.disconnect(); setTimeout(() => { \
                  const isFocused = document.activeElement === row().querySelector('a'); document.body.dataset.measured = \
                  Math.abs(top() - before[0]) + (scrollY > before[1] ? 0 : 1000) + (isFocused ? 0 : 2000) }, 100) \
                  }).observe(document.body, { childList: true }); return 'not yet'";
    let served = Served::start(vec![measured(&drawn(&first), script), drawn(&later)], None);
    let address = format!("http://{}/", served.address);
    let output = browse(&address, &["--virtual-time-budget=12000"], &scratch.path("profile"));
    let moved = measure(&dom(&output));
    assert!(moved < 2.0, "by {moved}");
}

/// Fails if anything runs off a phone.
#[test]
#[ignore = "needs Chromium: tests/run"]
fn nothing_runs_off_a_phone() {
    let scratch = Scratch::new();
    // A window may not be as narrow, a frame may.
    let frame = "<!doctype html><body><iframe width=360 height=800 style='border: 0' src='/?framed'></iframe></body>";
    let script = "const page = document.querySelector('iframe').contentDocument.documentElement; return page.clientWidth === 360 ? \
                  page.scrollWidth : -page.clientWidth";
    for (name, scene) in [("few", scene(2, &[1])), ("many", scene(CARDS_ALL + 5, &[1]))] {
        let served = Served::start(vec![measured(frame, script), drawn(&scene)], None);
        let address = format!("http://{}/", served.address);
        let output = browse(&address, &["--hide-scrollbars"], &scratch.path(name));
        assert_eq!(measure(&dom(&output)), 360.0, "{name}");
    }
}

/// Fails if a page of a thousand target groups is too large, or a browser does not lay it out; how long that takes is told.
#[test]
#[ignore = "needs Chromium: tests/run"]
#[allow(clippy::print_stdout, reason = "a figure is printed")]
fn a_thousand_groups_are_shown_at_once() {
    let scratch = Scratch::new();
    // All that can be drawn, of more than are told in full.
    let failing: Vec<usize> = (0..100).collect();
    let mut scene = scene(1000, &failing);
    let (now, timeline) = busy();
    scene.document.at = Some(now);
    for group in &scene.document.target_groups {
        let arn = group.arn.to_string();
        scene.timelines.groups.insert(arn, Arc::clone(&timeline));
    }
    let page = drawn(&scene);
    assert!(page.len() < PAGE_MAX_BYTES, "{}", page.len());
    assert_eq!(page.matches("<section class=\"card no\"").count(), CARDS_MAX);
    assert_eq!(page.matches("<figure>").count(), 2 * CARDS_MAX);
    let script = "const began = performance.getEntriesByType('navigation')[0].responseEnd; document.body.offsetHeight; return \
                  performance.now() - began";
    let served = Served::start(vec![measured(&page, script)], None);
    let address = format!("http://{}/", served.address);
    // Whatever the machine has to do besides: this is a figure, and no limit.
    let runs = ["first", "second", "third"].map(|run| measure(&dom(&browse(&address, &[], &scratch.path(run)))));
    let took = runs.into_iter().fold(f64::INFINITY, f64::min);
    println!(
        "a page of a thousand target groups, {} bytes: laid out in {took:.0} ms",
        page.len()
    );
    assert!(took > 0.0, "{took} ms");
}
