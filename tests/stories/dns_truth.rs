//! What DNS says, in all its moods: changes, flaps, failures, samples, lies.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use testkit::dns::{self, Answered, Behaviour, RecordType};
use testkit::elb::{Call, Group};
use testkit::settings::{table, target_group};

use super::world::*;

/// The writes without their zones.
fn writes(world: &World) -> Vec<String> {
    let plain = |write: String| write.split('@').next().unwrap_or_default().to_owned();
    world.writes().into_iter().map(plain).collect()
}

/// Waits for so many more queries about a name.
#[track_caller]
fn wait_for_more_queries(dns: &dns::Server, host: &str, more: usize) {
    let wanted = dns.count(host) + more;
    assert!(
        dns.wait_for_queries(host, wanted, PATIENCE),
        "no {wanted} queries for {host}"
    );
}

/// When answers that name the address were given.
fn answers_naming(dns: &dns::Server, ip: &str) -> Vec<Instant> {
    let ip: IpAddr = ip.parse().expect("an address");
    let names =
        |answered: &Answered| matches!(answered, Answered::Message { addresses, .. } if addresses.contains(&ip));
    let queries = dns.queries().into_iter();
    queries
        .filter(|query| names(&query.answered))
        .map(|query| query.at)
        .collect()
}

/// No address was removed sooner than `forget` after an answer that named it.
#[track_caller]
fn assert_forgotten_before_removed(world: &World, forget: Duration) {
    for call in world
        .elb
        .writes()
        .iter()
        .filter(|call| call.action == "DeregisterTargets")
    {
        for target in &call.targets {
            let named = answers_naming(&world.dns, &target.id).into_iter();
            if let Some(last) = named.filter(|at| *at < call.at).max() {
                assert!(
                    call.at - last >= forget,
                    "{} was named {:?} before",
                    target.id,
                    call.at - last
                );
            }
        }
    }
}

fn call_at(world: &World, action: &str, ip: &str) -> Instant {
    let calls = world.elb.calls();
    let call = calls.iter().find(|call| is(call, action, ip));
    call.unwrap_or_else(|| panic!("no {action} of {ip}:\n{}", world.story()))
        .at
}

fn is_registered(world: &World, ip: &str) -> bool {
    world.registered().contains(&format!("{ip}:5432"))
}

// Changes

/// Fails if nobody looks after the start, if one sighting is not enough, or if the swap is not add before remove.
#[test]
fn a_change_that_no_event_tells_of_is_followed() {
    let world = World::settled();
    let daemon = Daemon::start(world.bound("run").args(["--forget", "3s"]));
    daemon.wait_for_log(&["settled"]);
    wait_for_more_queries(&world.dns, WRITER, 2);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));

    world.wait("the new address is registered", |calls| {
        count(calls, "Register", NEW) > 0
    });
    let registered_at = call_at(&world, "Register", NEW);
    let sightings = answers_naming(&world.dns, NEW).into_iter();
    let sightings = sightings.filter(|at| *at < registered_at).count();
    assert!(sightings <= 3, "registered at sighting {sightings} only");

    world.wait("the old one is removed", |calls| count(calls, "Deregister", OLD) > 0);
    daemon.wait_for_log(&["converged"]);
    assert_eq!(writes(&world), ["Register 10.0.2.7:5432", "Deregister 10.0.1.5:5432"]);
    assert_eq!(world.registered(), ["10.0.2.7:5432"]);
    assert_eq!(world.elb.lowest_registered(&world.arn), 1);
    assert_forgotten_before_removed(&world, Duration::from_secs(3));
}

/// Fails if every flip swaps targets, or if being named again does not reset the clock of an absence.
fn flap_that_ends_on(winner: &str, loser: &str) {
    let world = World::settled();
    let daemon = Daemon::start(world.bound("run").args(["--forget", "4s"]));
    daemon.wait_for_log(&["settled"]);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.wait("the new address is registered", |calls| {
        count(calls, "Register", NEW) > 0
    });
    for flap in [OLD, NEW, OLD, winner] {
        world.dns.set(WRITER, Behaviour::a(flap, 1));
        wait_for_more_queries(&world.dns, WRITER, 2);
    }

    world.wait("the loser is removed", |calls| count(calls, "Deregister", loser) > 0);
    daemon.wait_for_log(&["converged"]);
    assert_eq!(
        writes(&world),
        ["Register 10.0.2.7:5432".to_owned(), format!("Deregister {loser}:5432")]
    );
    assert_eq!(world.registered(), [format!("{winner}:5432")]);
    assert_eq!(world.elb.lowest_registered(&world.arn), 1);
    assert_forgotten_before_removed(&world, Duration::from_secs(4));
}

