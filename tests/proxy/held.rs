//! Clients that come while the database is not ready: they wait for it, and learn nothing but that it took a while.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use testkit::http::{Answer, ask};

use testkit::settings::{dns, proxy};

use super::standin::{Mood, Postgres, knock, wants_certificates};
use super::world::{
    Client, NEW, OLD, Proxy, Scratch, WRITER, World, assert_refused, assert_says, bare_command, connect, read_to_end,
    times_logged, wait_until,
};

/// What is asked about PostgreSQL where nothing else is said.
const ASKING: &str = "--readiness postgres --http 127.0.0.1:0";

fn get(pages: SocketAddr, path: &str) -> Answer {
    ask(pages, "GET", path)
}

pub fn pages(proxy: &Proxy) -> SocketAddr {
    let line = proxy.daemon.wait_for_log(&["serving http://"]);
    super::world::address_after(&line, "serving http://")
}

/// The number of a metric of the proxy; none before it has been counted first.
pub fn metric(pages: SocketAddr, name: &str) -> Option<u64> {
    let text = get(pages, "/metrics").body;
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")));
    let number = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    number.map(|number| number as u64)
}

#[track_caller]
fn wait_for_held(pages: SocketAddr, count: u64) {
    wait_until(&format!("{count} clients wait"), || {
        metric(pages, "rds_tether_proxy_held") == Some(count)
    });
}

/// Nothing has come yet.
#[track_caller]
fn assert_waits(stream: &TcpStream) {
    stream.set_nonblocking(true).expect("an open connection");
    let read = (&*stream).read(&mut [0]);
    assert!(
        read.as_ref()
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        "{read:?}"
    );
    stream.set_nonblocking(false).expect("an open connection");
}

#[test]
fn a_client_waits_through_refusal_and_start_up_and_is_then_served_once() {
    let world = World::new();
    let proxy = world.proxy(ASKING);
    let pages = pages(&proxy);
    let client = knock(proxy.address).expect("it listens");
    wait_for_held(pages, 1);
    proxy
        .daemon
        .wait_for_log(&["127.0.0.2 does not accept connections (connection refused"]);
    let database = Postgres::start(world.at(OLD), Mood::StartingUp);
    wait_until("it is asked again and again", || database.questions() >= 3);
    assert_waits(&client);
    assert_eq!(get(pages, "/readyz").status, 503);
    assert_says(&get(pages, "/readyz").body, &["the database system is starting up"]);
    database.set(Mood::Ready);
    assert_eq!(Client::greeted(client).expect("a session").at, OLD);
    assert_eq!((database.clients(), database.turned_away()), (1, 0));
    wait_for_held(pages, 0);
    assert_eq!(metric(pages, "rds_tether_proxy_waited_total"), Some(1));
    assert_eq!(get(pages, "/readyz").status, 200);
}

/// The first connection of a proxy that has only just started, too.
#[test]
fn nobody_meets_a_database_that_is_starting_up() {
    let world = World::new();
    let database = Postgres::start(world.at(OLD), Mood::StartingUp);
    let proxy = world.proxy("--readiness postgres");
    let client = knock(proxy.address).expect("it listens");
    proxy
        .daemon
        .wait_for_log(&["127.0.0.2 does not accept connections (the database system is starting up)"]);
    assert_waits(&client);
    database.set(Mood::Ready);
    Client::greeted(client).expect("a session");
    // Nor those who come back when it restarts under a session that had settled.
    let settled = Client::greeted(knock(proxy.address).expect("it listens")).expect("a session");
    let began = Instant::now();
    wait_until("a session that ends is no failed log-in", || {
        began.elapsed() > Duration::from_millis(1200)
    });
    drop(database);
    read_to_end(&settled.stream);
    let database = Postgres::start(world.at(OLD), Mood::StartingUp);
    let clients: Vec<_> = (0..8).map(|_| knock(proxy.address).expect("it listens")).collect();
    wait_until("it is asked", || database.questions() >= 2);
    database.set(Mood::Ready);
    for client in clients {
        Client::greeted(client).expect("a session");
    }
    assert_eq!((database.clients(), database.turned_away()), (8, 0));
}

#[test]
fn a_refusal_of_our_question_that_waiting_does_not_mend_holds_nobody() {
    let world = World::new();
    let database = Postgres::start(world.at(OLD), Mood::Strict);
    let proxy = world.proxy("--readiness postgres");
    Client::greeted(knock(proxy.address).expect("it listens")).expect("a session");
    assert_eq!(database.clients(), 1);
    assert_eq!(times_logged(&proxy.daemon, &["does not accept"]), 0);
}

/// MySQL speaks first, and counts whoever does not answer.
#[test]
fn a_server_that_speaks_first_is_asked_nothing() {
    let world = World::new();
    let database = world.database(OLD);
    let proxy = world.proxy("--readiness postgres");
    for _ in 0..4 {
        proxy.client().assert_served();
    }
    // One connection found out.
    assert_eq!(database.accepted(), 5);
}

