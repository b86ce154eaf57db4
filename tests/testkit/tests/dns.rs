//! The simulated name server keeps its promises, seen through the resolver the program uses and, where a resolver
//! hides what came over the wire, through bare sockets.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "real sockets live in real time")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hickory_resolver::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::opt::EdnsOption;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use testkit::dns::{Answered, Behaviour, NEGATIVE_TTL_SECONDS, Server, Tap, ask};
use testkit::program::PATIENCE;

const NAME: &str = "db.example.com";

/// How long a resolver waits where waiting in vain is the point.
const SHORT: Duration = Duration::from_millis(300);

// Through a resolver.

#[test]
fn a_resolver_sees_what_was_set() {
    use RecordType::{A, AAAA, CNAME, TXT};
    let both = Behaviour::all(&["10.0.0.1", "fd00::1", "10.0.0.2"], 5);
    let v4 = || Behaviour::a("10.0.0.1", 5);
    let cases = [
        ("one address", v4(), A, "db 5 A 10.0.0.1"),
        ("IPv4 of both", both.clone(), A, "db 5 A 10.0.0.1, db 5 A 10.0.0.2"),
        ("IPv6 of both", both.clone(), AAAA, "db 5 AAAA fd00::1"),
        ("the other family", v4(), AAAA, "NoError with SOA"),
        ("another type", both, TXT, "NoError with SOA"),
        ("TTL 0", Behaviour::a("10.0.0.1", 0), A, "db 0 A 10.0.0.1"),
        (
            "random of one",
            Behaviour::random(&["10.0.0.1"], 1, 7),
            A,
            "db 1 A 10.0.0.1",
        ),
        (
            "random of none",
            Behaviour::random(&["10.0.0.1"], 1, 7),
            AAAA,
            "NoError with SOA",
        ),
        (
            "alias",
            Behaviour::cname("one.example.com", 60),
            A,
            "db 60 CNAME one, one 5 A 10.1.0.1",
        ),
        (
            "alias asked for",
            Behaviour::cname("one.example.com", 60),
            CNAME,
            "db 60 CNAME one",
        ),
        (
            "chain asked for",
            Behaviour::cname("two.example.com", 9),
            CNAME,
            "db 9 CNAME two",
        ),
        (
            "chain",
            Behaviour::cname("two.example.com", 9),
            A,
            "db 9 CNAME two, two 7 CNAME one, one 5 A 10.1.0.1",
        ),
        (
            "alias of nothing",
            Behaviour::cname("gone.example.com", 9),
            A,
            "NXDomain with SOA",
        ),
        (
            "alias of failure",
            Behaviour::cname("broken.example.com", 9),
            A,
            "ServFail",
        ),
        ("loop of one", Behaviour::cname(NAME, 9), A, "NoError bare"),
        (
            "loop of two",
            Behaviour::cname("loop.example.com", 9),
            A,
            "NoError bare",
        ),
        ("NXDOMAIN", Behaviour::NxDomain, A, "NXDomain with SOA"),
        ("NODATA", Behaviour::NoData, A, "NoError with SOA"),
        ("NODATA without SOA", Behaviour::NoDataBare, A, "NoError bare"),
        ("SERVFAIL", Behaviour::ServFail, A, "ServFail"),
        ("REFUSED", Behaviour::Refused, A, "Refused"),
        ("silence", Behaviour::Silent, A, "timeout"),
        ("wrong id", v4().wrong_id(), A, "timeout"),
        ("wrong name", v4().wrong_name(), A, "timeout"),
        ("malformed", Behaviour::Malformed, A, "unreadable"),
        ("truncated", v4().truncated(), A, "db 5 A 10.0.0.1"),
        (
            "truncated negative",
            Behaviour::NxDomain.truncated(),
            A,
            "NXDomain with SOA",
        ),
        ("late", v4().delayed(Duration::from_millis(20)), A, "db 5 A 10.0.0.1"),
        ("empty sequence", Behaviour::Sequence(vec![]), A, "timeout"),
    ];
    let server = Server::start();
    server.set("one.example.com", Behaviour::a("10.1.0.1", 5));
    server.set("two.example.com", Behaviour::cname("one.example.com", 7));
    server.set("loop.example.com", Behaviour::cname(NAME, 9));
    server.set("broken.example.com", Behaviour::ServFail);
    for (case, behaviour, kind, expected) in cases {
        server.set(NAME, behaviour);
        let patience = if matches!(expected, "timeout" | "unreadable") {
            SHORT
        } else {
            PATIENCE
        };
        assert_eq!(lookup(server.addr(), NAME, kind, patience), expected, "{case}");
    }
}