#[test]
fn a_flap_that_ends_on_the_new_address_swaps_once() {
    flap_that_ends_on(NEW, OLD);
}

#[test]
fn a_flap_that_ends_on_the_old_address_takes_the_new_one_back_out() {
    flap_that_ends_on(OLD, NEW);
}

/// Fails if a draining target is taken for a registered one: then nothing would serve after the failback.
#[test]
fn a_failback_revives_the_target_that_still_drains() {
    let world = World::settled();
    let daemon = Daemon::start(world.bound("run").args(["--forget", "1s"]));
    daemon.wait_for_log(&["settled"]);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.wait("failed over", |calls| count(calls, "Deregister", OLD) > 0);
    let draining = world.elb.targets(&world.arn);
    assert!(
        draining
            .iter()
            .any(|target| target.ip == OLD && target.state == "draining"),
        "{draining:?}"
    );

    world.dns.set(WRITER, Behaviour::a(OLD, 1));
    world.wait("the old address is wanted again", |calls| {
        count(calls, "Register", OLD) > 0
    });
    world.wait("failed back", |calls| count(calls, "Deregister", NEW) > 0);
    assert_eq!(
        writes(&world),
        [
            "Register 10.0.2.7:5432",
            "Deregister 10.0.1.5:5432",
            "Register 10.0.1.5:5432",
            "Deregister 10.0.2.7:5432",
        ]
    );
    assert_eq!(world.registered(), ["10.0.1.5:5432"]);
    assert!(world.elb.lowest_registered(&world.arn) >= 1);
}

/// Fails if `plan` and `sync` take a draining target for a registered one and call the group settled.
#[test]
fn a_draining_target_that_dns_names_is_a_change() {
    let world = World::settled();
    world.elb.put_target(&world.arn, NEW, 5432);
    world.elb.model(|model, now| {
        let old = testkit::elb::TargetDescription::new(OLD, 5432);
        model.deregister(&world.arn, &[old], now).expect("not refused");
    });
    assert_says(
        &assert_exit(&mut world.bound("plan"), 2),
        &["register    10.0.1.5:5432", "draining"],
    );
    assert_exit(world.bound("sync").args(["--forget", "0s"]), 0);
    assert_eq!(world.registered(), ["10.0.1.5:5432"]);
}

// Failures to answer

/// Every way in which an answer can be none, and the words in which an operator reads of it.
fn ways_to_answer_nothing() -> [(&'static str, Behaviour, &'static str); 9] {
    let answer = || Behaviour::a(NEW, 1);
    [
        ("NXDOMAIN", Behaviour::NxDomain, "NXDOMAIN"),
        ("NODATA", Behaviour::NoData, "no data"),
        ("NODATA without SOA", Behaviour::NoDataBare, "no data"),
        ("SERVFAIL", Behaviour::ServFail, "SERVFAIL"),
        ("REFUSED", Behaviour::Refused, "REFUSED"),
        ("silence", Behaviour::Silent, "no answer in time"),
        ("garbage", Behaviour::Malformed, "malformed answer"),
        ("a wrong id", answer().wrong_id(), "no answer in time"),
        ("a wrong name", answer().wrong_name(), "no answer in time"),
    ]
}

/// Runs one check for each way to answer nothing, all at once, because most of each is waiting.
fn for_each_failure(check: impl Fn(Behaviour, &str) + Sync) {
    thread::scope(|scope| {
        for (name, behaviour, cause) in ways_to_answer_nothing() {
            let check = &check;
            let builder = thread::Builder::new().name(name.to_owned());
            builder
                .spawn_scoped(scope, move || check(behaviour, cause))
                .expect("a thread");
        }
    });
}

/// Fails if any failure counts as "no addresses", which would empty the group.
#[test]
fn a_plan_that_cannot_see_removes_nothing_and_names_the_cause() {
    for_each_failure(|failure, cause| {
        let world = World::settled();
        world.elb.put_target(&world.arn, NEW, 5432);
        world.dns.set(WRITER, failure);
        let text = assert_exit(world.bound("plan").args(["--forget", "0s"]), 69);
        assert_says(&text, &["cannot be resolved, so nothing is removed", cause, WRITER]);
        assert!(!text.contains("would change"), "{text}");
        assert_eq!(world.writes(), [""; 0]);
    });
}

