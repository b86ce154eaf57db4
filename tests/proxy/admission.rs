//! Who is let in, and what happens when there is no room.

use std::process::Command;
use std::thread;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use testkit::http::ask;

use super::held::pages;
use super::world::{
    Client, NEW, OLD, Proxy, World, assert_refused, assert_says, connect, connect_from, times_logged, wait_until,
};

#[test]
fn more_sessions_than_allowed_are_refused_until_one_ends() {
    let world = World::new();
    let database = world.database(OLD);
    let proxy = world.proxy("--max-sessions 2");
    let mut sessions = vec![proxy.client(), proxy.client()];
    for _ in 0..5 {
        proxy.assert_refuses();
    }
    let told = proxy.daemon.wait_for_log(&["a connection from 127.0.0.1 is refused"]);
    assert_says(&told, &["there are 2 sessions already", "--max-sessions allows more"]);
    assert_eq!(
        times_logged(&proxy.daemon, &["is refused"]),
        1,
        "{}",
        proxy.daemon.log()
    );
    assert_eq!(database.accepted(), 2);
    sessions.iter_mut().for_each(Client::assert_served);
    sessions.pop();
    wait_until("there is room for one", || {
        sessions.extend(Client::connect(proxy.address).ok());
        sessions.len() == 2
    });
    proxy.assert_refuses();
    sessions.iter_mut().for_each(Client::assert_served);
}

#[test]
fn only_allowed_peers_are_let_in() {
    let world = World::new();
    let database = world.database(OLD);
    let proxy = world.proxy("--allow-peer 127.0.0.9 --allow-peer 127.8.0.0/16");
    let mut served = 0;
    for (ip, is_allowed) in [
        ("127.0.0.9", true),
        ("127.0.0.1", false),
        ("127.0.0.10", false),
        ("127.8.7.6", true),
        ("127.9.0.1", false),
    ] {
        let greeted = connect_from(ip, proxy.address).and_then(Client::greeted);
        if is_allowed {
            greeted.unwrap_or_else(|error| panic!("{ip}: {error}")).assert_served();
            served += 1;
        } else {
            assert_refused(greeted.err(), ip);
        }
        assert_eq!(database.accepted(), served, "{ip}");
    }
    let told = proxy.daemon.wait_for_log(&["a connection from 127.0.0.1 is refused"]);
    assert_says(&told, &["no --allow-peer names it"]);
}

/// A process that is started with few descriptors: enough for some sessions, however many threads it has.
#[track_caller]
fn with_few_descriptors(world: &World, arguments: &str) -> (Proxy, usize) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let descriptors = 64 + 8 * threads;
    let command = world.command(arguments);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let proxy = Proxy::start(&mut shell);
    let told = proxy
        .daemon
        .wait_for_log(&[&format!("{descriptors} descriptors are enough for ")]);
    assert_says(&told, &["not for 10000", "LimitNOFILE=", "--max-sessions"]);
    let sessions = told
        .split("enough for ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    let sessions = sessions.unwrap_or_else(|| panic!("no number in {told}"));
    assert!(sessions > 8, "{told}");
    (proxy, sessions)
}

#[test]
fn no_more_sessions_are_let_in_than_there_are_descriptors_for() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let (proxy, most) = with_few_descriptors(&world, "--linger 5s");
    let mut sessions: Vec<_> = (0..most).map(|_| proxy.client()).collect();
    proxy.assert_refuses();
    let told = proxy.daemon.wait_for_log(&["a connection from 127.0.0.1 is refused"]);
    assert_says(&told, &[&format!("there are {most} sessions already"), "LimitNOFILE="]);
    // It still follows.
    world.move_to(&[NEW]);
    proxy.daemon.wait_for_log(&["moved from 127.0.0.2 to 127.0.0.3"]);
    sessions.iter_mut().for_each(Client::assert_served);
    drop(sessions);
    wait_until("it serves again", || Client::connect(proxy.address).is_ok());
}

/// Those who ask for pages, from many addresses, have few descriptors too: each use has its share.
#[test]
fn a_crowd_before_the_pages_takes_no_descriptor_from_the_sessions() {
    let world = World::new();
    let _databases = [OLD, NEW].map(|ip| world.database(ip));
    let (proxy, most) = with_few_descriptors(&world, "--linger 5s --http 127.0.0.1:0");
    let site = pages(&proxy);
    let silent = |n: u8| connect_from(&format!("127.0.1.{n}"), site).expect("it listens");
    let crowd: Vec<_> = (1..=64).map(silent).collect();
    assert_eq!(ask(site, "GET", "/healthz").status, 200);
    let mut sessions: Vec<_> = (0..most).map(|_| proxy.client()).collect();
    world.move_to(&[NEW]);
    proxy.daemon.wait_for_log(&["moved from 127.0.0.2 to 127.0.0.3"]);
    sessions.iter_mut().for_each(Client::assert_served);
    assert_eq!(ask(site, "GET", "/readyz").status, 200);
    let log = proxy.daemon.log();
    assert!(!log.contains("Too many open files"), "{log}");
    drop(crowd);
}

/// Whether the last descriptor was for a client or for its database: both an even and an odd number are left.
#[test]
fn when_descriptors_run_out_it_says_so_once_and_serves_again_when_there_are_some() {
    for left in [8, 9] {
        let world = World::new();
        let _database = world.database(OLD);
        let proxy = world.proxy("");
        let mut session = proxy.client();
        let pid = Pid::from_child(&proxy.daemon.child);
        let limit = Some((proxy.descriptors() + left) as u64);
        let limit = Rlimit {
            current: limit,
            maximum: limit,
        };
        let before = prlimit(Some(pid), Resource::Nofile, limit).expect("our own child");
        let waiting: Vec<_> = (0..2 * left).map(|_| connect(proxy.address)).collect();
        let told = proxy.daemon.wait_for_log(&["Too many open files"]);
        assert_says(&told, &["LimitNOFILE=", "--max-sessions"]);
        session.assert_served();
        drop(waiting);
        wait_until("it serves again", || Client::connect(proxy.address).is_ok());
        session.assert_served();
        let log = proxy.daemon.log();
        assert_eq!(times_logged(&proxy.daemon, &["Too many open files"]), 1, "{log}");
        assert_eq!(
            times_logged(&proxy.daemon, &["does not accept connections"]),
            0,
            "{log}"
        );
        assert!(before.current > limit.current, "{before:?}");
    }
}
