//! The PROXY protocol header of a load balancer in front: taken off, never passed on.

use std::io::Write as _;

use super::world::{End, Listener, OLD, Proxy, World, assert_says, connect, read_to_end};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// From 10.0.0.1:12345 to 10.0.0.9:5432.
const IPV4: &[u8] = &[10, 0, 0, 1, 10, 0, 0, 9, 0x30, 0x39, 0x15, 0x38];
const PROXIED: u8 = 0x21;
const LOCAL: u8 = 0x20;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// What a Network Load Balancer adds: the id of the endpoint that the client came through.
fn with_endpoint_id() -> Vec<u8> {
    [IPV4, &[0xea, 0, 23, 1], b"vpce-08d2bf15fac5001c9"].concat()
}

/// Sends pieces and the end; gives what the database hears.
#[track_caller]
fn heard(proxy: &Proxy, listener: &Listener, pieces: &[&[u8]]) -> Vec<u8> {
    let mut client = connect(proxy.address).expect("it listens");
    for piece in pieces {
        client.write_all(piece).expect("room");
    }
    client.shutdown(std::net::Shutdown::Write).expect("an open connection");
    read_to_end(&listener.accept()).0
}

#[test]
fn the_header_is_taken_off_however_it_comes() {
    const STREAM: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f and more";
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("--accept-proxy-protocol");
    for (what, header) in [
        ("IPv4", header(PROXIED, TCP4, IPV4)),
        (
            "IPv4 with the endpoint's id",
            header(PROXIED, TCP4, &with_endpoint_id()),
        ),
        ("IPv6", header(PROXIED, TCP6, &[1; 36])),
        ("the load balancer itself", header(LOCAL, 0, &[])),
        ("another kind of address", header(PROXIED, 0x31, &[0; 216])),
        ("4 KiB behind it", header(PROXIED, TCP4, &[IPV4, &[4; 4084]].concat())),
    ] {
        let whole = [&header[..], STREAM].concat();
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        let pieces: Vec<&[u8]> = whole.chunks(whole.len() / 5).collect();
        assert_eq!(
            heard(&proxy, &listener, &[&whole]),
            STREAM,
            "{what}, in one segment with the stream"
        );
        assert_eq!(
            heard(&proxy, &listener, &[&header, STREAM]),
            STREAM,
            "{what}, on its own"
        );
        assert_eq!(heard(&proxy, &listener, &pieces), STREAM, "{what}, in five pieces");
        if bytes.len() < 100 {
            assert_eq!(heard(&proxy, &listener, &bytes), STREAM, "{what}, byte by byte");
        }
        assert_eq!(heard(&proxy, &listener, &[&header]), b"", "{what}, and nothing else");
        // A second one is the stream's own.
        let twice = [&header[..], &header[..]].concat();
        assert_eq!(heard(&proxy, &listener, &[&twice]), header, "{what}, twice");
    }
}

#[test]
fn what_does_not_begin_with_a_header_is_refused_and_never_reaches_the_database() {
    let good = header(PROXIED, TCP4, IPV4);
    let with = |at: usize, byte: u8| {
        let mut header = good.clone();
        header[at] = byte;
        header
    };
    let length = u16::MAX.to_be_bytes();
    let too_long = [SIGNATURE, &[PROXIED, TCP4], &length].concat();
    for (what, bytes, why) in [
        (
            "a startup message",
            b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(),
            "--accept-proxy-protocol",
        ),
        ("one byte of one", b"\0".to_vec(), "--accept-proxy-protocol"),
        (
            "version 1",
            b"PROXY TCP4 10.0.0.1 10.0.0.9 1 2\r\n".to_vec(),
            "proxy_protocol_v2.enabled",
        ),
        ("a wrong signature", with(11, b'x'), "does not begin with"),
        ("a version to come", with(12, 0x31), "not version 2"),
        ("an unknown command", with(12, 0x22), "unknown command"),
        (
            "addresses cut short",
            header(PROXIED, TCP4, &IPV4[..8]),
            "shorter than its addresses",
        ),
        ("64 KiB of it", too_long, "too long"),
    ] {
        let world = World::new();
        let listener = world.listener(OLD);
        let proxy = world.proxy("--accept-proxy-protocol");
        for _ in 0..3 {
            let mut client = connect(proxy.address).expect("it listens");
            client.write_all(&bytes).expect("room");
            assert_eq!(read_to_end(&client), (Vec::new(), End::Reset), "{what}");
        }
        let told = proxy.daemon.wait_for_log(&["a connection from 127.0.0.1 is refused"]);
        assert_says(&told, &[why]);
        assert_eq!(proxy.daemon.log().matches("is refused").count(), 1, "{what}");
        // The first connection that the database sees is a good one.
        assert_eq!(heard(&proxy, &listener, &[&good, b"good"]), b"good", "{what}");
    }
}

#[test]
fn health_checks_that_only_connect_are_no_trouble() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("--accept-proxy-protocol");
    for _ in 0..3 {
        let client = connect(proxy.address).expect("it listens");
        client.shutdown(std::net::Shutdown::Write).expect("an open connection");
        assert_eq!(read_to_end(&client).0, b"");
    }
    let good = header(PROXIED, TCP4, IPV4);
    assert_eq!(heard(&proxy, &listener, &[&good, b"good"]), b"good");
    assert!(!proxy.daemon.log().contains("refused"), "{}", proxy.daemon.log());
}

#[test]
fn half_a_header_is_not_waited_for_for_ever() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("--accept-proxy-protocol");
    let good = header(PROXIED, TCP4, IPV4);
    let mut half = connect(proxy.address).expect("it listens");
    half.write_all(&good[..20]).expect("room");
    let silent = connect(proxy.address).expect("it listens");
    // Meanwhile others are served.
    assert_eq!(heard(&proxy, &listener, &[&good, b"good"]), b"good");
    for stream in [&half, &silent] {
        assert_eq!(read_to_end(stream), (Vec::new(), End::Reset));
    }
    proxy.daemon.wait_for_log(&["is refused", "did not come in time"]);
}

#[test]
fn without_the_setting_a_header_is_part_of_the_stream() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let header = header(PROXIED, TCP4, IPV4);
    assert_eq!(heard(&proxy, &listener, &[&header]), header);
}

#[test]
fn the_header_names_the_client_in_the_log() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("--accept-proxy-protocol -v");
    assert_eq!(heard(&proxy, &listener, &[&header(PROXIED, TCP4, IPV4)]), b"");
    proxy
        .daemon
        .wait_for_log(&["a session from 10.0.0.1:12345 to 127.0.0.2 begins"]);
}