/// What a resolver without a cache makes of a name, on one line.
fn lookup(server: SocketAddr, name: &str, kind: RecordType, patience: Duration) -> String {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = server.port();
        connection
    });
    let name_server = NameServerConfig::new(server.ip(), true, connections.into());
    let config = ResolverConfig::from_name_servers(vec![name_server]);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.cache_size = 0;
    options.attempts = 0;
    options.timeout = patience;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let resolver = builder.build().unwrap();
        match resolver.lookup(format!("{name}."), kind).await {
            Ok(lookup) => show_records(lookup.answers()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                format!(
                    "{:?} {}",
                    none.response_code,
                    if none.soa.is_some() { "with SOA" } else { "bare" }
                )
            }
            Err(NetError::Dns(DnsError::ResponseCode(code))) => format!("{code:?}"),
            Err(NetError::Timeout) => "timeout".into(),
            Err(NetError::Proto(_)) => "unreadable".into(),
            Err(error) => panic!("{error:?}"),
        }
    })
}

fn show_records(records: &[Record]) -> String {
    let show = |record: &Record| {
        let line = format!(
            "{} {} {} {}",
            record.name.to_lowercase(),
            record.ttl,
            record.record_type(),
            record.data
        );
        line.replace(".example.com.", "")
    };
    records.iter().map(show).collect::<Vec<_>>().join(", ")
}

#[test]
fn truncation_sends_a_resolver_to_tcp() {
    let server = Server::start();
    server.set(NAME, Behaviour::a("10.0.0.1", 5).truncated());
    assert_eq!(lookup(server.addr(), NAME, RecordType::A, PATIENCE), "db 5 A 10.0.0.1");
    let queries = server.queries();
    let last = queries.last().unwrap();
    assert!(
        !queries[0].tcp && queries[0].answered == Answered::Truncated,
        "{queries:?}"
    );
    assert!(last.tcp && last.answered == addresses(&["10.0.0.1"]), "{queries:?}");
}

// What comes over the wire.

#[test]
fn replies_look_like_those_of_a_recursive_resolver() {
    let server = Server::start();
    server.set(NAME, Behaviour::a("10.0.0.1", 5));
    for tcp in [false, true] {
        let mut client = Client::connect(&server, tcp);
        let reply = client.ask("dB.Example.COM", RecordType::A, 77);
        let flags = reply.metadata;
        assert_eq!(
            (flags.id, flags.message_type, flags.response_code),
            (77, MessageType::Response, ResponseCode::NoError)
        );
        assert!(flags.recursion_desired && flags.recursion_available, "{flags:?}");
        assert!(!flags.authoritative && !flags.truncation, "{flags:?}");
        assert!(
            reply.queries[0].name().eq_case(&name("dB.Example.COM")),
            "the question comes back as it was spelt"
        );
        assert!(reply.edns.is_some());
        assert_eq!(show_records(&reply.answers), "db 5 A 10.0.0.1");
    }
}

#[test]
fn negative_answers_say_how_long_they_hold() {
    let server = Server::start();
    let mut client = Client::connect(&server, false);
    for behaviour in [Behaviour::NxDomain, Behaviour::NoData] {
        server.set(NAME, behaviour);
        let reply = client.ask(NAME, RecordType::A, 1);
        let [soa] = &reply.authorities[..] else {
            panic!("{reply}")
        };
        assert_eq!((soa.record_type(), soa.ttl), (RecordType::SOA, NEGATIVE_TTL_SECONDS));
    }
    server.set(NAME, Behaviour::NoDataBare);
    assert!(client.ask(NAME, RecordType::A, 1).authorities.is_empty());
}

