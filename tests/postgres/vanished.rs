//! A server vanishes and DNS says nothing: sessions to it must end long before a load balancer forgets them, after 350 s.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::site::{OLD, Site};
use super::stage::{self, BlackHole};

/// Keepalive takes 19 s. What is under way to a peer is repeated for 25 s, and looked at every 5 s.
const END_MAX: Duration = Duration::from_secs(60);
/// An end that comes sooner has another reason.
const END_MIN: Duration = Duration::from_secs(5);

#[test]
#[ignore = "needs PostgreSQL and root: tests/run provides them"]
fn sessions_end_when_the_server_has_vanished() {
    stage::play(|stage| {
        let site = Site::new(stage);
        let via = site.via();
        // One that never says anything, and one that confirms each second.
        let mut sessions = ["idle", "talking"].map(|name| {
            site.server.query(&format!(
                "SELECT pg_create_logical_replication_slot('{name}', 'test_decoding')"
            ));
            let every = if name == "idle" { "0" } else { "1" };
            let mut command = via.recvlogical(name);
            command.args(["--no-loop", "--status-interval", every]);
            (name, start(&mut command))
        });
        let is_streaming = || {
            site.server
                .query("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
        };
        stage::wait_until("both are streaming", END_MAX, || is_streaming() == "2");

        let _hole = BlackHole::open(OLD.parse().expect("an address"));
        let vanished = Instant::now();
        for (name, session) in &mut sessions {
            stage::wait_until("the end of the session", END_MAX, || {
                session.try_wait().expect("its status").is_some()
            });
            let after = vanished.elapsed();
            stage.tell(&format!(
                "server vanishes, DNS says nothing: {name} session ended {:.1} s later",
                after.as_secs_f64()
            ));
            assert!(
                (END_MIN..END_MAX).contains(&after),
                "{name}: {after:?}\n{}",
                site.proxy.log()
            );
        }
        site.stop_proxy();
    });
}

fn start(command: &mut Command) -> std::process::Child {
    command.stdout(Stdio::null()).spawn().expect("pg_recvlogical starts")
}