/// Fails if the clock of a removal can run out while nobody knows what DNS says, or if sight regained is not used.
#[test]
fn nothing_is_removed_while_blind_however_long_that_lasts() {
    for_each_failure(|failure, cause| {
        let world = World::new();
        world.dns.set(WRITER, Behaviour::a(NEW, 1));
        world.elb.put_target(&world.arn, OLD, 5432);
        world.elb.put_target(&world.arn, NEW, 5432);
        let daemon = Daemon::start(world.bound("run").args(["--forget", "6s", "--interval", "1s"]));
        daemon.wait_for_log(&["has not been named"]);
        let named = Instant::now();
        world.dns.set(WRITER, failure);
        let warning = daemon.wait_for_log(&["WARN", "cannot be resolved, so nothing is removed"]);
        assert_says(&warning, &[cause, WRITER]);
        while named.elapsed() < Duration::from_secs(9) {
            wait_for_more_queries(&world.dns, WRITER, 1);
        }
        assert_eq!(world.writes(), [""; 0]);
        assert_eq!(world.registered(), ["10.0.1.5:5432", "10.0.2.7:5432"]);

        world.dns.set(WRITER, Behaviour::a(NEW, 1));
        daemon.wait_for_log(&["recovered"]);
        world.wait("sight regained, the removal goes on", |calls| {
            count(calls, "Deregister", OLD) > 0
        });
        assert_eq!(writes(&world), ["Deregister 10.0.1.5:5432"]);
    });
}

/// Fails if a name that is gone empties the group, or if nobody is told.
#[test]
fn a_name_that_vanishes_keeps_its_targets_and_is_warned_of() {
    let world = World::settled();
    let daemon = Daemon::start(world.bound("run").args(["--forget", "0s"]));
    daemon.wait_for_log(&["settled"]);
    world.dns.set(WRITER, Behaviour::NxDomain);
    daemon.wait_for_log(&["WARN", WRITER, "NXDOMAIN"]);
    wait_for_more_queries(&world.dns, WRITER, 3);
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert_eq!(world.writes(), [""; 0]);
    assert!(is_registered(&world, OLD));
}

/// Fails if an endpoint that cannot be resolved counts as one without addresses beside others that can.
#[test]
fn one_blind_endpoint_of_several_stops_removals_but_not_registrations() {
    let world = World::new();
    world.elb.put_target(&world.arn, "10.0.3.3", 5432);
    world.elb.put_target(&world.arn, OLD, 5432);
    world.dns.set(WRITER, Behaviour::a(NEW, 1));
    world.dns.set("other.example.com", Behaviour::ServFail);
    let mut command = world.bound("sync");
    command.args([
        "--endpoint",
        "other.example.com:5432",
        "--forget",
        "0s",
        "--timeout",
        "5s",
    ]);
    let text = assert_exit(&mut command, 69);
    assert_says(&text, &["other.example.com:5432 cannot be resolved", "SERVFAIL"]);
    assert_eq!(writes(&world), ["Register 10.0.2.7:5432"]);
    assert_eq!(world.registered().len(), 3);
}

/// Fails if a silent server eats more than a look's share of time, or `sync` overruns the time it was given.
#[test]
fn a_silent_name_server_costs_a_bounded_time() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::Silent);
    for (verb, args, at_most) in [
        ("plan", &[][..], Duration::from_secs(8)),
        ("sync", &["--timeout", "3s"], Duration::from_secs(8)),
        ("plan", &["--timeout", "1s"], Duration::from_secs(6)),
    ] {
        let start = Instant::now();
        let text = assert_exit(world.bound(verb).args(args), 69);
        let took = start.elapsed();
        assert!(took < at_most, "{verb} {args:?} took {took:?}:\n{text}");
        assert_says(&text, &["=> DNS: ", "because no name server answers in time"]);
        assert!(
            !text.contains("ELB") && !text.contains("AWS is not"),
            "{verb} {args:?}:\n{text}"
        );
    }
    assert_eq!(world.writes(), [""; 0]);
}