#[test]
fn an_answer_that_had_expired_says_so() {
    let server = Server::start();
    let mut client = Client::connect(&server, false);
    for (behaviour, options) in [
        (Behaviour::a("10.0.0.1", 5), vec![]),
        (
            Behaviour::a("10.0.0.1", 5).stale(),
            vec![EdnsOption::Unknown(15, vec![0, 3])],
        ),
    ] {
        server.set(NAME, behaviour);
        let edns = client.ask(NAME, RecordType::A, 1).edns.expect("it is asked for");
        let given: Vec<EdnsOption> = edns
            .options()
            .as_ref()
            .iter()
            .map(|(_, option)| option.clone())
            .collect();
        assert_eq!(given, options);
    }
}

#[test]
fn a_loop_is_answered_with_its_records_only() {
    let server = Server::start();
    server.set("one.example.com", Behaviour::cname("two.example.com", 1));
    server.set("two.example.com", Behaviour::cname("one.example.com", 2));
    let reply = Client::connect(&server, false).ask("one.example.com", RecordType::A, 1);
    assert_eq!(show_records(&reply.answers), "one 1 CNAME two, two 2 CNAME one");
}

#[test]
fn an_alias_is_told_unless_its_end_is_unknown() {
    let server = Server::start();
    server.set(NAME, Behaviour::cname("end.example.com", 5));
    let mut client = Client::connect(&server, false);
    for (end, expected) in [
        (Behaviour::NxDomain, "db 5 CNAME end"),
        (Behaviour::NoDataBare, "db 5 CNAME end"),
        (Behaviour::ServFail, ""),
        (Behaviour::Refused, ""),
    ] {
        server.set("end.example.com", end.clone());
        let reply = client.ask(NAME, RecordType::A, 1);
        assert_eq!(show_records(&reply.answers), expected, "{end:?}");
    }
}

#[test]
fn what_is_too_long_for_a_datagram_is_truncated() {
    let many: Vec<_> = (1..=200).map(|i| IpAddr::V4(Ipv4Addr::new(10, 0, 0, i))).collect();
    let server = Server::start();
    server.set(
        NAME,
        Behaviour::Addresses {
            addresses: many.clone(),
            ttl: 5,
        },
    );
    let over_udp = Client::connect(&server, false).ask(NAME, RecordType::A, 1);
    assert!(over_udp.metadata.truncation && over_udp.answers.is_empty());
    let over_tcp = Client::connect(&server, true).ask(NAME, RecordType::A, 1);
    assert!(!over_tcp.metadata.truncation);
    assert_eq!(over_tcp.answers.len(), many.len());
}

#[test]
fn truncation_withholds_the_answer_until_tcp() {
    let server = Server::start();
    let turns = vec![Behaviour::a("10.0.0.1", 5), Behaviour::a("10.0.0.2", 5)];
    server.set(NAME, Behaviour::Sequence(turns).truncated());
    let (mut udp, mut tcp) = (Client::connect(&server, false), Client::connect(&server, true));
    for turn in ["10.0.0.1", "10.0.0.2", "10.0.0.2"] {
        let reply = udp.ask(NAME, RecordType::A, 1);
        assert!(reply.metadata.truncation && reply.answers.is_empty());
        assert_eq!(
            show_records(&tcp.ask(NAME, RecordType::A, 1).answers),
            format!("db 5 A {turn}")
        );
    }
}

#[test]
fn forgeries_are_forged_in_one_respect_only() {
    let server = Server::start();
    server.set("id.example.com", Behaviour::a("10.0.0.1", 5).wrong_id());
    server.set("name.example.com", Behaviour::a("10.0.0.1", 5).wrong_name());
    server.set("garbage.example.com", Behaviour::Malformed);
    for tcp in [false, true] {
        let mut client = Client::connect(&server, tcp);
        let reply = client.ask("id.example.com", RecordType::A, 9);
        assert_ne!(reply.metadata.id, 9);
        assert_eq!(show_records(&reply.answers), "id 5 A 10.0.0.1");

        let reply = client.ask("name.example.com", RecordType::A, 9);
        assert_eq!(reply.metadata.id, 9);
        assert_ne!(reply.queries[0].name(), &name("name.example.com"));
        assert_eq!(&reply.answers[0].name, reply.queries[0].name());

        client.send(&query("garbage.example.com", RecordType::A, 9));
        let bytes = client.receive();
        assert_eq!(bytes[..2], [0, 9], "under the right id");
        assert!(Message::from_vec(&bytes).is_err());
    }
    let answered: BTreeSet<_> = server
        .queries()
        .iter()
        .map(|query| format!("{:?}", query.answered))
        .collect();
    assert_eq!(answered, BTreeSet::from(["Forged".into(), "Malformed".into()]));
}

