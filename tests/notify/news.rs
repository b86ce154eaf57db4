//! What is worth a message, as tables.

use std::time::Duration;

use rds_tether::notify::News;
use rds_tether::notify::message::Kind;
use rds_tether::planner::candidate::{Doubt, Probe, ProbePatience};
use rds_tether::planner::endpoint::Role;
use rds_tether::planner::guard::Refusal;
use rds_tether::planner::target::State;
use rds_tether::proxy::{Happening, Moment};

use super::simulation::Dns::{Differs, Fails, Names};
use super::simulation::*;
use super::world::{NEW, OLD, WRITER};

const MEMBERS: [&str; 3] = ["10.0.1.1", "10.0.1.2", "10.0.1.3"];

/// What the only target shows from the first minute to the sixth, and what is told of it.
#[test]
fn that_nothing_serves_is_told_when_it_lasts_and_when_it_is_over() {
    for (state, kinds) in [
        (State::Unhealthy, &[Kind::NothingServes, Kind::Recovered][..]),
        (State::Unused, &[Kind::NothingServes, Kind::Recovered]),
        (State::Initial, &[]),
        (State::Unavailable, &[]),
    ] {
        let mut world = Simulation::writer(&[OLD]);
        let show = |world: &mut Simulation, state: &State| {
            world.targets.get_mut(&target(OLD)).expect("the target").state = state.clone();
        };
        world.run(60, |_| Names(&[OLD]));
        show(&mut world, &state);
        world.run(360, |_| Names(&[OLD]));
        show(&mut world, &State::Healthy);
        world.run(420, |_| Names(&[OLD]));
        assert_eq!(world.kinds(), kinds, "{state:?}: {:?}", world.texts());
        let [out, over] = &world.told[..] else { continue };
        let lasted = out.timings.lasted_ms;
        assert_eq!(lasted, Some(180_000), "{state:?}: {:?}", out.timings);
        let text = format!("orders: nothing serves: 10.0.1.5:5432 is {}, for 3 min", state.as_str());
        assert_eq!((&out.text, &out.old), (&text, &[target(OLD)].into()));
        assert_eq!(over.text, "orders has recovered after 5 min: a target serves again");
    }
    // A minute of it is no news, and who does not see the group does not know that it is over.
    let mut world = Simulation::writer(&[OLD]);
    let unhealthy = |world: &mut Simulation, is: bool| {
        let state = if is { State::Unhealthy } else { State::Healthy };
        world.targets.get_mut(&target(OLD)).expect("the target").state = state;
    };
    unhealthy(&mut world, true);
    world.run(60, |_| Names(&[OLD]));
    unhealthy(&mut world, false);
    world.run(600, |_| Names(&[OLD]));
    assert_eq!(world.texts(), [""; 0]);
    unhealthy(&mut world, true);
    world.run(800, |_| Names(&[OLD]));
    world.denied = true;
    world.run(900, |_| Names(&[OLD]));
    assert_eq!(world.kinds(), [Kind::NothingServes], "{:?}", world.texts());
}

#[test]
fn a_settled_group_tells_nothing() {
    for dns in [WRITER, super::world::READER] {
        let mut world = Simulation::new(dns, &[OLD]);
        world.run(3600, |_| Names(&[OLD]));
        assert_eq!(world.texts(), [""; 0]);
    }
}

#[test]
fn a_change_is_told_when_it_is_seen_and_when_it_is_over() {
    let mut world = Simulation::writer(&[OLD]);
    world.run(300, |secs| Names(if secs < 60 { &[OLD] } else { &[NEW] }));
    let [changed, converged] = &world.told[..] else {
        panic!("{:?}", world.texts())
    };
    assert_eq!(changed.text, "orders moved from 10.0.1.5:5432 to 10.0.2.7:5432");
    assert_eq!((changed.kind, converged.kind), (Kind::AddressChanged, Kind::Converged));
    for message in [changed, converged] {
        assert_eq!(message.old, [target(OLD)].into());
        assert_eq!(message.new, [target(NEW)].into());
        assert_eq!(message.timings.since, Some(at(60)));
        assert_eq!(message.timings.registered_ms, Some(40));
        assert_eq!(message.trigger, "run");
    }
    assert_eq!(changed.timings.lasted_ms, Some(40));
    // The old target is removed after a minute, and seen removed five seconds later.
    assert_eq!(converged.timings.deregistered_ms, Some(60_040));
    assert_eq!(converged.timings.healthy_ms, Some(5_000));
    assert_eq!(converged.timings.lasted_ms, Some(65_040));
    assert_eq!(converged.text, "orders equals DNS again after 65.0 s");
}