/// Fails if only one of the name servers is asked, or if the failure of one decides.
#[test]
fn one_good_name_server_is_enough_in_any_order() {
    for (failure, cause) in [
        (Behaviour::Silent, "no answer in time"),
        (Behaviour::ServFail, "SERVFAIL"),
        (Behaviour::NxDomain, "NXDOMAIN"),
    ] {
        let world = World::settled();
        let bad = dns::Server::start();
        bad.set(WRITER, failure);
        let servers = [bad.addr().to_string(), world.dns.addr().to_string()];
        for order in [[0, 1], [1, 0]] {
            let mut command = bare_command(&world.elb.url());
            command.arg("plan");
            for index in order {
                command.args(["--nameserver", &servers[index]]);
            }
            let text = assert_exit(bind(&mut command, &format!("{WRITER}:5432"), &world.arn), 0);
            let line = text.lines().find(|line| line.contains(&servers[0]));
            assert!(
                line.is_some_and(|line| line.contains(cause)),
                "{cause} is not noted:\n{text}"
            );
        }
        assert_eq!((bad.count(WRITER) >= 2, world.dns.count(WRITER)), (true, 2));
    }
}

/// Fails if servers that disagree make targets come and go, what any of them names is not wanted, or it is called settled.
#[test]
fn name_servers_that_disagree_are_both_believed_and_neither_is_the_truth() {
    let world = World::settled();
    let other = dns::Server::start();
    other.set(WRITER, Behaviour::a(NEW, 1));
    let other = other.addr().to_string();
    let mut command = world.bound("sync");
    command.args(["--nameserver", &other, "--forget", "0s", "--timeout", "3s"]);
    let text = assert_exit(&mut command, 4);
    assert_says(
        &text,
        &[
            "is not the same to all name servers",
            &format!("{other} last said {NEW}"),
        ],
    );
    assert_eq!(writes(&world), ["Register 10.0.2.7:5432"]);
    assert_eq!(world.registered(), ["10.0.1.5:5432", "10.0.2.7:5432"]);
}

/// Fails if a minority is believed, or if what a minority names is counted absent.
#[test]
fn with_a_majority_quorum_a_single_name_server_changes_nothing() {
    let world = World::settled();
    world.elb.put_target(&world.arn, "10.0.3.3", 5432);
    let servers = [dns::Server::start(), dns::Server::start(), dns::Server::start()];
    servers[0].set(WRITER, Behaviour::a(OLD, 1));
    servers[1].set(WRITER, Behaviour::a(OLD, 1));
    servers[2].set(WRITER, Behaviour::all(&[OLD, NEW, "10.0.3.3"], 1));
    let addresses = servers.each_ref().map(|server| server.addr().to_string());
    let scratch = Scratch::new();
    let dns = table("[dns]")
        .set("quorum", "majority")
        .set("nameservers", addresses.to_vec());
    let path = scratch.write(
        "config.toml",
        &target_group(&world.arn, &format!("{WRITER}:5432")).and(dns),
    );
    let mut command = bare_command(&world.elb.url());
    command
        .args(["sync", "--forget", "0s", "--timeout", "4s", "--config"])
        .arg(path);
    // A target that only one server names is neither settled nor to be removed: the time runs out.
    let text = assert_exit(&mut command, 4);
    assert_says(
        &text,
        &[
            "10.0.2.7:5432 is given by too few name servers",
            "10.0.3.3:5432 is given by too few",
        ],
    );
    assert_eq!(world.writes(), [""; 0]);
}

/// Fails if one name server makes a majority of two because it is named twice.
#[test]
fn a_name_server_that_is_named_twice_is_one() {
    let world = World::settled();
    let servers = [dns::Server::start(), dns::Server::start()];
    servers[0].set(WRITER, Behaviour::a(OLD, 1));
    servers[1].set(WRITER, Behaviour::all(&[OLD, NEW], 1));
    let [one, other] = servers.each_ref().map(|server| server.addr());
    let mapped = format!("[::ffff:{}]:{}", other.ip(), other.port());
    for twice in [other.to_string(), mapped] {
        let scratch = Scratch::new();
        let dns = table("[dns]")
            .set("quorum", "majority")
            .set("nameservers", vec![one.to_string(), other.to_string(), twice.clone()]);
        let path = scratch.write(
            "config.toml",
            &target_group(&world.arn, &format!("{WRITER}:5432")).and(dns),
        );
        let output = finish(bare_command(&world.elb.url()).args(["plan", "--config"]).arg(path));
        let text = said(&output);
        assert_says(
            &text,
            &[
                &format!("name server {other} is named more than once: it is one"),
                "10.0.2.7:5432 is given by too few name servers",
            ],
        );
        assert!(!text.contains("would change"), "{twice}: {text}");
    }
}

