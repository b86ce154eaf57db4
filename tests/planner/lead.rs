//! Who leads: the table, every small situation, and long walks, each held against the rules one by one.
#![allow(clippy::disallowed_methods, reason = "the environment says how many walks there are")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::panic::catch_unwind;
use std::time::Duration;

use rds_tether::planner::lead::{
    FRESH, FRESH_BESIDE_ANOTHER, HEARD_AGAIN, Says, Showing, Shown, Steersman, Verdict, Why,
};
use rds_tether::planner::time::Timestamp;

const PATIENCE: Duration = Duration::from_secs(30);
/// What each of six words is, with a letter for the tables below.
const LETTERS: [char; 6] = ['W', 'R', 'N', 'S', 'D', 'I'];
/// For how long everybody has been asked often.
const DOUBTS: [Option<Duration>; 3] = [None, Some(Duration::ZERO), Some(HEARD_AGAIN)];

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn member(n: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(n).expect("few members") + 1])
}

fn says(letter: char) -> Says {
    let why = || "for some reason".to_owned();
    match letter {
        'W' => Says::Writer,
        'R' => Says::Reader,
        'N' => Says::Neither(why()),
        'S' => Says::Silent(why()),
        'D' => Says::Denied(why()),
        'I' => Says::Impostor(why()),
        letter => panic!("nobody says {letter}"),
    }
}

/// How old a word is: as fresh as it has to be beside another, as fresh as any has to be, or stale.
const AGES: [Duration; 3] = [
    FRESH_BESIDE_ANOTHER,
    FRESH,
    FRESH.saturating_add(Duration::from_millis(1)),
];

fn showing(letter: char, age: Duration, now: Timestamp) -> Showing {
    let at = before(now, age);
    let says = says(letter);
    Showing { at, since: at, says }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp::from_millis(now.as_millis() - u64::try_from(age.as_millis()).expect("seconds"))
}

/// What members show at `now`, by a letter each, while everybody is asked often: small ones are stale, a dash shows nothing, and what a
/// quote follows is older than it has to be beside another.
fn shown(letters: &str, now: Timestamp) -> Shown {
    let mut members = BTreeMap::new();
    let words = letters.chars().zip(letters.chars().skip(1).chain([' ']));
    for (n, (letter, next)) in words.filter(|(letter, _)| *letter != '\'').enumerate() {
        let age = match (letter.is_lowercase(), next) {
            (true, _) => AGES[2],
            (false, '\'') => AGES[1],
            (false, _) => AGES[0],
        };
        if letter != '-' {
            members.insert(member(n), showing(letter.to_ascii_uppercase(), age, now));
        }
    }
    Shown {
        members,
        is_whole: true,
        doubted: Some(before(now, HEARD_AGAIN)),
    }
}

/// The members whose digits are in the text.
fn members(digits: &str) -> BTreeSet<IpAddr> {
    digits.bytes().map(|digit| member(usize::from(digit - b'0'))).collect()
}