/// What a new address shows when it is probed, and what is told, and when.
#[test]
fn an_impostor_is_told_at_once_and_silence_when_it_lasts() {
    let why = || "the certificate is for other.example".to_owned();
    for (doubt, expect) in [
        (Doubt::Impostor(why()), Kind::Refused),
        (Doubt::Silent(why()), Kind::AddressChanged),
    ] {
        let mut world = Simulation::writer(&[OLD]);
        world.probe(Probe::Tls, ProbePatience::Forever);
        world.probed.insert(target(NEW), Err(doubt.clone()));
        world.run(60 * 60, |secs| Names(if secs < 60 { &[OLD] } else { &[NEW] }));
        let told = world
            .told
            .iter()
            .map(|message| (message.kind, message.at.since(at(0)).as_secs()));
        // Nothing is known of it at first.
        let expect = [(expect, 65), (Kind::Unsettled, 65 + 180)];
        assert_eq!(told.collect::<Vec<_>>(), expect, "{doubt:?}: {:?}", world.texts());
        let mut reasons = world.told.iter().flat_map(|message| &message.reasons);
        assert!(reasons.any(|reason| reason.contains(&why())), "{doubt:?}");
    }
}

/// What is registered without having shown anything is told, and so is the change that it makes.
#[test]
fn the_end_of_patience_is_told() {
    let mut world = Simulation::writer(&[OLD]);
    world.probe(Probe::Tls, ProbePatience::For(Duration::from_secs(60)));
    world
        .probed
        .insert(target(NEW), Err(Doubt::Silent("no answer in time".into())));
    world.run(10 * 60, |_| Names(&[NEW]));
    let kinds = [Kind::AddressChanged, Kind::Unproven, Kind::Converged];
    assert_eq!(world.kinds(), kinds, "{:?}", world.texts());
    let unproven = &world.told[1];
    assert_eq!(
        unproven.text,
        "orders: 10.0.2.7:5432 is to be registered although its probe fails: no answer in time; the 60 s of probe_patience \
         are over"
    );
    assert_eq!(unproven.new, [target(NEW)].into());
}

/// The state of the group when the process starts, what DNS says, and what is told of it.
#[test]
fn a_process_that_starts_tells_of_what_the_group_lacks() {
    for (registered, dns, expect) in [
        (&[OLD][..], OLD, None),
        (&[OLD, NEW], NEW, None),
        (&[OLD], NEW, Some("orders moved from 10.0.1.5:5432 to 10.0.2.7:5432")),
        (&[], NEW, Some("orders: DNS names 10.0.2.7:5432, which is new")),
    ] {
        let mut world = Simulation::writer(registered);
        world.step(Names(&[dns]), "run");
        assert_eq!(world.texts().first().copied(), expect, "{registered:?} {dns}");
    }
}

#[test]
fn a_reader_tells_of_members_registered_and_forgotten_and_of_no_answer() {
    let mut world = Simulation::reader(&MEMBERS[..2]);
    // Another member in each answer; from the third minute on a new one instead of the first.
    world.run(3600, |secs| {
        let nth = usize::try_from(secs / 5 % 2).unwrap();
        Names(if secs < 180 {
            &MEMBERS[nth..=nth]
        } else {
            &MEMBERS[nth + 1..=nth + 1]
        })
    });
    let changes: Vec<&str> = world
        .told
        .iter()
        .filter(|message| message.kind == Kind::AddressChanged)
        .map(|message| message.text.as_str())
        .collect();
    assert_eq!(
        changes,
        [
            "orders: member 10.0.1.3:5432 was registered",
            "orders: member 10.0.1.1:5432 was forgotten"
        ]
    );
    assert_eq!(world.told.len(), 4, "each converges: {:?}", world.texts());
    assert_eq!(world.told[0].role, Role::Reader);
}

