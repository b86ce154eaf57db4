//! What the demonstration says is what its rows show.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::program::{finish_within, foreign};

use super::world::*;

/// It takes a minute by its own clocks.
const SHOW_MAX: Duration = Duration::from_secs(600);
const COLUMNS: usize = 80;
/// The clients, and the groups before which two of them stand: where their columns begin.
const CLIENTS: [usize; 3] = [10, 39, 49];
const GROUPS: [usize; 2] = [19, 58];
const LANES: [&str; 3] = ["balancer", "proxy", "without"];

/// The example, which cargo builds with the tests of the workspace.
fn demo() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples/failover")
}

/// Tenths of a second.
type Tenths = u64;

struct Row {
    at: Tenths,
    clients: [String; 3],
    groups: [Vec<String>; 2],
}

struct Event {
    at: Tenths,
    what: String,
}

#[derive(Default)]
struct Scene {
    title: String,
    rows: Vec<Row>,
    events: Vec<Event>,
}

impl Scene {
    /// The addresses after these words, with their times.
    fn told<'a>(&'a self, words: &'a str) -> impl Iterator<Item = (Tenths, &'a str)> {
        let after = move |event: &'a Event| Some((event.at, event.what.split_once(words)?.1.split(';').next()?));
        self.events.iter().filter_map(after)
    }
}

fn tenths(text: &str) -> Tenths {
    let (seconds, tenths) = text
        .trim()
        .split_once('.')
        .unwrap_or_else(|| panic!("no time: {text:?}"));
    assert_eq!(tenths.len(), 1, "{text}");
    seconds.parse::<Tenths>().unwrap() * 10 + tenths.parse::<Tenths>().unwrap()
}

/// What stands in some columns of a line.
fn cell(line: &str, from: usize, width: usize) -> String {
    let cell: String = line.chars().skip(from).take(width).collect();
    cell.trim().to_owned()
}

fn scenes(text: &str) -> Vec<Scene> {
    let mut scenes: Vec<Scene> = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let (rows, _) = text.split_once("\nSeconds in which").expect("a sum");
    for (number, line) in rows.lines().enumerate() {
        if lines
            .get(number + 1)
            .is_some_and(|next| next.contains("through the balancer  "))
        {
            scenes.push(Scene {
                title: (*line).to_owned(),
                ..Scene::default()
            });
        }
        let Some(scene) = scenes.last_mut() else { continue };
        let target = |group: usize| Some(cell(line, GROUPS[group], 18)).filter(|cell| !cell.is_empty());
        if line.get(7..10) == Some("s  ") {
            let at = tenths(&line[..6]);
            if line[10..]
                .starts_with(|char: char| char == 'd' && line[10..].starts_with("down") || char.is_ascii_digit())
            {
                let clients = CLIENTS.map(|column| cell(line, column, 8));
                let groups = [0, 1].map(|group| target(group).into_iter().filter(|target| target != "empty").collect());
                scene.rows.push(Row { at, clients, groups });
            } else {
                let what = line[10..].to_owned();
                scene.events.push(Event { at, what });
            }
        } else if line.starts_with("          ") && !line.contains("through") {
            let row = scene.rows.last_mut().expect("a line that goes on");
            for group in 0..2 {
                row.groups[group].extend(target(group));
            }
        }
    }
    scenes
}

/// How long a client reached nobody in a scene.
fn missed(scene: &Scene, lane: usize) -> Tenths {
    let (mut sum, mut since) = (0, None);
    for row in &scene.rows {
        match (row.clients[lane] == "down", since) {
            (true, None) => since = Some(row.at),
            (false, Some(begun)) => {
                sum += row.at - begun;
                since = None;
            }
            _ => {}
        }
    }
    assert_eq!(
        since, None,
        "{}: {} ends without the database",
        scene.title, LANES[lane]
    );
    sum
}

fn registered(targets: &[String]) -> Vec<&str> {
    let registered = targets.iter().filter(|target| !target.ends_with(" draining"));
    registered.map(|target| target.split(' ').next().unwrap()).collect()
}

/// The line of the sums that begins so, as its three numbers.
#[track_caller]
fn told_sums(text: &str, title: &str) -> [Tenths; 3] {
    let (_, sums) = text.split_once("\nSeconds in which").unwrap();
    let line = sums.lines().find_map(|line| line.strip_prefix(title));
    let numbers: Vec<Tenths> = line
        .unwrap_or_else(|| panic!("no {title:?} in {sums}"))
        .split_whitespace()
        .map(tenths)
        .collect();
    numbers.try_into().unwrap()
}