#[test]
fn nobody_waits_for_the_silent_and_the_late() {
    let server = Server::start();
    let delay = Duration::from_millis(50);
    server.set("never.example.com", Behaviour::Silent);
    server.set("late.example.com", Behaviour::a("10.0.0.1", 5).delayed(delay));
    server.set("now.example.com", Behaviour::a("10.0.0.2", 5));
    for tcp in [false, true] {
        let mut client = Client::connect(&server, tcp);
        let start = Instant::now();
        for (id, name) in [
            (1, "never.example.com"),
            (2, "late.example.com"),
            (3, "now.example.com"),
        ] {
            client.send(&query(name, RecordType::A, id));
        }
        let replies = [client.receive_message(), client.receive_message()];
        assert_eq!(replies.map(|reply| reply.metadata.id), [3, 2], "over TCP: {tcp}");
        assert!(start.elapsed() >= delay);
    }
}

#[test]
fn a_silent_server_answers_nothing_until_it_speaks_again() {
    let server = Server::start();
    server.set(NAME, Behaviour::a("10.0.0.1", 5));
    for tcp in [false, true] {
        let mut client = Client::connect(&server, tcp);
        server.silent(true);
        client.send(&query(NAME, RecordType::A, 1));
        client.send(&query("unknown.example.com", RecordType::A, 2));
        assert!(server.wait_for_queries("unknown.example.com", 1, PATIENCE));
        server.silent(false);
        assert_eq!(client.ask(NAME, RecordType::A, 3).metadata.id, 3, "over TCP: {tcp}");
        server.clear_queries();
    }
}

#[test]
fn one_question_gets_the_addresses_or_nothing() {
    let server = Server::start();
    let asked = || ask(server.addr(), NAME, SHORT);
    server.set(NAME, Behaviour::cname("one.example.com", 5));
    server.set("one.example.com", Behaviour::all(&["10.0.0.1", "10.0.0.2"], 5));
    let addresses = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
    assert_eq!(ask(server.addr(), NAME, PATIENCE), Some(addresses.to_vec()));
    server.set(NAME, Behaviour::NxDomain);
    assert_eq!(ask(server.addr(), NAME, PATIENCE), Some(Vec::new()));
    server.silent(true);
    assert_eq!(asked(), None);
}

#[test]
fn what_is_not_a_query_is_not_answered() {
    let server = Server::start();
    server.set_default(Behaviour::a("10.0.0.1", 5));
    let mut client = Client::connect(&server, false);
    let mut two_questions = message(NAME, RecordType::A, 1);
    two_questions.add_query(Query::query(name(NAME), RecordType::AAAA));
    let mut response = message(NAME, RecordType::A, 2);
    response.metadata.message_type = MessageType::Response;
    for bytes in [
        b"?".to_vec(),
        vec![0xff; 100],
        two_questions.to_vec().unwrap(),
        response.to_vec().unwrap(),
    ] {
        client.send(&bytes);
    }
    assert_eq!(
        client.ask(NAME, RecordType::A, 3).metadata.id,
        3,
        "the first reply is to the first query"
    );
    assert_eq!(server.count(NAME), 1);
}

// Behaviours over time.