#[test]
fn a_flapping_endpoint_sends_a_few_messages_and_then_summaries() {
    let mut world = Simulation::writer(&[OLD]);
    world.run(3600, |secs| Names(if secs / 20 % 2 == 0 { &[OLD] } else { &[NEW] }));
    let of = |kind| world.told.iter().filter(move |told| told.kind == kind);
    assert_eq!(of(Kind::AddressChanged).count(), 6, "{:?}", world.texts());
    // It does not equal DNS for an hour, which is told once.
    assert_eq!(of(Kind::Unsettled).count(), 1, "{:?}", world.texts());
    let summaries: Vec<_> = of(Kind::Summary).collect();
    // The second half hour ends with the hour, or just after it.
    assert!((1..=2).contains(&summaries.len()), "{:?}", world.texts());
    assert_eq!(world.told.len(), 7 + summaries.len(), "{:?}", world.texts());
    assert!(
        summaries[0].counts[&Kind::AddressChanged] > 60,
        "{:?}",
        summaries[0].counts
    );
    assert!(summaries[0].text.contains("flapping"), "{}", summaries[0].text);
    // It ends: that it is over, a last summary, and then changes are told one by one again.
    let before = world.told.len();
    world.run(3 * 3600, |secs| {
        Names(if secs < 2 * 3600 + 1800 { &[OLD] } else { &[NEW] })
    });
    let after = &world.kinds()[before..];
    assert!(after.ends_with(&[Kind::AddressChanged, Kind::Converged]), "{after:?}");
    assert!(after.contains(&Kind::Recovered) && after.len() <= 5, "{after:?}");
}

#[test]
fn flapping_does_not_silence_trouble() {
    let mut world = Simulation::writer(&[OLD]);
    world.run(1200, |secs| Names(if secs / 20 % 2 == 0 { &[OLD] } else { &[NEW] }));
    let before = world.told.len();
    world.run(1500, |_| Fails);
    assert_eq!(world.kinds()[before..], [Kind::Unresolved], "{:?}", world.texts());
}

/// The name is gone. The targets stay, and somebody hears of it.
#[test]
fn a_name_that_vanished_is_told_after_minutes_and_once() {
    let mut world = Simulation::writer(&[OLD]);
    world.run(3600, |secs| if secs < 60 { Names(&[OLD]) } else { Fails });
    let [told] = &world.told[..] else {
        panic!("{:?}", world.texts())
    };
    assert_eq!(told.kind, Kind::Unresolved);
    assert_eq!(
        told.text,
        format!("orders: {WRITER}:5432 cannot be resolved for 3 min; nothing is removed")
    );
    assert_eq!(told.timings.since, Some(at(60)));
    assert!((180_000..190_000).contains(&told.timings.lasted_ms.unwrap()));
    assert!(told.reasons[0].contains("NXDOMAIN"), "{:?}", told.reasons);
    assert_eq!(world.targets.keys().copied().collect::<Vec<_>>(), [target(OLD)]);
    // Its successor is a change like any other.
    world.told.clear();
    world.run(4200, |_| Names(&[NEW]));
    assert_eq!(
        world.kinds(),
        [Kind::AddressChanged, Kind::Converged, Kind::Recovered],
        "{:?}",
        world.texts()
    );
}

