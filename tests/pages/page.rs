//! `/`: the page for people.

use rds_tether::telemetry::page::POLICY;
use testkit::dns::Behaviour;
use testkit::elb::{Failure, Group};
use testkit::http::ask;
use testkit::settings::target_group;

use super::site::Site;
use super::world::*;

/// Fails if the page lacks what people look for.
#[test]
fn the_page_says_what_the_document_says() {
    let site = Site::settled();
    site.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let page = site.wait_for("the change is shown", |site| {
        let page = site.get("/").body;
        (page.contains("converged after") && page.contains("accepted a connection")).then_some(page)
    });
    assert_says(
        &page,
        &[
            "<title>settled",
            "orders",
            &site.world.arn,
            WRITER,
            NEW,
            "names it",
            "ready",
            "1 s",
            "status (JSON)".split(' ').next().unwrap(),
        ],
    );
    if let Some(path) = std::env::var_os("RDS_TETHER_TEST_KEEP_PAGE") {
        std::fs::write(path, page).unwrap();
    }
}

/// Fails if the page says that DNS does not name a target while nobody knows.
#[test]
fn what_dns_named_last_is_shown_while_it_fails() {
    let site = Site::settled();
    site.world.elb.put_target(&site.world.arn, "10.0.3.9", 5432);
    site.wait_for_status("/target_groups/0/targets/0/dns", "named");
    site.world.dns.set(WRITER, Behaviour::ServFail);
    let status = site.wait_for_status("/target_groups/0/targets/0/dns", "unknown");
    assert_eq!(status["target_groups"][0]["targets"][0]["last_named"], true);
    assert_eq!(status["target_groups"][0]["targets"][0]["named"], false);
    assert_eq!(status["target_groups"][0]["endpoints"][0]["last_addresses"][0], OLD);
    let page = site.get("/").body;
    assert_says(&page, &["not known now, last named it"]);
    assert!(!page.contains("<td>does not name it"), "{page}");
}

/// Fails if the page is green, or the metric 0, while nobody gets through.
#[test]
fn a_group_that_serves_nobody_is_red() {
    let world = World::settled();
    let site = Site::of(world, "");
    site.wait_for_status("/settled", true);
    let nothing = |reason: &str| {
        let scrape = super::scrape::Scrape::of(&site);
        scrape.value("rds_tether_nothing_serves", &[("reason", reason)])
    };
    assert_eq!((nothing("unhealthy"), nothing("unused")), (Some(0.0), Some(0.0)));
    let health = |state: &str| {
        site.world
            .elb
            .set_health(&site.world.arn, OLD, 5432, state, "Target.FailedHealthChecks");
        // A restart with the same settings looks anew.
        site.daemon.signal("HUP");
        site.world.dns.set(WRITER, Behaviour::all(&[OLD, NEW], 1));
        site.world
            .elb
            .set_health(&site.world.arn, NEW, 5432, state, "Target.FailedHealthChecks");
    };
    health("unhealthy");
    let status = site.wait_for_status("/target_groups/0/nothing_serves/reason", "unhealthy");
    assert_eq!((&status["settled"], &status["exit_code"]), (&false.into(), &2.into()));
    let group = &status["target_groups"][0];
    assert!(group["nothing_serves"]["since"].is_string(), "{group:#}");
    assert_says(group["verdict"].as_str().unwrap(), &["nothing serves: "]);
    let page = site.get("/").body;
    assert_says(
        &page,
        &[
            "<title>nothing serves",
            "<span class=no>",
            "<span class=no>unhealthy</span>",
            "<p class=no>nothing serves: ",
        ],
    );
    assert_eq!((nothing("unhealthy"), nothing("unused")), (Some(1.0), Some(0.0)));
    assert_says(&status["changes"].to_string(), &["nothing serves: "]);
}

/// Fails if a browser would ask anybody else for anything, or run anything.
#[test]
fn the_page_brings_everything_it_needs() {
    let site = Site::settled();
    let answer = site.get("/");
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers["content-security-policy"], *POLICY);
    assert_says(
        &POLICY,
        &[
            "default-src 'none'",
            "script-src 'sha256-",
            "style-src 'sha256-",
            "connect-src 'self'",
        ],
    );
    assert!(!POLICY.contains("unsafe"), "{}", *POLICY);
    assert_eq!(answer.body.matches("<script").count(), 1, "{}", answer.body);
    for foreign in [
        "http://",
        "https://",
        "//cdn",
        "src=",
        "<link",
        "<img",
        "@import",
        "url(",
        "javascript:",
    ] {
        assert!(!answer.body.contains(foreign), "{foreign} in {}", answer.body);
    }
    // Behind a path of another server the links must lead below that path.
    assert!(!answer.body.contains("href=\"/"), "{}", answer.body);
}

/// Fails if what somebody else says can become part of the page.
#[test]
fn what_others_say_stays_text() {
    let world = World::settled();
    let message = "<script>alert(1)</script> & \"quoted\" <b onmouseover='x'>";
    let failure = Failure::code(403, "AccessDenied", message);
    world.elb.fail("DescribeTargetHealth", failure, None);
    let site = Site::of(world, "");
    let page = site.wait_for("the error is shown", |site| {
        let page = site.get("/").body;
        page.contains("alert(1)").then_some(page)
    });
    assert_says(
        &page,
        &["&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot;"],
    );
    assert!(page.matches("<script").count() == 1 && !page.contains("<b o"), "{page}");
    assert_eq!(page.matches("alert(1)").count(), 1, "said once: {page}");
}

