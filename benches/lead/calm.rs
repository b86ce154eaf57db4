//! What asking costs while nothing changes: a process that asks 16 members beside one that asks nobody.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use testkit::certificate::{Authority, NOW};
use testkit::dns::{self, Behaviour};
use testkit::postgres::{PASSWORD, Server};
use testkit::program::Daemon;
use testkit::scratch::Scratch;
use testkit::world::{WRITER, bare_command};

use crate::lane::{ask, number};

const MEMBERS: u8 = 16;
/// A doubt lasts half a minute, and there is one at the start.
const SETTLING: Duration = Duration::from_secs(40);
const MEASURED: Duration = Duration::from_secs(60);

pub fn measure() {
    let scratch = Scratch::new();
    let certifier = Authority::new();
    let authority = scratch.write("authority.pem", &certifier.pem);
    let password = scratch.write("password", PASSWORD);
    // One server at all addresses: what is measured is not its own.
    let mut server = Server::new(scratch.folder(), "trust");
    server.certify(&certifier.certify(&[WRITER], NOW));
    let ip = |n: u8| Ipv4Addr::new(127, 0, 2, n);
    let all: Vec<String> = (1..=MEMBERS).map(|n| ip(n).to_string()).collect();
    server.start_on(
        ip(1),
        &[
            "ssl=on",
            "log_statement=all",
            &format!("listen_addresses={}", all.join(",")),
        ],
    );
    let at = SocketAddr::from((ip(1), server.port()));
    ask(at, &format!("CREATE ROLE lead LOGIN PASSWORD '{PASSWORD}'")).expect("a role");
    let dns = dns::Server::start();
    let names: Vec<String> = (1..=MEMBERS)
        .map(|n| format!("orders-{n}.abc123.eu-west-1.rds.amazonaws.com"))
        .collect();
    for (name, ip) in names.iter().zip(&all) {
        dns.set(name, Behaviour::a(ip, 5));
    }
    dns.set(WRITER, Behaviour::cname(&names[0], 5));
    let lead = format!(
        "ca_bundle = \"{}\"\nlead = {{ user = \"lead\", password_file = \"{}\", members = {names:?} }}\n",
        authority.display(),
        password.display(),
    );
    let start = |name: &str, lead: &str| {
        let text = format!(
            "[dns]\nnameservers = [\"{}\"]\n[[proxy]]\nlisten = \"127.0.0.1:0\"\nendpoint = \"{WRITER}:{}\"\n{lead}",
            dns.addr(),
            server.port(),
        );
        let settings = scratch.write(name, &text);
        Daemon::start(bare_command("").args(["run", "--config"]).arg(settings))
    };
    let (asking, silent) = (start("asking.toml", &lead), start("silent.toml", ""));
    thread::sleep(SETTLING);
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'lead'";
    println!(
        "calm: {} sessions to {MEMBERS} members",
        number(at, sessions).expect("a number")
    );
    let questions = || server.log().matches("pg_is_in_recovery").count();
    let before = (questions(), processor(&asking), processor(&silent));
    thread::sleep(MEASURED);
    let after = (questions(), processor(&asking), processor(&silent));
    let seconds = MEASURED.as_secs_f64();
    let share = |before: f64, after: f64| (after - before) / seconds * 100.0;
    println!(
        "  {:.2} questions a second and member; {:.2} % of a core, {:.2} % without lead; {} KiB of memory, {} KiB without",
        (after.0 - before.0) as f64 / seconds / f64::from(MEMBERS),
        share(before.1, after.1),
        share(before.2, after.2),
        resident(&asking),
        resident(&silent),
    );
}

/// The processor time of a process so far, in seconds.
fn processor(process: &Daemon) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/schedstat", process.child.id())).expect("a process");
    let threads = fs::read_dir(format!("/proc/{}/task", process.child.id()))
        .expect("a process")
        .flatten();
    let of_thread = |path: std::path::PathBuf| {
        let stat = fs::read_to_string(path.join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    };
    let all: f64 = threads.filter_map(|thread| of_thread(thread.path())).sum();
    assert!(!stat.is_empty(), "the kernel counts");
    all / 1e9
}

/// The memory of a process, in KiB.
fn resident(process: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.child.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("its memory")
}