#[test]
fn a_sequence_goes_on_with_each_query() {
    let (old, new) = (Behaviour::a("10.0.0.1", 5), Behaviour::a("10.0.0.2", 5));
    let tail = Behaviour::Sequence(vec![Behaviour::ServFail, old.clone()]);
    let server = Server::start();
    server.set(
        NAME,
        Behaviour::Sequence(vec![old.clone(), new.clone(), old.clone(), new, tail]),
    );
    server.set("alias.example.com", Behaviour::cname(NAME, 5));
    let mut client = Client::connect(&server, false);
    let (one, two) = (addresses(&["10.0.0.1"]), addresses(&["10.0.0.2"]));
    let failed = Answered::Message {
        code: ResponseCode::ServFail,
        addresses: vec![],
    };
    for asked in [NAME, "alias.example.com", NAME, "alias.example.com", NAME, NAME, NAME] {
        client.ask(asked, RecordType::A, 1);
    }
    let answered: Vec<_> = server.queries().into_iter().map(|query| query.answered).collect();
    assert_eq!(
        answered,
        [one.clone(), two.clone(), one.clone(), two, failed, one.clone(), one]
    );

    server.set(NAME, Behaviour::Sequence(vec![Behaviour::Refused, old]));
    assert_eq!(
        client.ask(NAME, RecordType::AAAA, 1).metadata.response_code,
        ResponseCode::Refused
    );
    let each_type = "each record type has its own turn";
    assert_eq!(
        client.ask(NAME, RecordType::A, 1).metadata.response_code,
        ResponseCode::Refused,
        "{each_type}"
    );
}

#[test]
fn a_random_member_is_one_of_them_and_the_same_again() {
    let members = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"];
    let server = Server::start();
    let mut client = Client::connect(&server, false);
    let mut draw = |seed| {
        server.set(NAME, Behaviour::random(&members, 1, seed));
        let answers = (0..64).map(|_| show_records(&client.ask(NAME, RecordType::A, 1).answers));
        answers.collect::<Vec<_>>()
    };
    let first = draw(1);
    assert_eq!(first, draw(1), "the same seed");
    assert_ne!(first, draw(2), "another seed");
    let expected = ["db 1 A 10.0.0.1", "db 1 A 10.0.0.2", "db 1 A 10.0.0.3"];
    assert_eq!(
        BTreeSet::from_iter(first.iter().map(String::as_str)),
        BTreeSet::from(expected)
    );
}

#[test]
fn a_change_is_seen_at_once_without_a_cache_and_later_with_one() {
    let server = Server::start();
    let mut client = Client::connect(&server, false);
    let mut now = |kind| show_records(&client.ask(NAME, kind, 1).answers);
    let hour = 3600;
    for (caching, expected) in [
        (false, "db 3600 A 10.0.0.2"),
        (true, "db 3600 A 10.0.0.1"),
        (false, "db 3600 A 10.0.0.2"),
    ] {
        server.caching(caching);
        server.set(NAME, Behaviour::a("10.0.0.1", hour));
        assert_eq!(now(RecordType::A), "db 3600 A 10.0.0.1");
        server.set(NAME, Behaviour::all(&["10.0.0.2", "fd00::2"], hour));
        assert_eq!(now(RecordType::A), expected, "caching: {caching}");
        assert_eq!(now(RecordType::AAAA), "db 3600 AAAA fd00::2", "never asked before");
    }
}

#[test]
fn names_are_the_same_in_any_spelling() {
    let server = Server::start();
    server.set("Db.example.COM.", Behaviour::a("10.0.0.1", 5));
    let mut client = Client::connect(&server, false);
    for spelling in ["db.example.com", "DB.EXAMPLE.COM.", "db.Example.com"] {
        assert_eq!(client.ask(spelling, RecordType::A, 1).answers.len(), 1, "{spelling}");
        assert_eq!(server.count(spelling), server.queries().len(), "{spelling}");
    }
    assert!(server.queries().iter().all(|query| query.name == NAME));
}

#[test]
fn names_never_set_have_a_default() {
    let server = Server::start();
    let mut client = Client::connect(&server, false);
    assert_eq!(
        client.ask(NAME, RecordType::A, 1).metadata.response_code,
        ResponseCode::NXDomain
    );
    server.set_default(Behaviour::cname("elsewhere.example.com", 5));
    let reply = client.ask(NAME, RecordType::A, 1);
    assert_eq!(
        show_records(&reply.answers),
        "db 5 CNAME elsewhere, elsewhere 5 CNAME elsewhere"
    );

    for _ in 0..2 {
        server.set_default(Behaviour::Sequence(vec![Behaviour::Refused, Behaviour::NxDomain]));
        let turns = [(); 2].map(|()| client.ask(NAME, RecordType::A, 1).metadata.response_code);
        assert_eq!(turns, [ResponseCode::Refused, ResponseCode::NXDomain]);
    }
}