/// For how long something is wrong, and whether that is told.
#[test]
fn trouble_is_told_when_it_lasts_and_when_it_is_over() {
    for (wrong_secs, expect) in [
        (170, &[][..]),
        (600, &[Kind::Unsettled, Kind::Recovered]),
        (3600, &[Kind::Unsettled, Kind::Recovered]),
    ] {
        let mut world = Simulation::writer(&[OLD]);
        world.run(60, |_| Names(&[OLD]));
        world.denied = true;
        world.run(60 + wrong_secs, |_| Names(&[OLD]));
        world.denied = false;
        world.run(120 + wrong_secs, |_| Names(&[OLD]));
        assert_eq!(world.kinds(), expect, "{wrong_secs} s: {:?}", world.texts());
    }
    let mut world = Simulation::writer(&[OLD]);
    world.denied = true;
    world.run(600, |_| Names(&[OLD]));
    assert!(
        world.told[0]
            .text
            .starts_with("orders has not equalled DNS for 3 min: ")
            && world.told[0].text.contains("AccessDenied"),
        "{:?}",
        world.texts()
    );
}

/// Waiting that is as it is meant to be is no trouble.
#[test]
fn waiting_is_told_only_when_it_takes_longer_than_it_may() {
    let mut world = Simulation::writer(&[OLD]);
    let mut binding = (*world.binding).clone();
    binding.policy.forget = Some(Duration::from_secs(3000));
    world.binding = binding.into();
    world.run(3600, |secs| Names(if secs < 60 { &[OLD] } else { &[NEW] }));
    assert_eq!(world.kinds(), [Kind::AddressChanged, Kind::Converged]);

    let mut world = Simulation::writer(&[OLD]);
    let mut binding = (*world.binding).clone();
    // Nobody acts on what it decides.
    binding.observe = true;
    world.binding = binding.into();
    for secs in (0..3600).step_by(5) {
        world.now = at(secs);
        world.targets = Simulation::writer(&[OLD]).targets;
        world.step(Names(&[NEW]), "run");
    }
    assert_eq!(world.kinds(), [Kind::AddressChanged, Kind::Unsettled]);
    assert_eq!(world.told[1].timings.lasted_ms.map(|millis| millis / 5000), Some(48));
}

/// What DNS names, and what is told of it at the first sight.
#[test]
fn a_refused_address_is_told_at_once_and_not_again() {
    for (dns, text, refused) in [
        (
            &["52.17.1.2"][..],
            "every address of the answer is refused: 52.17.1.2 is publicly routable",
            "52.17.1.2",
        ),
        (&[OLD, "127.0.0.1"], "127.0.0.1:5432 is a loopback address", "127.0.0.1"),
    ] {
        let mut world = Simulation::writer(&[OLD]);
        world.step(Names(&[OLD]), "run");
        for secs in (5..150).step_by(5) {
            world.now = at(secs);
            world.step(Names(dns), "run");
        }
        let [told] = &world.told[..] else {
            panic!("{dns:?}: {:?}", world.texts())
        };
        assert_eq!(told.kind, Kind::Refused);
        assert!(told.text.contains(text), "{}", told.text);
        assert_eq!(told.new, [target(refused)].into());
    }
}

#[test]
fn two_actors_tell_the_same_change_with_the_same_id() {
    let mut one = Simulation::writer(&[OLD]);
    one.run(120, |_| Names(&[OLD]));
    let mut other = Simulation::writer(&[OLD]);
    other.now = at(122);
    one.step(Names(&[NEW]), "run");
    // It starts now, sees it a little later, and was woken by something else.
    other.step(Names(&[NEW]), "RDS-EVENT-0072");
    let [one, other] = [&one.told[0], &other.told[0]];
    assert_ne!(one.at, other.at);
    assert_ne!(one.trigger, other.trigger);
    assert_eq!(one.id(), other.id());
}

/// A function's process sleeps between invocations, and another may have looked meanwhile.
#[test]
fn what_was_known_long_ago_says_nothing_about_now() {
    let mut world = Simulation::writer(&[OLD]);
    world.step(Names(&[OLD]), "tick");
    world.now = at(3600);
    world.denied = true;
    world.step(Names(&[OLD]), "tick");
    world.now = at(7200);
    world.denied = false;
    world.step(Names(&[OLD]), "tick");
    world.now = at(10_800);
    world.targets = Simulation::writer(&[NEW]).targets;
    world.step(Names(&[NEW]), "tick");
    assert_eq!(world.texts(), [""; 0]);
}

