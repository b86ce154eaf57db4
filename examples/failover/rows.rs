//! What is seen becomes rows, and the rows' own times the sums at the end.

use std::env;
use std::io::{IsTerminal, stdout};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::client::WAITS;

/// Drawn this much later, when everybody has told what was until then.
const LATER: Duration = WAITS.saturating_add(Duration::from_millis(200));
const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const NOBODY: &str = "down";

/// The clients, from left to right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Balancer,
    Proxy,
    Without,
}

/// Tenths of a second since the start: as exact as rows are, so that they add up.
type Tenths = u128;

enum Change {
    Reaches(Lane, Option<String>),
    Group(Lane, Vec<String>),
    Happens(String),
}

pub struct Rows {
    start: Instant,
    is_coloured: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Not drawn yet.
    waiting: Vec<(Tenths, Change)>,
    /// As last told, drawn or not.
    told: View,
    drawn: View,
    drawn_at: Tenths,
    scenes: Vec<Scene>,
}

#[derive(Clone, Default)]
struct View {
    reached: [Option<String>; 3],
    groups: [Vec<String>; 3],
}

struct Scene {
    title: String,
    /// Since when a client reaches nobody.
    since: [Option<Tenths>; 3],
    missed: [Tenths; 3],
}

impl Rows {
    pub fn new() -> Self {
        let says_no = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            start: Instant::now(),
            is_coloured: stdout().is_terminal() && !says_no("NO_COLOR") && !is_dumb,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn tenths(&self, at: Instant) -> Tenths {
        at.saturating_duration_since(self.start).as_millis() / 100
    }

    pub fn say(&self, text: &str) {
        println!("{text}");
    }

    /// A client reaches another address, or nobody.
    pub fn saw(&self, lane: Lane, since: Instant, reached: Option<String>) {
        let mut state = self.state();
        state.told.reached[lane as usize].clone_from(&reached);
        state.waiting.push((self.tenths(since), Change::Reaches(lane, reached)));
    }

    /// The targets of a group now.
    pub fn groups(&self, lane: Lane, targets: Vec<String>) {
        let mut state = self.state();
        if state.told.groups[lane as usize] != targets {
            state.told.groups[lane as usize].clone_from(&targets);
            let now = self.tenths(Instant::now());
            state.waiting.push((now, Change::Group(lane, targets)));
        }
    }

    pub fn happens(&self, what: &str) {
        let now = self.tenths(Instant::now());
        self.state().waiting.push((now, Change::Happens(what.to_owned())));
    }

    pub fn all_reach(&self, address: &str) -> bool {
        let reached = &self.state().told.reached;
        reached.iter().all(|reached| reached.as_deref() == Some(address))
    }

    /// Draws what still waits, and begins a scene.
    pub fn scene(&self, title: &str) {
        self.draw_until(Tenths::MAX);
        let mut state = self.state();
        let title = if state.scenes.is_empty() {
            title.to_owned()
        } else {
            format!("{}. {title}", state.scenes.len())
        };
        let mut scene = Scene {
            title,
            since: [None; 3],
            missed: [0; 3],
        };
        for (since, reached) in scene.since.iter_mut().zip(&state.drawn.reached) {
            *since = reached.is_none().then_some(state.drawn_at);
        }
        println!(
            "\n{}\n{:10}{:<29}{:<10}without: cron",
            self.paint(BOLD, &scene.title),
            "",
            "through the balancer",
            "proxy"
        );
        println!("{:>8}  {CLIENT:<9}{GROUP:<20}{CLIENT:<10}{CLIENT:<9}{GROUP}", "time");
        state.scenes.push(scene);
    }

    /// Draws what is old enough.
    pub fn draw(&self) {
        let until = Instant::now().checked_sub(LATER);
        self.draw_until(until.map_or(0, |until| self.tenths(until)));
    }

    fn draw_until(&self, until: Tenths) {
        let mut state = self.state();
        let mut changes = std::mem::take(&mut state.waiting);
        changes.sort_by_key(|(at, _)| *at);
        let rest = changes.split_off(changes.partition_point(|(at, _)| *at <= until));
        state.waiting = rest;
        let mut changes = changes.into_iter().peekable();
        while let Some((at, change)) = changes.next() {
            // What comes late is told late: rows never go back.
            let at = at.max(state.drawn_at);
            state.drawn_at = at;
            match change {
                Change::Happens(what) => {
                    println!("{}  {}", time(at), self.paint(BOLD, &what));
                    continue;
                }
                Change::Group(lane, targets) => state.drawn.groups[lane as usize] = targets,
                Change::Reaches(lane, reached) => state.reaches(lane, at, reached),
            }
            let goes_on = |(next, change): &(Tenths, Change)| *next <= at && !matches!(change, Change::Happens(_));
            if !changes.peek().is_some_and(goes_on) {
                self.row(at, &state.drawn);
            }
        }
    }

    fn row(&self, at: Tenths, view: &View) {
        let [balancer, proxy, without] = &view.reached;
        let [kept, _, cron] = &view.groups;
        for line in 0..kept.len().max(cron.len()).max(1) {
            let client = |reached: &Option<String>| match (line, reached) {
                (0, Some(address)) => self.paint(GREEN, &format!("{address:<8}")),
                (0, None) => self.paint(RED, &format!("{NOBODY:<8}")),
                _ => format!("{:<8}", ""),
            };
            let target = |group: &[String]| match group.get(line) {
                None if line == 0 => format!("{:<18}", "empty"),
                None => format!("{:<18}", ""),
                Some(target) => {
                    let colour = match target.split(' ').nth(1) {
                        Some("healthy") => GREEN,
                        Some("unhealthy") => RED,
                        _ => YELLOW,
                    };
                    self.paint(colour, &format!("{target:<18}"))
                }
            };
            let time = if line == 0 { time(at) } else { " ".repeat(8) };
            let cells = [
                time,
                format!("{} {}", client(balancer), target(kept)),
                client(proxy),
                format!("{} {}", client(without), target(cron)),
            ];
            println!("{}", cells.join("  ").trim_end());
        }
    }

    /// Draws what still waits, and how long each client reached nobody, by the times in the rows.
    pub fn sum_up(&self, gone: Duration) {
        self.draw_until(Tenths::MAX);
        let state = self.state();
        let failovers = state.scenes.get(1..).unwrap_or_default();
        println!(
            "\n{}",
            self.paint(BOLD, "Seconds in which a client did not reach the database")
        );
        println!("{:<56}{:>8}{:>8}{:>8}", "", "balancer", "proxy", "without");
        let line = |title: &str, missed: [Tenths; 3]| {
            let [balancer, proxy, without] = missed.map(seconds);
            println!("{title:<56}{balancer:>8}{proxy:>8}{without:>8}");
        };
        let mut sum = [0; 3];
        for scene in failovers {
            line(&scene.title, scene.missed);
            for (sum, missed) in sum.iter_mut().zip(scene.missed) {
                *sum += missed;
            }
        }
        line(&format!("{} failovers", failovers.len()), sum);
        println!(
            "Of each failover {} s is the database's own: it is nowhere for that long.",
            gone.as_secs()
        );
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.is_coloured {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

const CLIENT: &str = "client";
const GROUP: &str = "target group";

impl State {
    fn reaches(&mut self, lane: Lane, at: Tenths, reached: Option<String>) {
        if let Some(scene) = self.scenes.last_mut() {
            let since = &mut scene.since[lane as usize];
            match (&reached, *since) {
                (None, None) => *since = Some(at),
                (Some(_), Some(begun)) => {
                    scene.missed[lane as usize] += at - begun;
                    *since = None;
                }
                _ => {}
            }
        }
        self.drawn.reached[lane as usize] = reached;
    }
}

fn time(at: Tenths) -> String {
    format!("{:>6} s", seconds(at))
}

fn seconds(tenths: Tenths) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}
