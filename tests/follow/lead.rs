//! What members show, as a follower takes it: news is who leads, and only the first words are waited for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rds_tether::clock::Clock;
use rds_tether::follow::reconcile::Eyes;
use rds_tether::planner::lead::{Says, Showing, Shown};
use tokio::sync::watch;
use tokio::time::advance;

/// Members `1`, `2`, ... by what each says: `w`riter, `r`eader, or `.` for one that has not said anything yet.
fn shown(clock: Clock, words: &str) -> Arc<Shown> {
    let at = clock.now();
    let said = words.bytes().zip(1u8..).filter(|(word, _)| *word != b'.');
    let showing = |(word, n): (u8, u8)| {
        let says = if word == b'w' { Says::Writer } else { Says::Reader };
        (IpAddr::from([10, 0, 0, n]), Showing { at, since: at, says })
    };
    Arc::new(Shown {
        members: said.map(showing).collect(),
        is_whole: !words.contains('.'),
        doubted: None,
    })
}

fn is_ready(future: impl Future<Output = ()>) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

#[tokio::test(start_paused = true)]
async fn first_words_are_waited_for_and_later_members_hold_nothing_up() {
    let clock = Clock::start();
    let (members, heard) = watch::channel(Arc::default());
    let (_probes, probed) = watch::channel(Arc::default());
    let endpoint = "orders.example.com:5432".parse().expect("an endpoint");
    let mut eyes = Eyes::new(BTreeMap::new(), BTreeMap::from([(endpoint, heard)]), probed, clock);
    assert!(!is_ready(eyes.opened()));
    for (words, is_open, is_news) in [
        ("r.", false, false),
        ("w.", false, true),
        ("rr", true, false),
        ("wr", true, true),
        // The same again is none, or whoever cannot decide yet would never rest.
        ("wr", true, false),
        // A member that nobody knew of, in the middle of a failover.
        ("wr.", true, false),
        ("rw.", true, true),
    ] {
        members.send_replace(shown(clock, words));
        assert_eq!(
            (is_ready(eyes.opened()), is_ready(eyes.news())),
            (is_open, is_news),
            "{words}"
        );
    }
    // Nobody's word lasts for ever.
    advance(Duration::from_secs(1)).await;
    assert!(is_ready(eyes.opened()));
}