// Addresses that must not become targets

/// Fails if the old target goes although nothing legal came in its place.
#[test]
fn a_public_address_is_not_registered_and_the_old_target_stays() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a("54.77.1.2", 1));
    for (verb, args) in [("plan", &[][..]), ("sync", &["--timeout", "4s"])] {
        let text = assert_exit(world.bound(verb).args(["--forget", "0s"]).args(args), 3);
        assert_says(
            &text,
            &["54.77.1.2", "publicly routable", "VPC's resolver", "--nameserver"],
        );
    }
    assert_eq!(world.writes(), [""; 0]);
    assert_eq!(world.registered(), ["10.0.1.5:5432"]);
}

/// Fails if one bad address spoils the answer, or if it is sent to ELB together with the good one.
#[test]
fn the_private_address_beside_a_public_one_is_registered() {
    let world = World::new();
    world.dns.set(WRITER, Behaviour::all(&["54.77.1.2", NEW], 1));
    let text = assert_exit(world.bound("sync").args(["--timeout", "4s"]), 3);
    assert_says(&text, &["54.77.1.2:5432 is publicly routable"]);
    assert_eq!(writes(&world), ["Register 10.0.2.7:5432"]);
}

// Readers

const MEMBERS: [&str; 3] = ["10.0.1.11", "10.0.2.12", "10.0.3.13"];

/// Fails if every answer of a reader endpoint swaps the targets, or costs calls to AWS.
#[test]
fn the_members_of_a_reader_endpoint_gather_and_stay() {
    let world = World::new();
    world.dns.set(READER, Behaviour::random(&MEMBERS, 1, 7));
    let mut command = world.command("run");
    let daemon = Daemon::start(bind(&mut command, &format!("{READER}:5432"), &world.arn));
    let all_gathered = |calls: &[Call]| MEMBERS.iter().all(|member| count(calls, "Register", member) > 0);
    world.wait("every member is registered", all_gathered);
    daemon.wait_for_log(&["converged"]);
    let (looks_before, queries_before) = (looks(&world.elb.calls()), world.dns.count(READER));
    wait_for_more_queries(&world.dns, READER, 12);

    let mut expected = MEMBERS.map(|member| format!("Register {member}:5432"));
    let mut written = writes(&world);
    expected.sort();
    written.sort();
    assert_eq!(written, expected, "each member once, nothing else");
    let looked = looks(&world.elb.calls()) - looks_before;
    let asked = world.dns.count(READER) - queries_before;
    // After a write the group is looked at four more times; that may fall into this time.
    assert!(
        looked <= 5,
        "{looked} looks at the group for {asked} at DNS:\n{}",
        world.story()
    );
}

/// Fails if a sample of the members can never be the whole truth: such a sync would wait for ever.
#[test]
fn a_sync_of_a_reader_endpoint_ends_when_every_member_has_been_named() {
    let world = World::new();
    for member in MEMBERS {
        world.elb.put_target(&world.arn, member, 5432);
    }
    let answers = MEMBERS.map(|member| Behaviour::a(member, 1));
    world.dns.set(READER, Behaviour::Sequence(answers.into()));
    let mut command = world.command("sync");
    bind(&mut command, &format!("{READER}:5432"), &world.arn);
    assert_exit(command.args(["--timeout", "15s"]), 0);
    assert_eq!(world.dns.count(READER), 3, "one answer for each member");
    assert_eq!(world.writes(), [""; 0]);
}