#[test]
fn the_table() {
    let leads = |to: usize, over: &str| Verdict::Leads {
        to: member(to),
        over: members(over),
    };
    let unsure = |n: usize, letter: char| Verdict::Follows(Why::Unsure(member(n), says(letter)));
    let waits = |readers: &str| Verdict::Waits {
        readers: members(readers),
        until: at(0) + PATIENCE,
    };
    for (letters, named, verdict) in [
        // One is the writer.
        ("WRR", "0", Verdict::Agrees(member(0))),
        ("WRR", "01", Verdict::Agrees(member(0))),
        ("WSR", "01", Verdict::Agrees(member(0))),
        ("RWR", "0", leads(1, "0")),
        ("SWR", "0", leads(1, "0")),
        ("DWR", "0", leads(1, "0")),
        ("-W-", "02", leads(1, "02")),
        ("RWR", "", leads(1, "")),
        // Two are.
        ("WWR", "0", Verdict::Contested(members("01"))),
        ("WWR", "2", Verdict::Contested(members("01"))),
        ("WWW", "", Verdict::Contested(members("012"))),
        // One of them was, and has been asked again since.
        ("W'WR", "0", leads(1, "0")),
        ("WW'R", "0", Verdict::Agrees(member(0))),
        ("WW'W", "0", Verdict::Contested(members("02"))),
        ("W'W'R", "0", Verdict::Contested(members("01"))),
        ("W'RR", "0", Verdict::Agrees(member(0))),
        ("RW'R", "0", leads(1, "0")),
        // One was, and another is.
        ("wWR", "0", leads(1, "0")),
        ("wRR", "0", Verdict::Follows(Why::NotShown(member(0)))),
        // Nobody is.
        ("RRR", "0", waits("0")),
        ("RSS", "0", waits("0")),
        ("RRw", "01", waits("01")),
        ("RRN", "02", unsure(2, 'N')),
        ("SRR", "0", unsure(0, 'S')),
        ("DRR", "0", unsure(0, 'D')),
        ("IRR", "01", unsure(0, 'I')),
        ("RrR", "01", Verdict::Follows(Why::NotShown(member(1)))),
        ("-RR", "0", Verdict::Follows(Why::NotShown(member(0)))),
        ("RRR", "", Verdict::Follows(Why::Blind)),
        ("---", "0", Verdict::Follows(Why::NotShown(member(0)))),
    ] {
        let found = Steersman::default().steer(&members(named), &shown(letters, at(0)), PATIENCE, at(0));
        assert_eq!(found, verdict, "members {letters}, DNS {named}");
    }
}

#[test]
fn a_word_is_fresh_for_as_long_as_the_next_may_take() {
    let limit = u64::try_from(FRESH.as_millis()).expect("seconds");
    // Asked a second after the last answer, and answered within a second: it is never stale meanwhile.
    let word = Shown {
        members: BTreeMap::from([(member(0), showing('W', Duration::ZERO, at(0)))]),
        is_whole: true,
        doubted: Some(at(0)),
    };
    for (millis, writers) in [(0, "0"), (1_950, "0"), (limit, "0"), (limit + 1, "")] {
        assert_eq!(word.writers(at(millis)), members(writers), "{millis} ms");
    }
}

/// A claim is over beside a newer one when its member has been asked again in a doubt, and has had its second; not before.
#[test]
fn of_two_claims_the_one_that_is_not_made_again_ends_after_a_second() {
    for (doubted, millis, writers) in [
        (None, 1_900, "01"),
        (Some(1_000), 1_099, "01"),
        (Some(1_000), 1_100, "01"),
        (Some(1_000), 1_101, "1"),
        (Some(1_050), 1_149, "01"),
        (Some(1_050), 1_150, "1"),
    ] {
        let pair = [
            (member(0), showing('W', Duration::ZERO, at(0))),
            (member(1), showing('W', Duration::ZERO, at(millis))),
        ];
        let shown = Shown {
            members: BTreeMap::from(pair),
            is_whole: true,
            doubted: doubted.map(at),
        };
        assert_eq!(shown.writers(at(millis)), members(writers), "{doubted:?}, {millis} ms");
    }
}

/// Who does not answer has fallen silent with the failover that made the writer, or is late once.
#[test]
fn who_is_a_reader_or_falls_silent_as_another_becomes_the_writer_is_out() {
    for (word, of_a_new_writer, of_an_old_one) in [
        ("W", false, false),
        ("W'", false, false),
        ("w", false, false),
        ("R", true, true),
        ("r", false, false),
        ("S", true, false),
        ("s", true, false),
        ("N", false, false),
        ("D", false, false),
        ("d", false, false),
        ("I", false, false),
        ("-", false, false),
    ] {
        for (secs, is_out) in [(4, of_a_new_writer), (5, of_an_old_one)] {
            let mut shown = shown(word, at(0));
            let since = before(at(0), Duration::from_secs(secs));
            shown.members.insert(
                member(1),
                Showing {
                    since,
                    ..showing('W', Duration::ZERO, at(0))
                },
            );
            assert_eq!(shown.is_out(member(0), member(1), at(0)), is_out, "{word}, {secs} s");
        }
    }
}

