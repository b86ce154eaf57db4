//! What an answer may hold: what no database has is no answer, and whatever is in it, it is read at once.

use std::time::{Duration, Instant};

use rds_tether::dns::Client;
use rds_tether::planner::answer::{Failure, Said};
use rds_tether::planner::target::Family;
use testkit::dns::raw::{ADDRESS, Answer, PRIVATE, TO_NAME, addresses, chain};
use testkit::dns::{Behaviour, Server};

const NAME: &str = "db.example";
/// What reading may take on a busy machine without optimization. It took 39 s, optimized, when each alias cost a pass over all the others for each.
const AT_ONCE: Duration = Duration::from_secs(1);

/// An address, and so much that nobody asked for that the answer is as large as this.
fn sized(bytes: usize) -> Behaviour {
    let mut answer = Answer::to(NAME);
    answer.add(&TO_NAME, ADDRESS, &[10, 0, 0, 1]);
    let rest = bytes - answer.len() - 12;
    answer.add(&TO_NAME, PRIVATE, &vec![0; rest]);
    assert_eq!(answer.len(), bytes);
    answer.served()
}

/// Reads an answer as the only one of a name server.
async fn read(behaviour: Behaviour) -> Result<Said, Failure> {
    let server = Server::start();
    server.set(NAME, behaviour);
    // hickory-resolver asks for an alias that stands after its own.
    server.set_default(Behaviour::a("10.0.0.1", 5));
    let client = Client::new(server.addr(), Duration::from_secs(20)).unwrap();
    let began = Instant::now();
    let said = client.ask(NAME, Family::Ipv4).await.said;
    let took = began.elapsed();
    assert!(took < AT_ONCE, "{took:?}");
    said
}

#[tokio::test]
async fn what_is_at_the_limit_is_an_answer_and_what_is_above_it_is_none() {
    let malformed = |what: &str| Some(Failure::Malformed(what.into()));
    let chained = || malformed("more than 16 aliases, one after the other");
    let large = || malformed("too large for UDP and not to be had by TCP, by which 8192 bytes are read at most");
    for (what, behaviour, failure) in [
        ("16 aliases", chain(NAME, 16, false), None),
        ("16 aliases the other way round", chain(NAME, 16, true), None),
        ("17 aliases", chain(NAME, 17, false), chained()),
        ("200 aliases the other way round", chain(NAME, 200, true), chained()),
        ("1,000 aliases", chain(NAME, 1000, false), large()),
        ("64 addresses", addresses(NAME, 64), None),
        ("65 addresses", addresses(NAME, 65), Some(Failure::TooMany(65))),
        ("8,192 bytes", sized(8192), None),
        ("8,193 bytes", sized(8193), large()),
        ("64 KiB", sized(65_535), large()),
    ] {
        assert_eq!(read(behaviour).await.err(), failure, "{what}");
    }
}

#[tokio::test]
async fn a_chain_is_followed_in_whatever_order_it_stands() {
    for is_reversed in [false, true] {
        let said = read(chain(NAME, 3, is_reversed)).await.unwrap();
        assert_eq!(said.names, ["a0", "a1", "a2"]);
    }
}