#[test]
fn a_proxy_tells_of_its_address_and_its_name() {
    let ip = |text: &str| text.parse().unwrap();
    let moment = |secs, role, what| Moment {
        at: at(secs),
        listen: "0.0.0.0:5432".parse().unwrap(),
        endpoint: format!("{WRITER}:5432").parse().unwrap(),
        role,
        what,
    };
    let moved = |from: &[&str]| Happening::Moved {
        from: from.iter().map(|text| ip(text)).collect(),
        to: vec![ip(NEW)],
        is_ahead: false,
    };
    let mut news = News::new(Duration::from_secs(180));
    let mut told = Vec::new();
    told.extend(news.note_proxy(&moment(0, Role::Writer, moved(&[])), "run"));
    told.extend(news.note_proxy(&moment(0, Role::Reader, moved(&[OLD])), "run"));
    assert_eq!(told, []);
    told.extend(news.note_proxy(&moment(1, Role::Writer, moved(&[OLD])), "run"));
    told.extend(news.note_proxy(
        &moment(2, Role::Writer, Happening::Unresolved("NXDOMAIN".into())),
        "run",
    ));
    told.extend(news.tick(at(181)));
    assert_eq!(told.len(), 1);
    told.extend(news.tick(at(182)));
    told.extend(news.tick(at(3600)));
    told.extend(news.note_proxy(&moment(3700, Role::Writer, Happening::Resolved), "run"));
    told.extend(news.note_proxy(
        &moment(
            3701,
            Role::Writer,
            Happening::Refused([(ip("10.9.9.9"), Refusal::NotAllowed)].into()),
        ),
        "run",
    ));
    let texts: Vec<&str> = told.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "proxy 0.0.0.0:5432 moved from 10.0.1.5:5432 to 10.0.2.7:5432",
            &format!("proxy 0.0.0.0:5432: {WRITER}:5432 cannot be resolved for 3 min"),
            "proxy 0.0.0.0:5432 has recovered after 61 min",
            "proxy 0.0.0.0:5432: 10.9.9.9:5432 may not be connected to",
        ]
    );
    assert_eq!(told[3].reasons, ["10.9.9.9 is outside allow_cidrs"]);
    // What its name servers show together.
    told.clear();
    let words = "10.0.0.2:53 last said 10.0.1.5, 10.0.0.3:53 last said 10.0.2.7";
    for (secs, what) in [
        (3710, Happening::Disputed(words.into())),
        (3740, Happening::Agreed),
        (3750, Happening::Rotates([ip(OLD), ip(NEW)].into())),
    ] {
        told.extend(news.note_proxy(&moment(secs, Role::Writer, what), "run"));
    }
    let kinds: Vec<Kind> = told.iter().map(|message| message.kind).collect();
    assert_eq!(kinds, [Kind::Unsettled, Kind::Recovered, Kind::Rotates], "{told:?}");
    assert_eq!(told[0].reasons, [words]);
    assert_eq!(told[1].text, "proxy 0.0.0.0:5432 has recovered after 30 s");
    assert_eq!(told[2].new, [target(OLD), target(NEW)].into());
    // An outage while they differ is told apart from that, and its end is not the end of the difference.
    told.extend(news.tick(at(13_000)));
    told.clear();
    for (secs, what) in [
        (14000, Happening::Disputed(words.into())),
        (14010, Happening::Unresolved("NXDOMAIN".into())),
    ] {
        told.extend(news.note_proxy(&moment(secs, Role::Writer, what), "run"));
    }
    told.extend(news.tick(at(14200)));
    for (secs, what) in [(14210, Happening::Resolved), (14300, Happening::Agreed)] {
        told.extend(news.note_proxy(&moment(secs, Role::Writer, what), "run"));
    }
    let kinds: Vec<Kind> = told.iter().map(|message| message.kind).collect();
    let expect = [Kind::Unsettled, Kind::Unresolved, Kind::Recovered, Kind::Recovered];
    assert_eq!(kinds, expect, "{told:?}");
    // One that is no longer served.
    told.clear();
    told.extend(news.note_proxy(
        &moment(14800, Role::Writer, Happening::Unresolved("NXDOMAIN".into())),
        "run",
    ));
    news.keep_proxies(&[].into());
    told.extend(news.tick(at(18200)));
    assert_eq!(told, []);
}