/// Fails if a member goes after fewer answers than chance can explain, or if one that is gone stays for ever.
#[test]
fn a_reader_that_is_gone_is_removed_after_enough_answers_and_not_before() {
    let world = World::new();
    let [live, gone, _] = MEMBERS;
    let two_members = world.elb.add_group(Group::named("two-members"));
    for arn in [&world.arn, &two_members] {
        world.elb.put_target(arn, live, 5432);
        world.elb.put_target(arn, gone, 5432);
    }
    world.dns.set(READER, Behaviour::a(live, 1));
    // A kept member is no candidate, so that one group needs 14 answers and the other 28.
    let group = |arn: &str| target_group(arn, &format!("{READER}:5432"));
    let scratch = Scratch::new();
    let settings = group(&world.arn).set("keep", vec![live]).and(group(&two_members));
    let path = scratch.write("config.toml", &settings);
    let mut command = world.command("run");
    command
        .args(["--forget", "1s", "--patience", "0s", "--config"])
        .arg(path);
    let _daemon = Daemon::start(&mut command);

    world.wait("the member that is gone is removed", |calls| {
        count(calls, "Deregister", gone) > 0
    });
    let removals = world.elb.writes();
    assert_eq!(writes(&world), [format!("Deregister {gone}:5432")]);
    assert_eq!(
        removals[0].arn.as_deref(),
        Some(world.arn.as_str()),
        "28 answers are not needed yet:\n{}",
        world.story()
    );
    let answers = answers_naming(&world.dns, live).into_iter();
    let answers = answers.filter(|at| *at < removals[0].at).count();
    assert!(answers >= 14, "removed after {answers} answers");
    assert_eq!(world.elb.targets(&two_members).len(), 2);
}

/// Fails if the role is read off the configured name alone, or if the setting does not win.
#[test]
fn the_role_is_told_by_aliases_too_and_by_the_setting_above_all() {
    let world = World::settled();
    world.dns.set("db.example.com", Behaviour::cname(READER, 1));
    world.dns.set(READER, Behaviour::a(NEW, 1));
    let reader = format!("{READER}:5432");
    let waits_a_minute = "10.0.1.5:5432 stays until a current address";
    for (endpoint, role, follows) in [
        ("db.example.com:5432", None, "follows as reader"),
        (&reader, None, "follows as reader"),
        (&reader, Some("writer"), "follows as writer"),
        ("db.example.com:5432", Some("writer"), "follows as writer"),
    ] {
        let mut command = world.command("plan");
        bind(&mut command, endpoint, &world.arn);
        command.args(role.map(|role| format!("--role={role}")));
        assert_says(&assert_exit(&mut command, 2), &[follows, waits_a_minute]);
    }
    world.elb.put_target(&world.arn, NEW, 5432);
    // What a reader's answer does not name is no change; for a writer it is one.
    for (role, code) in [("reader", 0), ("writer", 2)] {
        let mut command = world.command("plan");
        bind(&mut command, "db.example.com:5432", &world.arn);
        assert_exit(command.args(["--role", role]), code);
    }
}

// Families, forms and shapes of answers

/// Fails if a group gets addresses of the other family, or if the other family's absence blinds it.
#[test]
fn each_group_takes_the_addresses_of_its_family() {
    let world = World::new();
    let six = world.elb.add_group(Group::named("orders6").ipv6());
    world.dns.set(WRITER, Behaviour::all(&[NEW, "2600:1f18:0:1::5"], 1));
    assert_exit(world.bound("sync").args(["--target-group", &six]), 0);
    let in_six: Vec<_> = world.elb.targets(&six).into_iter().map(|target| target.ip).collect();
    assert_eq!(
        (world.registered(), in_six),
        (vec!["10.0.2.7:5432".into()], vec!["2600:1f18:0:1::5".into()])
    );
    for call in world.elb.writes() {
        let is_six = call.arn.as_ref() == Some(&six);
        assert!(
            call.targets.iter().all(|target| target.id.contains(':') == is_six),
            "{}",
            world.story()
        );
    }
}

/// Fails if "no A record" counts as "no addresses" when the database has only an IPv6 address.
#[test]
fn a_name_without_an_address_of_the_family_blinds() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::a("2600:1f18:0:1::5", 1));
    assert_says(
        &assert_exit(world.bound("plan").args(["--forget", "0s"]), 69),
        &["no data"],
    );
    assert_eq!(world.writes(), [""; 0]);
}

