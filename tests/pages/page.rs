//! `/`: the page for people.

use testkit::dns::Behaviour;
use testkit::elb::Failure;

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
}

/// Fails if a browser would ask anybody else for anything, or run anything.
#[test]
fn the_page_brings_everything_it_needs() {
    let site = Site::settled();
    let answer = site.get("/");
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(
        answer.headers["content-security-policy"],
        "default-src 'none'; style-src 'unsafe-inline'"
    );
    for foreign in [
        "http://",
        "https://",
        "//cdn",
        "src=",
        "<script",
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
    assert!(!page.contains("<script") && !page.contains("<b "), "{page}");
    assert_eq!(page.matches("alert(1)").count(), 1, "said once: {page}");
}