#[test]
fn a_name_that_gives_several_addresses_in_turn_is_told_once() {
    let mut world = Simulation::new("orders.db.internal", &[OLD]);
    world.run(1200, |secs| Names(if secs / 10 % 2 == 0 { &[OLD] } else { &[NEW] }));
    let rotates: Vec<_> = world.told.iter().filter(|told| told.kind == Kind::Rotates).collect();
    let [told] = rotates[..] else {
        panic!("{:?}", world.texts())
    };
    assert_eq!(told.new, [target(OLD), target(NEW)].into());
    assert!(
        told.text
            .starts_with("orders: orders.db.internal:5432 gives 10.0.1.5 and 10.0.2.7 in turn")
    );
    assert_eq!(told.at, at(20));
}

#[test]
fn name_servers_that_go_on_to_differ_are_told_with_what_each_says() {
    let mut world = Simulation::writer(&[OLD]);
    world.run(3600, |secs| {
        if secs < 600 {
            Differs([OLD, NEW])
        } else {
            Differs([NEW, NEW])
        }
    });
    let kinds: Vec<_> = world.told.iter().map(|told| told.kind).collect();
    assert!(
        kinds.contains(&Kind::Unsettled) && kinds.last() == Some(&Kind::Recovered),
        "{:?}",
        world.texts()
    );
    let told = world
        .told
        .iter()
        .find(|told| told.kind == Kind::Unsettled)
        .expect("just seen");
    assert!(told.at < at(300), "{:?}", told.at);
    for part in [
        "is not the same to all name servers",
        "10.0.0.2:53 last said 10.0.1.5",
        "10.0.0.3:53 last said 10.0.2.7",
    ] {
        assert!(told.text.contains(part), "{}", told.text);
    }
}

/// How often somebody else takes the target away, every 20 s, and what is told of it.
#[test]
fn who_takes_targets_away_is_told_of_once_then_hourly_and_when_it_is_over() {
    use Kind::{Recovered, RemovedByOthers};
    for (times, expect) in [
        (1, &[][..]),
        (2, &[]),
        (3, &[RemovedByOthers, Recovered]),
        (100, &[RemovedByOthers, Recovered]),
        (400, &[RemovedByOthers, RemovedByOthers, RemovedByOthers, Recovered]),
    ] {
        let mut world = Simulation::writer(&[OLD]);
        for time in 0..times {
            world.run(60 + time * 20, |_| Names(&[OLD]));
            world.take(OLD);
        }
        world.run(60 + times * 20 + 1200, |_| Names(&[OLD]));
        assert_eq!(world.kinds(), expect, "{times} times: {:?}", world.texts());
        let Some(first) = world.told.first() else { continue };
        assert_eq!(
            first.text,
            "orders: 10.0.1.5:5432 was removed by somebody else, 3 times in 40 s"
        );
        assert_eq!(first.old, [target(OLD)].into());
        assert!(first.reasons[0].contains("AWS Load Balancer Controller"), "{first:?}");
        let last = world.told.last().expect("the end").text.clone();
        assert_eq!(last, "orders has recovered: nobody has removed its targets for 10 min");
    }
}

/// A member that is put back is no new one.
#[test]
fn a_member_that_is_put_back_is_no_change() {
    let mut world = Simulation::reader(&MEMBERS[..1]);
    for time in 0..10 {
        world.run(60 + time * 20, |_| Names(&MEMBERS[..1]));
        world.take(MEMBERS[0]);
    }
    world.run(400, |_| Names(&MEMBERS[..1]));
    assert_eq!(world.kinds(), [Kind::RemovedByOthers], "{:?}", world.texts());
}
