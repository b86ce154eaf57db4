//! The planner is described by what is absent from it.

use std::fs;
use std::path::{Path, PathBuf};

const TIME: &str = "take the time as an argument of type time::Timestamp";
const WAITING: &str = "return what is to be done; the shell round the planner waits and does";
const GROUP: &str = "take the group as planner::target values; elb.rs makes them";
const DNS: &str = "take what DNS said as planner::answer values; dns.rs makes them";
const TELLING: &str = "put it into the plan as a hold or a note; the shell shows those";
const CHANCE: &str = "draw in the shell and hand the number in";
const SETTING: &str = "add it to planner::policy; the shell reads settings and files";
const ORDER: &str = "its order differs from run to run: take BTreeMap or BTreeSet";

/// What must not be mentioned, and what to do instead.
const ABSENT: [(&str, &str); 26] = [
    ("Instant", TIME),
    ("SystemTime", TIME),
    ("Timestamp::now", TIME),
    ("Zoned::now", TIME),
    ("tokio", WAITING),
    ("async ", WAITING),
    (".await", WAITING),
    ("thread", WAITING),
    ("aws_", GROUP),
    ("hickory", DNS),
    ("TcpStream", DNS),
    ("TcpListener", DNS),
    ("UdpSocket", DNS),
    ("ToSocketAddrs", DNS),
    ("tracing", TELLING),
    ("print!", TELLING),
    ("println!", TELLING),
    ("dbg!", TELLING),
    ("fastrand", CHANCE),
    ("rand::", CHANCE),
    ("env::", SETTING),
    ("std::env", SETTING),
    ("std::fs", SETTING),
    ("fs::", SETTING),
    ("HashMap", ORDER),
    ("HashSet", ORDER),
];

/// How many files the planner has at least, so that a wrong path cannot pass for success.
const FILES_MIN: usize = 10;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the planner's folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn the_planner_knows_no_clock_no_network_and_no_chance() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/planner"));
    assert!(files.len() >= FILES_MIN, "only {} files in src/planner", files.len());
    let mut complaints = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a source file");
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            for (_, instead) in ABSENT.iter().filter(|(absent, _)| code.contains(absent)) {
                complaints.push(format!("{}:{number}: {}\n    {instead}", file.display(), line.trim()));
            }
        }
    }
    assert!(complaints.is_empty(), "the planner is pure:\n{}", complaints.join("\n"));
}
