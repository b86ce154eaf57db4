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