/// Fails if what was seen of a failover cannot be read off the page.
#[test]
fn a_failover_is_drawn_with_its_durations() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    let calm = site.get("/").body;
    assert_says(
        &calm,
        &["since the first look", "<svg class=plot", "<rect class=healthy"],
    );
    assert!(!calm.contains("The last change, "), "{calm}");
    site.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    let page = site.wait_for("the failover is drawn", |site| {
        let page = site.get("/").body;
        let is_whole = page.contains("healthy </tspan>")
            && page.contains("deregistered ")
            && page.contains("<rect class=draining");
        is_whole.then_some(page)
    });
    let (_, close_up) = page.split_once("The last change, ").unwrap();
    let (close_up, hour) = close_up.split_once("since the first look").unwrap();
    assert_says(
        close_up,
        &[
            &format!(">{OLD}:5432</text>"),
            &format!(">{NEW}:5432</text>"),
            "<rect class=named",
            "<rect class=registered",
            "<title>DNS from ",
        ],
    );
    let registered = close_up.split("registered </tspan>").nth(1).unwrap();
    let registered = registered.split('<').next().unwrap();
    assert!(
        registered.ends_with(" after DNS") && registered.starts_with(|char: char| char.is_ascii_digit()),
        "{registered}"
    );
    assert_says(hour, &["<rect class=draining", "text-anchor="]);
}

/// A site with another target group whose endpoint is SERVFAIL, and a third in which a target waits for its removal for a minute.
fn with_a_failing_group() -> Site {
    let world = World::settled();
    let arn = world.elb.add_group(Group::named("reports"));
    let endpoint = "failing.cluster-abc123.eu-west-1.rds.amazonaws.com";
    world.dns.set(endpoint, Behaviour::ServFail);
    let waiting = world.elb.add_group(Group::named("billing"));
    world.elb.put_target(&waiting, OLD, 5432);
    world.elb.put_target(&waiting, "10.0.3.9", 5432);
    let more = target_group(&arn, &format!("{endpoint}:5432")).and(target_group(&waiting, &format!("{WRITER}:5432")));
    let site = Site::with(world, "", &more.to_string());
    site.wait_for("all have been looked at", |site| {
        let status = site.status();
        let groups = status["target_groups"].as_array().unwrap();
        let is_seen = groups
            .iter()
            .filter(|group| group["endpoints"][0]["at"].is_string())
            .count()
            == 3;
        (is_seen && status["proxies"][0]["ready"] == true).then_some(())
    });
    site
}

/// Fails if what is wrong does not stand first, or looks like what only waits.
#[test]
fn what_is_wrong_stands_first_and_waiting_looks_otherwise() {
    let site = with_a_failing_group();
    let page = site.get("/").body;
    assert_says(
        &page,
        &[
            "<title>1 in trouble on ",
            "3 target groups: <b class=no>1 in trouble</b>, <b class=wait>1 waiting</b>, <b class=ok>1 well</b>.",
            "1 proxy: <b class=ok>1 well</b>.",
            " · eu-west-1</small>",
            "<section class=\"card no\" id=\"group-reports\"",
            "<section class=\"card wait\" id=\"group-billing\"",
            "<section class=\"card ok\" id=\"group-orders\"",
            "reports trouble failing.cluster-abc123",
        ],
    );
    let place = |what: &str| page.find(what).unwrap_or_else(|| panic!("no {what} in {page}"));
    assert!(place("id=\"group-reports\"") < place("id=\"group-billing\""));
    assert!(place("id=\"group-billing\"") < place("id=\"group-orders\""));
    assert!(place("id=\"group-orders\"") < place("id=\"proxy-127.0.0.1:"));
}

/// Fails if a target group or a proxy has no page of its own, or that is open to those whom the whole is not open to.
#[test]
fn each_has_a_page_of_its_own() {
    let site = with_a_failing_group();
    let own = site.get("/group/reports").body;
    assert_says(
        &own,
        &[
            "id=\"group-reports\"",
            "since the first look",
            "SERVFAIL",
            "href=\"../\"",
            "href=\"../status\"",
        ],
    );
    assert!(!own.contains("id=\"group-orders\""), "{own}");
    let listen = site.status()["proxies"][0]["listen"].as_str().unwrap().to_owned();
    let own = site.get(&format!("/proxy/{listen}")).body;
    assert_says(
        &own,
        &[
            &format!("id=\"proxy-{listen}\""),
            ">sessions</text>",
            "<path class=sessions",
            ">ready</text>",
        ],
    );
    for path in ["/group/nobody", "/group/", "/proxy/127.0.0.1:1"] {
        let answer = ask(site.http, "GET", path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
}

/// Fails if a group's own failures are not among the last changes, are told again and again, or their end is not.
#[test]
fn failures_are_among_the_last_changes() {
    let site = Site::settled();
    site.wait_for_status("/settled", true);
    site.world.dns.set(WRITER, Behaviour::ServFail);
    let of = |status: &serde_json::Value, begins: &str| {
        let changes = status["changes"].as_array().unwrap().iter();
        let texts = changes.filter(|change| change["subject"] == "orders");
        texts
            .filter(|change| change["text"].as_str().unwrap().starts_with(begins))
            .count()
    };
    let begins = format!("{WRITER}:5432 cannot be resolved");
    site.wait_for("the failure is told", |site| {
        (of(&site.status(), &begins) == 1).then_some(())
    });
    site.world.dns.set(WRITER, Behaviour::a(OLD, 1));
    let ends = format!("no longer: {begins}");
    let status = site.wait_for("its end is told", |site| {
        let status = site.status();
        (of(&status, &ends) == 1).then_some(status)
    });
    assert_eq!(of(&status, &begins), 1, "{status:#}");
    let page = site.get("/").body;
    assert_says(&page, &["Its last changes", &ends]);
}
