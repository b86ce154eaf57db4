//! Who leads: the table, every small situation, and long walks, each held against the rules one by one.
#![allow(clippy::disallowed_methods, reason = "the environment says how many walks there are")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::panic::catch_unwind;
use std::time::Duration;

use rds_tether::planner::lead::{FRESH, Says, Showing, Shown, Steersman, Verdict, Why};
use rds_tether::planner::time::Timestamp;

const PATIENCE: Duration = Duration::from_secs(30);
/// What each of six words is, with a letter for the tables below.
const LETTERS: [char; 6] = ['W', 'R', 'N', 'S', 'D', 'I'];

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

/// What members show at `now`, by a letter each: small ones are stale, a dash shows nothing.
fn shown(letters: &str, now: Timestamp) -> Shown {
    let members = letters.chars().enumerate().filter(|(_, letter)| *letter != '-');
    let showing = |(n, letter): (usize, char)| {
        let age = if letter.is_lowercase() {
            FRESH.as_millis() as u64 + 1
        } else {
            0
        };
        let at = Timestamp::from_millis(now.as_millis() - age);
        let says = says(letter.to_ascii_uppercase());
        (member(n), Showing { at, since: at, says })
    };
    Shown {
        members: members.map(showing).collect(),
        is_whole: true,
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
    for (millis, writers) in [(0, "0"), (1_950, "0"), (limit, "0"), (limit + 1, "")] {
        assert_eq!(shown("W", at(0)).writers(at(millis)), members(writers), "{millis} ms");
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
    let claims: BTreeSet<IpAddr> = (shown.members.iter())
        .filter(|(_, showing)| is_fresh(showing) && matches!(showing.says, Says::Writer))
        .map(|(ip, _)| *ip)
        .collect();
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
    let words: Vec<char> = LETTERS
        .into_iter()
        .flat_map(|letter| [letter, letter.to_ascii_lowercase()])
        .collect();
    let mut situations = 0;
    for (one, two, three) in words
        .iter()
        .flat_map(|one| words.iter().map(move |two| (one, two)))
        .flat_map(|(one, two)| words.iter().map(move |three| (one, two, three)))
    {
        let shown = shown(&format!("{one}{two}{three}"), at(0));
        for named in ["", "0", "1", "2", "01", "02", "12", "012"] {
            let named = members(named);
            let verdict = Steersman::default().steer(&named, &shown, PATIENCE, at(0));
            hold_rules(&verdict, &named, &shown, at(0), Duration::ZERO);
            situations += 1;
        }
    }
    assert_eq!(situations, 12 * 12 * 12 * 8);
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