#[test]
fn who_waits_waits_no_longer_than_patience_which_begins_anew_after_a_writer_or_a_long_break() {
    let mut steersman = Steersman::default();
    let mut steer = |letters: &str, named: &str, millis: u64| {
        let verdict = steersman.steer(&members(named), &shown(letters, at(millis)), PATIENCE, at(millis));
        match verdict {
            Verdict::Waits { until, .. } => format!("waits until {}", until.since(at(0)).as_secs()),
            verdict => verdict.name().to_owned(),
        }
    };
    for (letters, named, secs, verdict) in [
        ("RR", "0", 0, "waits until 30"),
        ("RR", "1", 10, "waits until 30"),
        ("RR", "0", 29, "waits until 30"),
        ("RR", "0", 30, "impatient"),
        ("RR", "01", 59, "impatient"),
        ("RW", "0", 89, "leads"),
        ("RS", "0", 90, "waits until 120"),
        ("SR", "0", 91, "follows"),
        ("RR", "0", 92, "waits until 120"),
        ("RR", "0", 120, "impatient"),
        ("SR", "0", 121, "follows"),
        ("RR", "1", 150, "impatient"),
        ("RR", "", 151, "follows"),
        // Longer than patience.
        ("RR", "1", 181, "waits until 211"),
        ("RW", "1", 182, "agrees"),
        ("RR", "0", 183, "waits until 213"),
        // The clock never goes back here; if it did, nobody would wait for longer.
        ("RR", "0", 178, "waits until 208"),
    ] {
        assert_eq!(
            steer(letters, named, secs * 1000),
            verdict,
            "{letters}, DNS {named}, {secs} s"
        );
    }
}

/// What the rules say of a verdict, whatever came before it.
#[track_caller]
fn hold_rules(verdict: &Verdict, named: &BTreeSet<IpAddr>, shown: &Shown, now: Timestamp, waited: Duration) {
    let is_fresh = |showing: &Showing| now.since(showing.at) <= FRESH;
    let claims = |limit: Duration| -> BTreeSet<IpAddr> {
        let all = shown
            .members
            .iter()
            .filter(|(_, showing)| matches!(showing.says, Says::Writer));
        let all = all.filter(|(_, showing)| now.since(showing.at) <= limit);
        all.map(|(ip, _)| *ip).collect()
    };
    let (claims, newer) = (claims(FRESH), claims(FRESH_BESIDE_ANOTHER));
    let all_asked = shown.doubted.is_some_and(|since| now.since(since) >= HEARD_AGAIN);
    let claims = if all_asked && !newer.is_empty() { newer } else { claims };
    let is_reader = |ip: &IpAddr| {
        let showing = shown.members.get(ip);
        showing.is_some_and(|showing| is_fresh(showing) && matches!(showing.says, Says::Reader))
    };
    let told = || format!("{verdict:?} of {named:?} and {shown:?}");
    if let Some(writer) = verdict.writer() {
        // Its own word alone, a fresh one; never one of two.
        assert_eq!(claims, BTreeSet::from([writer]), "{}", told());
        assert_eq!(
            matches!(verdict, Verdict::Agrees(_)),
            named.contains(&writer),
            "{}",
            told()
        );
    }
    match verdict {
        Verdict::Agrees(_) => {}
        Verdict::Leads { over, .. } => assert_eq!(over, named, "{}", told()),
        Verdict::Waits { readers, until } => {
            // Only what says itself that it is in recovery is a reader.
            assert!(
                claims.is_empty() && !named.is_empty() && named.iter().all(is_reader),
                "{}",
                told()
            );
            assert!(
                readers == named && now < *until && until.since(now) <= PATIENCE,
                "{}",
                told()
            );
            assert!(waited < PATIENCE, "waits for {waited:?}: {}", told());
        }
        Verdict::Contested(all) => assert!(all.len() > 1 && *all == claims, "{}", told()),
        // Whatever is not known is as if nobody had been asked.
        Verdict::Follows(why) => {
            assert!(claims.is_empty(), "{}", told());
            let all_readers = !named.is_empty() && named.iter().all(is_reader);
            assert_eq!(matches!(why, Why::Impatient(_)), all_readers, "{}", told());
            assert!(!all_readers || waited >= PATIENCE, "{}", told());
        }
    }
}

