//! The table of limits is what the program has, and each of them is tried from both sides.

use std::fs;

use rds_tether::database;
use rds_tether::planner::answer;
use rds_tether::proxy::descriptors::PAGES_MAX;
use rds_tether::telemetry::http::{PEERS, REQUEST_MAX_BYTES};
use rds_tether::{aws, dns, drill, file, function, lead, proxy, telemetry};
use testkit::pages::{Page, root};

/// An input as the page names it, its most as the page writes it, and the test that tries it: the file, and the function in it.
fn limits() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let kib = |bytes: u64| format!("{} KiB", bytes >> 10);
    let answers = (
        "tests/adapters/answers.rs",
        "what_is_at_the_limit_is_an_answer_and_what_is_above_it_is_none",
    );
    let files = (
        "tests/stories/hostile.rs",
        "a_settings_file_that_is_no_file_or_without_end_is_refused_at_once",
    );
    let others = ("tests/adapters/files.rs", "a_file_that_is_too_large_is_refused");
    let commands = (
        "tests/stories/credentials.rs",
        "of_a_command_no_more_is_read_and_told_than_it_should_say",
    );
    let servers = ("tests/doctor/hostile.rs", "no_more_of_a_server_is_read_than_it_may_say");
    let rows = [
        ("an answer of DNS", format!("{} bytes", dns::ANSWER_MAX), answers),
        (
            "aliases of an answer, one after the other",
            dns::ALIASES_MAX.to_string(),
            answers,
        ),
        ("addresses of an answer", answer::ADDRESSES_MAX.to_string(), answers),
        (
            "a reply of AWS, of a service that gives credentials, too",
            kib(aws::reply::REPLY_MAX as u64),
            ("tests/adapters/elb.rs", "a_reply_has_a_limit"),
        ),
        (
            "pages of a list of endpoint services, principals or connections (`doctor`)",
            aws::ec2::PAGES_MAX.to_string(),
            ("tests/doctor/service.rs", "a_list_has_a_limit"),
        ),
        (
            "pages of the list of target groups (`init`)",
            aws::elb::PAGES_MAX.to_string(),
            ("tests/stories/init.rs", "a_list_without_an_end_is_read_so_far"),
        ),
        ("a settings file", kib(file::SETTINGS_MAX), files),
        ("a file of certificates", kib(file::CERTIFICATES_MAX), others),
        ("`/etc/resolv.conf`", kib(file::RESOLV_CONF_MAX), others),
        (
            "a file of AWS profiles",
            kib(aws::PROFILES_MAX),
            (
                "tests/stories/credentials.rs",
                "files_of_aws_that_are_none_hold_nothing_up",
            ),
        ),
        (
            "a file with a token for AWS",
            kib(aws::TOKEN_MAX),
            (
                "tests/stories/credentials.rs",
                "files_of_aws_that_are_none_hold_nothing_up",
            ),
        ),
        ("what a `credential_process` prints", kib(aws::PRINTED_MAX), commands),
        (
            "how long a `credential_process` runs",
            format!("{} ms", aws::TIME_MAX.as_millis()),
            (
                "tests/stories/credentials.rs",
                "a_command_that_hangs_is_ended_with_its_wait",
            ),
        ),
        (
            "a message of a database that `doctor` or `lead` asks",
            kib(database::MESSAGE_MAX as u64),
            servers,
        ),
        (
            "all that such a database says; for `lead`, in one answer",
            kib(database::CONVERSATION_MAX as u64),
            servers,
        ),
        (
            "iterations of SCRAM that such a database asks for",
            database::ITERATIONS_MAX.to_string(),
            (
                "src/database/conversation.rs",
                "just_below_each_limit_is_heard_and_just_above_is_not",
            ),
        ),
        (
            "a file with a password for `lead`",
            kib(lead::PASSWORD_MAX),
            ("src/lead/mod.rs", "a_password_is_the_first_line_of_a_file"),
        ),
        (
            "records of an event",
            function::event::RECORDS_MAX.to_string(),
            (
                "tests/events/limits.rs",
                "a_batch_is_read_to_its_end_or_taken_for_everything",
            ),
        ),
        (
            "envelopes inside envelopes of an event",
            function::event::DEPTH_MAX.to_string(),
            (
                "tests/events/limits.rs",
                "envelopes_are_opened_to_a_depth_and_no_further",
            ),
        ),
        (
            "a JSON text of events for [`drill`](drill.md)",
            kib(drill::event::TEXT_MAX as u64),
            ("src/drill/event.rs", "what_is_no_json_or_has_no_end_is_told"),
        ),
        (
            "changes of one thing that a `drill` remembers",
            drill::record::CHANGES_MAX.to_string(),
            ("src/drill/record.rs", "a_flutter_takes_no_more_room_than_it_may"),
        ),
        (
            "a request for a [page](status.md#over-http)",
            kib(REQUEST_MAX_BYTES as u64),
            ("tests/proxy/crowd.rs", "a_request_has_a_limit"),
        ),
        (
            "connections for pages at once",
            PAGES_MAX.to_string(),
            ("tests/proxy/crowd.rs", "so_many_connections_and_one_more"),
        ),
        (
            "connections for pages of one address",
            (PAGES_MAX / PEERS).to_string(),
            ("tests/proxy/crowd.rs", "so_many_connections_and_one_more"),
        ),
        (
            "what a client of a proxy says before the database takes it",
            kib(proxy::UNANSWERED_MAX_BYTES),
            ("tests/proxy/held.rs", "a_client_that_waits_may_say_so_much"),
        ),
        (
            "lines of the log for a target group",
            format!("{} a minute", telemetry::journal::LINES_MAX),
            ("tests/stories/hostile.rs", "what_names_do_does_not_fill_the_log"),
        ),
        (
            "spans of time that the [page](status.md#the-page) draws of a target group or proxy, for an hour",
            telemetry::timeline::SPANS_MAX.to_string(),
            (
                "src/telemetry/timeline.rs",
                "what_is_remembered_is_bounded_and_an_hour_old_at_most_but_for_the_last_change",
            ),
        ),
    ];
    rows.map(|(input, most, (path, test))| (input, most, path, test)).into()
}

#[test]
fn the_page_of_limits_has_every_limit_and_each_is_tried() {
    let page = Page::read("docs/limits.md");
    let rows: Vec<Vec<&str>> = (page.text.lines())
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let found: Vec<(&str, &str)> = rows[1..].iter().map(|row| (row[0], row[1])).collect();
    let limits = limits();
    let wanted: Vec<(&str, &str)> = limits.iter().map(|(input, most, ..)| (*input, most.as_str())).collect();
    assert_eq!(found, wanted);
    for (input, _, path, test) in &limits {
        let source = fs::read_to_string(root().join(path)).unwrap();
        assert!(
            source.contains(&format!("fn {test}(")),
            "{input}: {path} has no test {test}"
        );
    }
}