// What was asked.

#[test]
fn queries_are_kept_as_they_came() {
    let server = Server::start();
    server.set(NAME, Behaviour::all(&["10.0.0.1", "10.0.0.2"], 5));
    server.set("silent.example.com", Behaviour::Silent);
    let start = Instant::now();
    let mut udp = Client::connect(&server, false);
    udp.send(&query("silent.example.com", RecordType::AAAA, 8));
    udp.ask(NAME, RecordType::A, 7);
    Client::connect(&server, true).ask("other.example.com", RecordType::A, 9);

    let queries = server.queries();
    assert!(queries.is_sorted_by_key(|query| query.at));
    assert!(
        queries
            .iter()
            .all(|query| query.at >= start && query.at <= Instant::now())
    );
    let none = Answered::Message {
        code: ResponseCode::NXDomain,
        addresses: vec![],
    };
    let seen: Vec<_> = queries
        .into_iter()
        .map(|query| (query.name, query.kind, query.tcp, query.id, query.answered))
        .collect();
    let expected = [
        (
            "silent.example.com".to_owned(),
            RecordType::AAAA,
            false,
            8,
            Answered::Nothing,
        ),
        (
            NAME.to_owned(),
            RecordType::A,
            false,
            7,
            addresses(&["10.0.0.1", "10.0.0.2"]),
        ),
        ("other.example.com".to_owned(), RecordType::A, true, 9, none),
    ];
    assert_eq!(seen, expected);

    server.clear_queries();
    assert_eq!((server.queries().len(), server.count(NAME)), (0, 0));
}

#[test]
fn waiting_for_queries_ends_with_the_last_of_them() {
    let server = Server::start();
    assert!(server.wait_for_queries(NAME, 0, Duration::ZERO));
    assert!(!server.wait_for_queries(NAME, 1, Duration::from_millis(1)));
    let (go, gone) = mpsc::channel();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::connect(&server, false);
            for kind in gone {
                client.ask("other.example.com", kind, 1);
                client.ask(NAME, kind, 1);
            }
        });
        // Many rounds, since in any one of them the query may come before the waiting.
        for n in 1..=20 {
            go.send(if n % 2 == 0 { RecordType::A } else { RecordType::AAAA })
                .unwrap();
            assert!(server.wait_for_queries(NAME, n, PATIENCE));
            assert!(start.elapsed() < PATIENCE, "the query ends the waiting");
        }
        drop(go);
    });
    assert_eq!(server.count(NAME), 20);
    assert!(!server.wait_for_queries(NAME, 21, Duration::from_millis(1)));
}

#[test]
fn thousands_of_queries_are_all_answered() {
    const NAMES: u16 = 1_000;
    const ROUNDS: u16 = 5;
    // No more on their way than the kernel keeps for a client that is slow to read.
    const AT_ONCE: u16 = 100;
    let server = Server::start();
    let names: Vec<_> = (0..NAMES).map(|i| format!("db-{i}.example.com")).collect();
    for name in &names {
        server.set(name, Behaviour::a("10.0.0.1", 1));
    }
    let mut client = Client::connect(&server, false);
    for round in 0..ROUNDS {
        for (first, batch) in (0..NAMES).step_by(AT_ONCE.into()).zip(names.chunks(AT_ONCE.into())) {
            for (id, name) in (first..).zip(batch) {
                client.send(&query(name, RecordType::A, id));
            }
            let ids: BTreeSet<_> = batch.iter().map(|_| client.receive_message().metadata.id).collect();
            assert_eq!(ids, (first..first + AT_ONCE).collect(), "round {round}");
        }
    }
    assert!(names.iter().all(|name| server.count(name) == usize::from(ROUNDS)));
}

// Starting and stopping.

