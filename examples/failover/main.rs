//! Watch rds-tether follow failovers, in one command and without an account: `cargo run --example failover`
//!
//! Three clients connect all the time: through a target group that rds-tether keeps, through rds-tether's proxy, and, beside
//! them, through a target group that a cron keeps. DNS, the ELBv2 API, the database and the cron are simulated, on loopback; the
//! daemon is the real one, with its DNS client, its proxy and the AWS SDK: this program starts itself once more as that daemon.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

mod client;
mod daemon;
mod rows;
mod site;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::Way;
use daemon::Daemon;
use rows::{Lane, Rows};
use site::Site;

/// What takes minutes takes this much less: what Elastic Load Balancing does, `forget`, and the cron.
const SHORTER: u32 = 30;
const FORGET: Duration = minutes(1);
/// AWS: three to five.
const HEALTHY_AFTER: Duration = minutes(3);
/// Long enough to see a target that still drains at the next failover.
const DRAINS: Duration = minutes(12);
const CRON_EVERY: Duration = minutes(5);
/// How long nobody is there when the database moves.
const GONE: Duration = Duration::from_secs(1);
/// How long each answer of a DNS that flaps stands.
const FLAP: Duration = Duration::from_millis(1500);
/// How often the groups are looked at.
const TURN: Duration = Duration::from_millis(50);
/// No scene takes longer, on any machine.
const SCENE_MAX: Duration = Duration::from_secs(90);

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60 / SHORTER as u64)
}

/// The database moves, and DNS answers these one after the other.
struct Failover {
    title: &'static str,
    answers: &'static [&'static str],
}

/// Where the database may be; first, there.
const ADDRESSES: &[&str] = &["10.0.1.5", "10.0.2.7", "10.0.3.9"];
const FIRST: &str = ADDRESSES[0];
const FAILOVERS: &[Failover] = &[
    Failover {
        title: "A clean failover",
        answers: &["10.0.2.7"],
    },
    Failover {
        title: "A failover with a DNS that flaps: new, old, new",
        answers: &["10.0.3.9", "10.0.2.7", "10.0.3.9"],
    },
    Failover {
        title: "Failing back to an address whose target still drains",
        answers: &["10.0.2.7"],
    },
];

fn main() -> ExitCode {
    if daemon::is_this() {
        return daemon::run();
    }
    let rows = Rows::new();
    rows.say(&format!(
        "Three clients of a database that moves {} times, each trying ten times a second:\n\
         - through a load balancer, whose target group rds-tether keeps;\n\
         - through the proxy of rds-tether;\n\
         - without rds-tether: a load balancer whose target group a cron keeps, which\n\
         \x20 does what DNS says every {} minutes. The database moves half way between.\n\
         rds-tether is real. DNS, load balancers, cron and database are simulated here.\n\
         One second stands for {SHORTER} of the load balancers, the cron and `forget`; DNS,\n\
         rds-tether and its proxy are not shortened.",
        FAILOVERS.len(),
        (CRON_EVERY * SHORTER).as_secs() / 60,
    ));
    match play(&rows) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            rows.say(&format!("\nThe demonstration failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn play(rows: &Rows) -> Result<(), String> {
    let site = Site::new(ADDRESSES);
    let daemon = Daemon::start(&site)?;
    let show = Show {
        rows,
        site: &site,
        daemon: &daemon,
    };
    let ways = [
        (Lane::Balancer, Way::Group(&site.balancer)),
        (Lane::Proxy, Way::Proxy(daemon.proxy)),
        (Lane::Without, Way::Group(&site.without)),
    ];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (lane, way) in &ways {
            let (lane, is_over, site) = (*lane, &is_over, &site);
            scope.spawn(move || client::connect_until(is_over, site, way, |since, seen| rows.saw(lane, since, seen)));
        }
        let _ended = Ends(&is_over);
        show.scenes()
    })?;
    rows.sum_up(GONE);
    let lowest = site.elb.lowest_registered(&site.balancer);
    rows.say(&format!(
        "The fewest targets registered by rds-tether, from its first on: {lowest}."
    ));
    let registered = site.registered(&site.balancer).join(", ");
    rows.say(&format!(
        "At the end DNS names {}, and registered is {registered}.",
        site.answer()
    ));
    if lowest < 1 {
        return Err("its target group was empty for a moment".into());
    }
    Ok(())
}

/// Ends the clients, however the show ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Show<'a> {
    rows: &'a Rows,
    site: &'a Site,
    daemon: &'a Daemon,
}

impl Show<'_> {
    fn scenes(&self) -> Result<(), String> {
        self.rows
            .scene("Deployed: nobody reaches a target before it is healthy");
        self.rows.happens(&format!("DNS names {FIRST}"));
        self.until_all_reach(FIRST)?;
        for failover in FAILOVERS {
            // The mean of what a cron costs, neither its best nor its worst.
            self.until(|site| site.cron.is_half_way())?;
            self.rows.scene(failover.title);
            let [new, ..] = failover.answers else {
                return Err("a failover without a new address".into());
            };
            self.site.end_database(&self.site.answer());
            self.rows
                .happens(&format!("the database leaves {}", self.site.answer()));
            self.pass(GONE)?;
            self.site.start_database(new);
            for (number, answer) in failover.answers.iter().enumerate() {
                if number > 0 {
                    self.pass(FLAP)?;
                }
                let moved = if number == 0 {
                    format!("the database is at {new}; ")
                } else {
                    String::new()
                };
                self.rows.happens(&format!("{moved}DNS names {answer}"));
                if number == 0 {
                    self.site.start_database(new);
                }
                self.site.name(answer);
            }
            self.until_all_reach(new)?;
        }
        Ok(())
    }

    /// Until every client reaches the address, and rds-tether has left nothing else registered.
    fn until_all_reach(&self, address: &str) -> Result<(), String> {
        self.until(|site| self.rows.all_reach(address) && site.registered(&site.balancer) == [address])
    }

    fn pass(&self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        self.until(|_| Instant::now() >= end)
    }

    fn until(&self, is_so: impl Fn(&Site) -> bool) -> Result<(), String> {
        let end = Instant::now() + SCENE_MAX;
        loop {
            let is_so = is_so(self.site);
            self.site.cron.run_if_due(self.site);
            self.rows.groups(Lane::Balancer, self.site.targets(&self.site.balancer));
            self.rows.groups(Lane::Without, self.site.targets(&self.site.without));
            self.rows.draw();
            if is_so {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("not over after {} s", SCENE_MAX.as_secs()));
            }
            self.daemon.lives_for(TURN)?;
        }
    }
}