#[test]
fn every_situation_of_three_members_holds_the_rules() {
    let words: Vec<(char, Duration)> = LETTERS
        .into_iter()
        .flat_map(|letter| AGES.map(|age| (letter, age)))
        .collect();
    let mut situations = 0;
    for doubt in DOUBTS {
        for ((one, two), three) in (words.iter())
            .flat_map(|one| words.iter().map(move |two| (one, two)))
            .flat_map(|pair| words.iter().map(move |three| (pair, three)))
        {
            let all = [one, two, three].map(|(letter, age)| showing(*letter, *age, at(0)));
            let shown = Shown {
                members: all
                    .into_iter()
                    .enumerate()
                    .map(|(n, showing)| (member(n), showing))
                    .collect(),
                is_whole: true,
                doubted: doubt.map(|lasts| before(at(0), lasts)),
            };
            for named in ["", "0", "1", "2", "01", "02", "12", "012"] {
                let named = members(named);
                let verdict = Steersman::default().steer(&named, &shown, PATIENCE, at(0));
                hold_rules(&verdict, &named, &shown, at(0), Duration::ZERO);
                situations += 1;
            }
        }
    }
    assert_eq!(situations, 3 * 18 * 18 * 18 * 8);
}

/// Members that are promoted, demoted, restarted, lost and slow, and a name that is late: in each step everything may change or stay.
fn walk(chance: &mut fastrand::Rng) {
    let mut steersman = Steersman::default();
    let mut shown = Shown::default();
    let mut named = members("0");
    let (mut now, mut leaderless) = (at(0), None::<(Timestamp, Timestamp)>);
    for _ in 0..20 {
        let longest = if chance.u8(..4) == 0 { 40_000 } else { 2_500 };
        now = now + Duration::from_millis(chance.u64(..longest));
        for n in 0..3 {
            if chance.u8(..3) == 0 {
                let says = says(LETTERS[usize::min(chance.usize(..9), 7) % 6]);
                shown.members.insert(
                    member(n),
                    Showing {
                        at: now,
                        since: now,
                        says,
                    },
                );
            } else if let Some(showing) = shown.members.get_mut(&member(n)).filter(|_| chance.bool()) {
                showing.at = now;
            }
        }
        if chance.u8(..3) == 0 {
            shown.doubted = chance
                .bool()
                .then(|| before(now, Duration::from_millis(chance.u64(..300))));
        }
        if chance.u8(..3) == 0 {
            let which = chance.u8(..8);
            named = (0..3).filter(|n| which & (1 << n) != 0).map(member).collect();
        }
        let verdict = steersman.steer(&named, &shown, PATIENCE, now);
        let is_leaderless = matches!(verdict, Verdict::Waits { .. } | Verdict::Follows(Why::Impatient(_)));
        let since = match leaderless {
            Some((since, last)) if now.since(last) <= PATIENCE => since,
            _ => now,
        };
        let is_over = verdict.writer().is_some() || matches!(verdict, Verdict::Contested(_));
        leaderless = match is_leaderless {
            true => Some((since, now)),
            false => leaderless.filter(|_| !is_over),
        };
        hold_rules(&verdict, &named, &shown, now, now.since(since));
    }
}

/// How many walks there are, where the environment does not say.
const WALKS: u64 = 20_000;

/// `RDS_TETHER_WALKS=1000000 cargo test --test inside planner::lead` takes a few minutes.
#[test]
fn walks_hold_the_rules() {
    let wanted = std::env::var("RDS_TETHER_WALKS");
    let walks = wanted.map_or(WALKS, |text| text.parse().expect("RDS_TETHER_WALKS is a number"));
    for seed in 0..walks {
        if catch_unwind(|| walk(&mut fastrand::Rng::with_seed(seed))).is_err() {
            panic!("the walk with seed {seed} of {walks} failed");
        }
    }
}
