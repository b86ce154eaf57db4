//! How the pages are served.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;

use testkit::http::ask;
use testkit::program::comes_true;
use testkit::settings::{dns, target_group};

use super::site::{Site, served};
use super::world::*;

/// Fails if a page is missing, has the wrong type, or could be kept by a cache.
#[test]
fn every_page_has_its_type_and_is_never_kept() {
    let site = Site::settled();
    site.wait_for_status("/proxies/0/ready", true);
    site.wait_for_status("/settled", true);
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/group/orders", "text/html; charset=utf-8"),
        ("/status", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
        ("/metrics?a=b", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        let answer = site.get(path);
        assert_eq!(answer.headers["content-type"], content_type, "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert!(answer.body.ends_with('\n'), "{path}");
    }
}

/// Fails if HEAD differs from GET in anything but the body.
#[test]
fn head_is_get_without_the_body() {
    let site = Site::settled();
    for path in ["/healthz", "/readyz/1", "/nowhere"] {
        let (get, head) = (ask(site.http, "GET", path), ask(site.http, "HEAD", path));
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.headers["content-length"], get.body.len().to_string(), "{path}");
        assert_eq!(head.headers["content-type"], get.headers["content-type"], "{path}");
        assert_eq!(head.body, "", "{path}");
    }
}

/// Fails if a page that is not there does not lead to those that are.
#[test]
fn other_paths_are_not_found() {
    let site = Site::settled();
    for path in [
        "/nowhere",
        "/status/",
        "/readyz/",
        "/readyz/x",
        "/readyz/99999",
        "/metrics/5432",
    ] {
        let answer = ask(site.http, "GET", path);
        assert_eq!(answer.status, 404, "{path}");
        assert_says(&answer.body, &["/status", "/metrics", "/readyz/PORT"]);
    }
    let answer = ask(site.http, "GET", "/readyz/1");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (404, "no proxy listens on port 1\n")
    );
}

/// Fails if anything but reading is answered otherwise than by a refusal.
#[test]
fn only_reading_is_allowed() {
    let site = Site::settled();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let answer = ask(site.http, method, "/status");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.headers["allow"], "GET, HEAD", "{method}");
    }
}

/// Fails if one connection cannot ask several times, as Prometheus does.
#[test]
fn a_connection_asks_again_and_again() {
    let site = Site::settled();
    let mut stream = TcpStream::connect(site.http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: tether\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\nalive\n") {
            let mut some = [0; 512];
            let count = stream.read(&mut some).unwrap();
            assert!(count > 0, "closed after {answer:?}");
            answer.push_str(std::str::from_utf8(&some[..count]).unwrap());
        }
    }
}

/// Fails if a taken port ends the process, is kept from people, or is never tried again.
#[test]
fn a_taken_port_is_told_and_tried_again() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let world = World::settled();
    let scratch = Scratch::new();
    let path = scratch.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = world.bound("run");
    let daemon = Daemon::start(
        command
            .args(["--http", &address.to_string()])
            .env("NOTIFY_SOCKET", &path),
    );
    let trouble = format!("cannot serve http://{address}/: ");
    daemon.wait_for_log(&["WARN", &trouble, "trying again every 2 s"]);
    let told = |wanted: &dyn Fn(&str) -> bool| {
        let mut message = [0; 4096];
        while let Ok(count) = manager.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..count]).into_owned();
            if text.starts_with("STATUS=1 of 1 target groups settled") && wanted(&text) {
                return text;
            }
        }
        panic!("the status line never came: {}", daemon.log());
    };
    assert_says(&told(&|text| text.contains("cannot serve")), &[&trouble]);
    drop(taken);
    assert_eq!(served(&daemon), address);
    assert_eq!(ask(address, "GET", "/healthz").body, "alive\n");
    told(&|text| !text.contains("cannot serve"));
    assert_eq!(daemon.log().matches("cannot serve").count(), 1, "{}", daemon.log());
}

/// Fails if new settings leave the pages where they were, or leave the old port taken.
#[test]
fn the_pages_move_with_the_settings() {
    let world = World::settled();
    let scratch = Scratch::new();
    let text = |http: &str| {
        let group = target_group(&world.arn, &format!("{WRITER}:5432"));
        dns(world.dns.addr()).and(group).line(http)
    };
    let path = scratch.write("config.toml", &text("[http]\nlisten = \"127.0.0.1:0\""));
    let daemon = Daemon::start(bare_command(&world.elb.url()).arg("run").arg("--config").arg(&path));
    let first = served(&daemon);
    // An address that no other test has: the port on the first is anybody's as soon as it is left.
    let moved = format!("127.0.9.9:{}", first.port());
    scratch.write("config.toml", &text(&format!("[http]\nlisten = \"{moved}\"")));
    daemon.signal("HUP");
    daemon.wait_for_log(&[&format!("serving http://{moved}/")]);
    assert_eq!(ask(&moved, "GET", "/healthz").status, 200);
    assert!(TcpStream::connect(first).is_err(), "{first} is still served");
    scratch.write("config.toml", &text(""));
    daemon.signal("HUP");
    // The end of listening has no event but that it is over.
    let is_over = comes_true(PATIENCE, || TcpStream::connect(&moved).is_err());
    assert!(is_over, "{moved} is still served");
}