/// Something that accepts connections and waits for another language: nothing that it said speaks against it.
#[test]
fn a_server_that_says_nothing_keeps_nobody_waiting() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("--readiness postgres --dial-timeout 500ms");
    let mut client = connect(proxy.address).expect("it listens");
    client.write_all(b"hello").expect("room");
    let question = listener.accept();
    let mut served = listener.accept();
    let mut heard = [0; 5];
    served.read_exact(&mut heard).expect("what the client said");
    assert_eq!(&heard, b"hello");
    drop(question);
}

/// Only PostgreSQL's own word keeps clients away: a server that wants a certificate of whoever asks is there.
#[test]
fn a_server_that_wants_a_certificate_of_ours_keeps_nobody_waiting() {
    let world = World::new();
    let database = Postgres::start_with(world.at(OLD), Mood::Ready, Some(wants_certificates()));
    let proxy = world.proxy(ASKING);
    let pages = pages(&proxy);
    wait_until("it is ready", || get(pages, "/readyz").status == 200);
    for _ in 0..3 {
        Client::greeted(knock(proxy.address).expect("it listens")).expect("a session");
    }
    assert_eq!(database.clients(), 3);
    assert_eq!(times_logged(&proxy.daemon, &["does not accept"]), 0);
}

/// A held client is connected where the settings of now say, not of then.
#[test]
fn a_held_client_follows_new_settings() {
    let world = World::new();
    let other = World::new();
    let database = Postgres::start(other.at(OLD), Mood::Ready);
    let folder = Scratch::new();
    let text = |port: u16| proxy("127.0.0.1:0", &format!("{WRITER}:{port}")).and(dns(world.dns.addr()));
    let path = folder.write("config.toml", &text(world.port()));
    let proxy = Proxy::start(bare_command("http://127.0.0.1:9").args(["run", "--config"]).arg(&path));
    let client = knock(proxy.address).expect("it listens");
    proxy.daemon.wait_for_log(&["127.0.0.2 does not accept connections"]);
    folder.write("config.toml", &text(other.port()));
    proxy.daemon.signal("HUP");
    Client::greeted(client).expect("a session");
    for _ in 0..8 {
        Client::greeted(knock(proxy.address).expect("it listens")).expect("a session");
    }
    assert_eq!(database.clients(), 9);
    assert_eq!(times_logged(&proxy.daemon, &["does not accept connections"]), 1);
}

#[test]
fn waiting_ends_with_dial_timeout_and_the_client_is_told_by_a_reset() {
    for (prepare, why) in [
        ("nothing", "connection refused"),
        ("starts", "the database system is starting up"),
    ] {
        let world = World::new();
        let database = (prepare == "starts").then(|| Postgres::start(world.at(OLD), Mood::StartingUp));
        let proxy = world.proxy("--readiness postgres --dial-timeout 2s");
        let began = Instant::now();
        let client = knock(proxy.address).expect("it listens");
        assert_refused(Client::greeted(client).err(), &proxy.daemon.log());
        assert!(began.elapsed() >= Duration::from_secs(2), "after {:?}", began.elapsed());
        let told = proxy
            .daemon
            .wait_for_log(&["a connection from 127.0.0.1:", "is refused"]);
        assert_says(&told, &["after 2s (dial_timeout)", "127.0.0.2", why]);
        assert_eq!(database.map_or(0, |database| database.turned_away()), 0);
    }
}

#[test]
fn whoever_leaves_gives_the_seat_back_at_once_and_never_reaches_the_database() {
    let world = World::new();
    let proxy = world.proxy(&format!("{ASKING} --max-sessions 2"));
    let pages = pages(&proxy);
    let [first, second] = [(); 2].map(|()| knock(proxy.address).expect("it listens"));
    wait_for_held(pages, 2);
    let third = knock(proxy.address).and_then(Client::greeted);
    assert_refused(third.err(), &proxy.daemon.log());
    // One in order, one with a reset.
    drop(first);
    wait_for_held(pages, 1);
    rustix::net::sockopt::set_socket_linger(&second, Some(Duration::ZERO)).expect("an open connection");
    drop(second);
    wait_for_held(pages, 0);
    let stays = knock(proxy.address).expect("it listens");
    wait_for_held(pages, 1);
    let database = Postgres::start(world.at(OLD), Mood::Ready);
    Client::greeted(stays).expect("a session");
    assert_eq!(database.clients(), 1);
}