/// Fails if a line of it says what the rows before do not show, or does not fit a terminal.
#[test]
#[ignore = "takes a minute, and the built example: tests/run has both"]
fn the_last_lines_say_what_the_rows_show() {
    let output = finish_within(SHOW_MAX, &mut foreign(demo()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains('\x1b'), "colour without a terminal");
    for line in text.lines() {
        assert!(line.chars().count() <= COLUMNS, "{line:?}");
    }
    let scenes = scenes(&text);
    let (deployed, failovers) = scenes.split_first().expect("scenes");
    // Before its target is healthy, no client of a balancer gets through; and in the end it does.
    assert!(
        deployed.title.contains("nobody reaches a target before it is healthy"),
        "{text}"
    );
    for (lane, group) in [(0, 0), (2, 1)] {
        let first = deployed
            .rows
            .iter()
            .find(|row| row.clients[lane] != "down")
            .expect("it is reached");
        let healthy = |row: &&Row| row.groups[group].iter().any(|target| target.ends_with(" healthy"));
        let healthy = deployed.rows.iter().find(healthy).expect("it is healthy");
        assert!(first.at + 2 >= healthy.at, "{text}");
    }
    let rows = || scenes.iter().flat_map(|scene| &scene.rows);
    assert!(rows().count() > 20 && rows().is_sorted_by_key(|row| row.at), "{text}");

    // Failovers are moves of the database, and as many as is said at both ends.
    let moves = scenes.iter().map(|scene| scene.told("the database leaves ").count());
    assert_eq!(moves.sum::<usize>(), failovers.len(), "{text}");
    assert!(
        failovers.len() > 2 && text.contains(&format!("moves {} times", failovers.len())),
        "{text}"
    );
    let mut sums = [0; 3];
    for scene in failovers {
        let missed = [0, 1, 2].map(|lane| missed(scene, lane));
        assert_eq!(told_sums(&text, &scene.title), missed, "{text}");
        for (sum, missed) in sums.iter_mut().zip(missed) {
            *sum += missed;
        }
        let (left, _) = scene.told("the database leaves ").next().unwrap();
        let (came, at) = scene.told("the database is at ").next().unwrap();
        assert!(missed.iter().all(|missed| *missed + 1 >= came - left), "{text}");
        assert!(
            text.contains(&format!("Of each failover {} s is the", (came - left) / 10)),
            "{text}"
        );
        // The cron comes half a turn later.
        let runs = scene.rows.iter().find(|row| registered(&row.groups[1]).contains(&at));
        let after = runs.expect("the cron runs").at - left;
        assert!(
            (35..=70).contains(&after),
            "the cron runs after {after} tenths:\n{text}"
        );
    }
    assert_eq!(
        told_sums(&text, &format!("{} failovers", failovers.len())),
        sums,
        "{text}"
    );
    let [balancer, proxy, without] = sums;
    assert!(proxy < balancer && balancer < without, "{text}");

    // Who reaches an address does so while the database is there.
    let mut place = (0, deployed.told("DNS names ").next().unwrap().1);
    for scene in &scenes {
        let left = scene.told("the database leaves ").next();
        let came = scene.told("the database is at ").next();
        for row in &scene.rows {
            for client in row.clients.iter().filter(|client| *client != "down") {
                let is_here = client == place.1 && left.is_none_or(|(left, _)| row.at <= left + 5);
                let is_there = came.is_some_and(|(at, address)| row.at >= at && client == address);
                assert!(is_here || is_there, "{} at {}:\n{text}", client, row.at);
            }
        }
        place = came.unwrap_or(place);
    }

    // What the titles say.
    let flaps = failovers
        .iter()
        .find(|scene| scene.title.contains("flaps: new, old, new"))
        .unwrap();
    let names: Vec<&str> = flaps.told("DNS names ").map(|(_, address)| address).collect();
    let (_, old) = flaps.told("the database leaves ").next().unwrap();
    assert!(
        matches!(names[..], [new, again_old, again] if new == again && again_old == old),
        "{text}"
    );
    let back = failovers
        .iter()
        .find(|scene| scene.title.contains("still drains"))
        .unwrap();
    let (_, to) = back.told("the database is at ").next().unwrap();
    assert!(back.rows[0].groups[0].contains(&format!("{to} draining")), "{text}");

    // The last lines.
    let counts = rows().map(|row| registered(&row.groups[0]).len());
    let fewest = counts.skip_while(|count| *count == 0).min().unwrap();
    let (_, named) = failovers.last().unwrap().told("DNS names ").last().unwrap();
    let end = registered(&rows().last().unwrap().groups[0]).join(", ");
    assert_says(
        &text,
        &[
            &format!("\nThe fewest targets registered by rds-tether, from its first on: {fewest}.\n"),
            &format!("\nAt the end DNS names {named}, and registered is {end}.\n"),
        ],
    );
    assert!(fewest >= 1 && end == named, "{text}");
}

/// Fails if a terminal gets no colour, or one whose owner wants none.
#[test]
#[ignore = "needs script(1) and the built example: tests/run has both"]
fn colour_is_for_terminals_whose_owners_want_it() {
    let folder = Scratch::new();
    let mark = folder.folder().to_str().unwrap();
    for (no_color, is_coloured) in [("", true), ("1", false)] {
        let mut command = foreign("script");
        let command = command
            .args(["--quiet", "--flush", "--return", "--command"])
            .arg(demo())
            .arg("/dev/null")
            .env("TERM", "xterm")
            .env("TMPDIR", folder.folder())
            .env("NO_COLOR", no_color);
        let mut shown = shown_until(command, "10.0.1.5 initial");
        assert_eq!(shown.contains("\x1b[31mdown"), is_coloured, "{shown:?}");
        shown.truncate(shown.find('\x1b').unwrap_or(shown.len()));
        assert!(shown.starts_with("Three clients"), "{shown}");
        // Whoever closes the terminal leaves no daemon, and no file.
        wait_until("the demonstration and its daemon have ended", || !runs_with(mark));
        assert_eq!(std::fs::read_dir(folder.folder()).unwrap().count(), 0);
    }
}

/// Whether a process has this in its environment or, as the daemon, among its arguments.
fn runs_with(folder: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut told = processes.flat_map(|process| ["environ", "cmdline"].map(|file| process.path().join(file)));
    told.any(|file| std::fs::read(file).is_ok_and(|text| String::from_utf8_lossy(&text).contains(folder)))
}

/// What a program prints until then; it is ended there.
fn shown_until(command: &mut Command, words: &str) -> String {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = String::new();
    for line in BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        shown += &line;
        shown.push('\n');
        if line.contains(words) {
            break;
        }
    }
    // Its terminal goes with it, and so do the programs there.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(shown.contains(words), "{shown}");
    shown
}