/// Fails if a truncated answer is taken for an empty or a broken one.
#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let world = World::settled();
    let many: Vec<String> = (1..=60).map(|host| format!("10.0.2.{host}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    world.dns.set(WRITER, Behaviour::all(&many, 1).truncated());
    assert_exit(&mut world.bound("plan"), 2);
    let asked: Vec<bool> = world.dns.queries().iter().map(|query| query.tcp).collect();
    assert_eq!(asked, [false, true]);
    assert_exit(world.bound("sync").args(["--forget", "0s"]), 0);
    assert_eq!(world.registered().len(), 60);
}

/// Fails if an operator cannot see which instance a cluster name leads to.
#[test]
fn the_aliases_of_an_answer_are_shown() {
    let world = World::settled();
    let instance = "orders-1.abc123.eu-west-1.rds.amazonaws.com";
    world.dns.set(WRITER, Behaviour::cname("alias.example.com", 5));
    world.dns.set("alias.example.com", Behaviour::cname(instance, 5));
    world.dns.set(instance, Behaviour::a(OLD, 3));
    let text = assert_exit(&mut world.bound("plan"), 0);
    assert_says(
        &text,
        &[&format!("10.0.1.5  ttl 3 s  via alias.example.com -> {instance}")],
    );
}

/// Fails if aliases that lead nowhere are taken for an answer.
#[test]
fn aliases_that_lead_nowhere_blind() {
    let world = World::settled();
    world.dns.set(WRITER, Behaviour::cname("gone.example.com", 5));
    for nowhere in [
        Behaviour::NxDomain,
        Behaviour::NoData,
        Behaviour::cname(WRITER, 5),
        Behaviour::ServFail,
    ] {
        world.dns.set("gone.example.com", nowhere);
        let text = assert_exit(world.bound("plan").args(["--forget", "0s"]), 69);
        assert_says(&text, &["cannot be resolved, so nothing is removed"]);
    }
    assert_eq!(world.writes(), [""; 0]);
}

/// Fails if a slow answer is given up too early.
#[test]
fn an_answer_that_comes_late_is_still_an_answer() {
    let world = World::settled();
    world
        .dns
        .set(WRITER, Behaviour::a(OLD, 1).delayed(Duration::from_millis(700)));
    assert_exit(&mut world.bound("plan"), 0);
}

/// Fails if names are compared or asked for as they were typed.
#[test]
fn the_spelling_of_a_name_does_not_matter() {
    let world = World::settled();
    for spelling in [
        WRITER.to_uppercase(),
        format!("{WRITER}."),
        format!("{}.", WRITER.to_uppercase()),
    ] {
        let mut command = world.command("plan");
        let text = assert_exit(bind(&mut command, &format!("{spelling}:5432"), &world.arn), 0);
        assert_says(&text, &[&format!("endpoint {WRITER}:5432")]);
    }
    assert_eq!(world.dns.count(WRITER), 3, "search domains are not tried");
    assert_eq!(world.dns.queries().len(), 3);
}

/// Fails if a cluster name is told from an instance name only by whoever typed it.
#[test]
fn an_instance_endpoint_is_pointed_out() {
    let world = World::settled();
    let instance = "orders-1.abc123.eu-west-1.rds.amazonaws.com";
    world.dns.set(instance, Behaviour::a(OLD, 1));
    let mut command = world.command("plan");
    let text = assert_exit(bind(&mut command, &format!("{instance}:5432"), &world.arn), 0);
    assert_says(&text, &["follows one instance", "use the cluster endpoint"]);
}

// Several bindings

/// Fails if each binding asks DNS for itself, or if the port of one reaches the other.
#[test]
fn bindings_of_one_name_share_its_lookups() {
    let world = World::new();
    let other = world.elb.add_group(Group::named("replica").port(6432));
    let group = |arn: &str, port| target_group(arn, &format!("{WRITER}:{port}"));
    let scratch = Scratch::new();
    let path = scratch.write("config.toml", &group(&world.arn, 5432).and(group(&other, 6432)));
    let daemon = Daemon::start(world.command("run").arg("--config").arg(path));
    world.wait("both are registered", |calls| {
        [&world.arn, &other].iter().all(|arn| {
            let of_group = |call: &&Call| call.arn.as_ref() == Some(arn);
            calls.iter().filter(of_group).any(|call| is(call, "Register", OLD))
        })
    });
    daemon.wait_for_log(&["orders", "converged"]);
    daemon.wait_for_log(&["replica", "converged"]);
    let mut written = writes(&world);
    written.sort();
    assert_eq!(written, ["Register 10.0.1.5:5432", "Register 10.0.1.5:6432"]);

    wait_for_more_queries(&world.dns, WRITER, 4);
    let mut queries = world.dns.queries();
    // A datagram that is sent again is no other look.
    queries.dedup_by_key(|query| query.id);
    assert!(queries.iter().all(|query| query.kind == RecordType::A));
    for pair in queries.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart > Duration::from_millis(800), "two looks within {apart:?}");
    }
}