/// A client that has left behind it more than the kernel keeps for us cannot be seen to have gone: its end waits behind that. No
/// client of a database says so much before it has heard anything.
#[test]
fn whoever_says_too_much_to_be_seen_leaving_keeps_no_seat() {
    let world = World::new();
    let proxy = world.proxy(&format!("{ASKING} --max-sessions 8"));
    let pages = pages(&proxy);
    let clients: Vec<TcpStream> = (0..8).map(|_| connect(proxy.address).expect("it listens")).collect();
    for mut client in &clients {
        client.set_nonblocking(true).expect("an open connection");
        // Until nothing more is taken.
        while client.write(&[0; 64 * 1024]).is_ok() {}
    }
    drop(clients);
    wait_for_held(pages, 0);
    let told = proxy
        .daemon
        .wait_for_log(&["a connection from 127.0.0.1", "is refused"]);
    assert_says(&told, &["more than 16384 bytes before the database took it"]);
    let _database = Postgres::start(world.at(OLD), Mood::Ready);
    Client::greeted(knock(proxy.address).expect("it listens")).expect("a session");
}

#[test]
fn a_client_that_waits_may_say_so_much() {
    const MOST: usize = 16 * 1024;
    let world = World::new();
    let proxy = world.proxy("--http 127.0.0.1:0");
    let [stays, goes] = [MOST, MOST + 1].map(|bytes| {
        let mut client = connect(proxy.address).expect("it listens");
        client.write_all(&vec![b'x'; bytes]).expect("room");
        client
    });
    assert_refused(Client::greeted(goes).err(), &proxy.daemon.log());
    wait_for_held(pages(&proxy), 1);
    assert_waits(&stays);
    let _database = world.database(OLD);
    let mut client = Client::greeted(stays).expect("a session");
    let mut heard = vec![0; MOST];
    client.stream.read_exact(&mut heard).expect("what was said");
    client.assert_served();
}

/// A program that asks once, says that this was all, and waits for the answer, beside one that has said nothing at all.
#[test]
fn a_last_word_is_still_answered_if_the_database_is_there_soon() {
    let world = World::new();
    let listener = world.listener(OLD);
    let proxy = world.proxy("");
    let mut asks = connect(proxy.address).expect("it listens");
    asks.write_all(b"once").expect("room");
    asks.shutdown(Shutdown::Write).expect("an open connection");
    let mut served = listener.accept();
    let mut heard = String::new();
    served.read_to_string(&mut heard).expect("what was said");
    assert_eq!(heard, "once");
    served.write_all(b"answer").expect("room");
    drop(served);
    let mut answer = String::new();
    asks.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "answer");
}

#[test]
fn a_held_client_goes_where_dns_says_when_the_time_has_come() {
    let world = World::new();
    let proxy = world.proxy(ASKING);
    let pages = pages(&proxy);
    let client = knock(proxy.address).expect("it listens");
    let began = Instant::now();
    wait_for_held(pages, 1);
    // However long it has waited for the former one, the new one gets its time to answer.
    wait_until("it has waited for longer than an answer may take", || {
        began.elapsed() > Duration::from_millis(1300)
    });
    let database = Postgres::start(world.at(NEW), Mood::StartingUp);
    world.move_to(&[NEW]);
    wait_until("the new one is asked", || database.questions() > 0);
    assert_waits(&client);
    database.set(Mood::Ready);
    assert_eq!(Client::greeted(client).expect("a session").at, NEW);
}

#[test]
fn a_name_that_is_not_resolved_yet_is_waited_for_too() {
    let world = World::new();
    let database = Postgres::start(world.at(OLD), Mood::Ready);
    world.dns.set(super::world::WRITER, testkit::dns::Behaviour::NxDomain);
    let proxy = world.proxy(ASKING);
    let pages = pages(&proxy);
    let client = knock(proxy.address).expect("it listens");
    wait_for_held(pages, 1);
    world.move_to(&[OLD]);
    Client::greeted(client).expect("a session");
    assert_eq!(database.clients(), 1);
}

#[test]
fn two_hundred_wait_and_all_are_served_within_a_second_of_readiness() {
    const CLIENTS: usize = 200;
    let world = World::new();
    let proxy = world.proxy(ASKING);
    let pages = pages(&proxy);
    let database = Postgres::start(world.at(OLD), Mood::StartingUp);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| knock(proxy.address).expect("it listens"))
        .collect();
    wait_for_held(pages, CLIENTS as u64);
    let questions = database.questions();
    wait_until("it is asked on", || database.questions() > questions + 2);
    database.set(Mood::Ready);
    for client in clients {
        Client::greeted(client).expect("a session");
    }
    assert_eq!((database.clients(), database.turned_away()), (CLIENTS, 0));
    assert_eq!(metric(pages, "rds_tether_proxy_waited_total"), Some(CLIENTS as u64));
}

#[test]
fn what_a_client_said_meanwhile_reaches_the_database_unchanged() {
    let world = World::new();
    let proxy = world.proxy(ASKING);
    let pages = pages(&proxy);
    let mut client = knock(proxy.address).expect("it listens");
    wait_for_held(pages, 1);
    client.write_all(b"and more").expect("room");
    let _database = Postgres::start(world.at(OLD), Mood::Ready);
    let mut client = Client::greeted(client).expect("a session");
    let mut heard = [0; 8];
    client.stream.read_exact(&mut heard).expect("what was said");
    assert_eq!(&heard, b"and more");
    client.assert_served();
}