#[test]
fn a_stopped_server_is_gone_and_can_come_back() {
    let server = Server::start_on("127.0.0.2".parse().unwrap());
    let addr = server.addr();
    server.set(NAME, Behaviour::Silent.delayed(PATIENCE));
    let mut held = Client::connect(&server, true);
    held.send(&query(NAME, RecordType::A, 1));
    assert!(server.wait_for_queries(NAME, 1, PATIENCE));
    drop(server);
    assert!(TcpStream::connect(addr).is_err(), "nobody listens");
    assert_eq!(held.read(), None, "the connection is closed");

    let server = Server::start_at(addr).unwrap();
    assert_eq!(server.addr(), addr);
    assert!(Server::start_at(addr).is_err(), "the port is taken");
    for tcp in [false, true] {
        let reply = Client::connect(&server, tcp).ask(NAME, RecordType::A, 1);
        assert_eq!(
            reply.metadata.response_code,
            ResponseCode::NXDomain,
            "what was set before is forgotten"
        );
    }
}

#[test]
#[should_panic(expected = "is not a domain name")]
fn a_name_that_is_none_is_refused() {
    Server::start().set("db..example.com", Behaviour::NxDomain);
}

// A client with nothing between it and the wire.

enum Client {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Client {
    fn connect(server: &Server, tcp: bool) -> Self {
        if tcp {
            let stream = TcpStream::connect(server.addr()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            return Self::Tcp(stream);
        }
        let socket = UdpSocket::bind((server.addr().ip(), 0)).unwrap();
        socket.connect(server.addr()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::Udp(socket)
    }

    fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => _ = socket.send(bytes).unwrap(),
            Self::Tcp(stream) => {
                let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
                stream.write_all(&[length.as_slice(), bytes].concat()).unwrap();
            }
        }
    }

    /// The next reply, or `None` if the connection was closed.
    fn read(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = [0; 4096];
                let length = socket.recv(&mut buffer).unwrap();
                Some(buffer[..length].to_vec())
            }
            Self::Tcp(stream) => {
                let mut length = [0; 2];
                stream.read_exact(&mut length).ok()?;
                let mut bytes = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut bytes).unwrap();
                Some(bytes)
            }
        }
    }

    fn receive(&mut self) -> Vec<u8> {
        self.read().unwrap()
    }

    fn receive_message(&mut self) -> Message {
        Message::from_vec(&self.receive()).unwrap()
    }

    fn ask(&mut self, name: &str, kind: RecordType, id: u16) -> Message {
        self.send(&query(name, kind, id));
        self.receive_message()
    }
}

fn message(asked: &str, kind: RecordType, id: u16) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(asked), kind));
    message.set_edns(Edns::new());
    message
}

fn query(asked: &str, kind: RecordType, id: u16) -> Vec<u8> {
    message(asked, kind, id).to_vec().unwrap()
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn addresses(addresses: &[&str]) -> Answered {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Answered::Message {
        code: ResponseCode::NoError,
        addresses,
    }
}

// Before another name server.

#[test]
fn a_tap_carries_what_another_server_says_and_keeps_it() {
    let server = Server::start();
    server.set(NAME, Behaviour::a("10.0.0.1", 5));
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let tap = Tap::start_at(loopback, server.addr()).unwrap();
    let address = |text: &str| vec![text.parse::<IpAddr>().unwrap()];
    assert_eq!(ask(tap.addr(), NAME, PATIENCE), Some(address("10.0.0.1")));
    server.set(NAME, Behaviour::a("10.0.0.2", 5));
    assert_eq!(ask(tap.addr(), NAME, PATIENCE), Some(address("10.0.0.2")));
    tap.deaf(true);
    assert_eq!(ask(tap.addr(), NAME, SHORT), None);
    tap.deaf(false);
    server.silent(true);
    assert_eq!(ask(tap.addr(), NAME, SHORT), None);
    let said = || -> Vec<_> {
        tap.given()
            .into_iter()
            .map(|given| (given.code, given.addresses))
            .collect()
    };
    let both = [
        (ResponseCode::NoError, address("10.0.0.1")),
        (ResponseCode::NoError, address("10.0.0.2")),
    ];
    assert_eq!(said(), both);
    assert!(tap.given().iter().all(|given| given.asked <= given.at));

    // Of one that is not there, a resolver says so.
    drop(server);
    assert_eq!(ask(tap.addr(), NAME, PATIENCE), Some(Vec::new()));
    assert_eq!(said().last().unwrap(), &(ResponseCode::ServFail, Vec::new()));
}
