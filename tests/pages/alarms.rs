//! The alarms of deploy/cloudwatch, evaluated as CloudWatch documents it, on what the function writes while all is well, in each
//! trouble, and when it is silent.
//!
//! An invocation writes one line at its end, up to 178 s after its start while trouble that may pass goes on, and two run at
//! once: in calm there is a point each minute, in trouble a few in several minutes.

use std::collections::BTreeSet;

use serde_json::Value;

const ALARMS: &str = include_str!("../../deploy/cloudwatch/alarms.json");
const MINUTE: u64 = 60;

/// An alarm, as far as it decides when it fires.
struct Alarm {
    name: String,
    metric: String,
    statistic: String,
    period: u64,
    /// Of so many periods,
    periods: usize,
    /// so many have to breach.
    breaches: usize,
    comparison: String,
    threshold: f64,
    missing: String,
    text: String,
}

fn alarms() -> Vec<Alarm> {
    let template: Value = serde_json::from_str(ALARMS).expect("the template is JSON");
    let resources = template["Resources"].as_object().expect("resources");
    let alarms: Vec<Alarm> = resources
        .iter()
        .map(|(name, resource)| {
            let property = |key: &str| &resource["Properties"][key];
            let text = |key: &str| {
                property(key)
                    .as_str()
                    .unwrap_or_else(|| panic!("{name}: {key}"))
                    .to_owned()
            };
            let number = |key: &str| property(key).as_u64().unwrap_or_else(|| panic!("{name}: {key}"));
            Alarm {
                name: name.clone(),
                metric: text("MetricName"),
                statistic: text("Statistic"),
                period: number("Period"),
                periods: usize::try_from(number("EvaluationPeriods")).unwrap(),
                breaches: usize::try_from(number("DatapointsToAlarm")).unwrap(),
                comparison: text("ComparisonOperator"),
                threshold: property("Threshold").as_f64().expect("a threshold"),
                missing: text("TreatMissingData"),
                text: text("AlarmDescription"),
            }
        })
        .collect();
    assert_eq!(alarms.len(), 6, "say here in which trouble another alarm fires");
    alarms
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Green,
    Red,
}

impl Alarm {
    fn is_breach(&self, value: f64) -> bool {
        match self.comparison.as_str() {
            "LessThanThreshold" => value < self.threshold,
            "GreaterThanThreshold" => value > self.threshold,
            other => panic!("{}: {other}", self.name),
        }
    }

    /// The data point of a period, if it has values.
    fn data_point(&self, values: impl Iterator<Item = f64>) -> Option<f64> {
        let values: Vec<f64> = values.collect();
        let all = values.iter().copied();
        match self.statistic.as_str() {
            "Maximum" => all.reduce(f64::max),
            "Minimum" => all.reduce(f64::min),
            "SampleCount" => (!values.is_empty()).then_some(values.len() as f64),
            other => panic!("{}: {other}", self.name),
        }
    }

    /// The state after one evaluation. `points` are the data points of the evaluation range, the newest first.
    fn next(&self, points: &[Option<f64>], state: State) -> State {
        // Real points count, also those from before the periods; what is missing is filled in only as far as it must be.
        let real: Vec<bool> = points.iter().flatten().map(|value| self.is_breach(*value)).collect();
        let real = &real[..real.len().min(self.periods)];
        let breaches = real.iter().filter(|is_breach| **is_breach).count();
        let filled = self.periods - real.len();
        let is_red = match self.missing.as_str() {
            "breaching" => breaches + filled >= self.breaches,
            "notBreaching" | "ignore" => breaches >= self.breaches,
            other => panic!("{}: {other}", self.name),
        };
        let keeps = self.missing == "ignore" && filled > 0 && breaches == real.len();
        match (is_red, keeps) {
            (true, _) => State::Red,
            (false, true) => state,
            (false, false) => State::Green,
        }
    }

    /// The states at the end of each minute.
    fn states(&self, points: &[Point], end: u64, view: View) -> Vec<State> {
        let mut state = State::Unknown;
        let evaluate = |minute: u64| {
            let now = minute * MINUTE;
            let data_points: Vec<Option<f64>> = (0..self.periods as u64 + view.extra)
                .map(|period| {
                    // The window slides: its end is now, whatever the period.
                    let until = now.saturating_sub(period * self.period);
                    let from = until.saturating_sub(self.period);
                    let first = points.partition_point(|point| point.at < from);
                    let inside = points[first..].iter().take_while(|point| point.at < until);
                    let seen = inside.filter(|point| point.at + view.late <= now);
                    self.data_point(seen.filter_map(|point| point.value(&self.metric)))
                })
                .collect();
            state = self.next(&data_points, state);
            state
        };
        (1..=end / MINUTE).map(evaluate).collect()
    }
}

/// What CloudWatch does not promise: how far it looks back beyond the periods, and how soon it sees a point.
#[derive(Clone, Copy, Debug)]
struct View {
    extra: u64,
    late: u64,
}

/// What the function may write.
type Values = &'static [(&'static str, f64)];

const CALM: Values = &[
    ("InSync", 1.0),
    ("HealthyTargets", 1.0),
    ("Refused", 0.0),
    ("Denied", 0.0),
    ("Unresolved", 0.0),
];

/// One line of the function's.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: u64,
    values: Values,
}

impl Point {
    fn value(&self, metric: &str) -> Option<f64> {
        let found = self.values.iter().find(|(name, _)| *name == metric);
        found.map(|(_, value)| *value)
    }
}

/// A trouble: what each line in it says, in turn, and which alarms it has to set off.
struct Trouble {
    name: &'static str,
    lines: &'static [Values],
    /// Seconds between the lines.
    steps: &'static [&'static [u64]],
    sets_off: &'static [&'static str],
}

macro_rules! line {
    ($in_sync:literal, $($name:literal: $value:literal),*) => {
        &[("InSync", $in_sync), $(($name, $value)),*]
    };
}

const TROUBLES: &[Trouble] = &[
    Trouble {
        name: "the group cannot be made equal to DNS",
        lines: &[line!(0.0, "HealthyTargets": 1.0, "Refused": 0.0, "Denied": 0.0, "Unresolved": 0.0)],
        steps: STEPS,
        sets_off: &["Drift"],
    },
    Trouble {
        name: "the database is down",
        lines: &[line!(1.0, "HealthyTargets": 0.0, "Refused": 0.0, "Denied": 0.0, "Unresolved": 0.0)],
        steps: STEPS,
        sets_off: &["NoServingTarget"],
    },
    Trouble {
        name: "an address is refused",
        lines: &[line!(0.0, "HealthyTargets": 1.0, "Refused": 1.0, "Denied": 0.0, "Unresolved": 0.0)],
        steps: STEPS,
        sets_off: &["Drift", "Refused"],
    },
    Trouble {
        name: "one of two readers is refused",
        lines: &[
            CALM,
            line!(0.0, "HealthyTargets": 1.0, "Refused": 1.0, "Denied": 0.0, "Unresolved": 0.0),
        ],
        steps: AT_ONCE,
        sets_off: &["Refused"],
    },
    Trouble {
        name: "a change is denied, once in each invocation",
        lines: &[line!(0.0, "HealthyTargets": 1.0, "Refused": 0.0, "Denied": 1.0, "Unresolved": 0.0)],
        steps: STEPS,
        sets_off: &["Denied", "Drift"],
    },
    Trouble {
        name: "the group cannot be listed",
        lines: &[line!(0.0, "Refused": 0.0, "Denied": 1.0, "Unresolved": 0.0)],
        steps: STEPS,
        sets_off: &["Denied", "Drift"],
    },
    Trouble {
        name: "a name does not resolve",
        lines: &[line!(0.0, "HealthyTargets": 1.0, "Refused": 0.0, "Denied": 0.0, "Unresolved": 1.0)],
        steps: STEPS,
        sets_off: &["Drift", "NotResolving"],
    },
];

/// Seconds between the lines of invocations that end at once.
const AT_ONCE: &[&[u64]] = &[&[60]];

/// Seconds between the lines in trouble that may pass, again and again: one tick after the other, two invocations at once, one at a time, and
/// anything.
const STEPS: &[&[u64]] = &[
    &[60],
    &[178, 60],
    &[60, 118],
    &[178],
    &[238],
    &[0, 238],
    &[0, 60, 178, 238],
    &[238, 0, 60, 178],
];

/// The first minute at which enough has been said: before, the alarm on silence is red.
const WARM: u64 = 5;
const TROUBLE_BEGINS: u64 = 30 * MINUTE;
const TROUBLE_ENDS: u64 = 75 * MINUTE;
const END: u64 = 105 * MINUTE;

/// A line each minute, from and to.
fn calm(from: u64, to: u64) -> Vec<Point> {
    let times = (from..to).step_by(60);
    times.map(|at| Point { at, values: CALM }).collect()
}

/// Calm, then lines of trouble at these steps, and calm again.
fn story(offset: u64, steps: &[u64], lines: &[Values], until: u64) -> Vec<Point> {
    let mut points = calm(offset, TROUBLE_BEGINS);
    let mut at = points.last().expect("a calm time before").at;
    for (step, values) in steps.iter().cycle().zip(lines.iter().cycle()) {
        if at + step >= until {
            break;
        }
        at += step;
        points.push(Point { at, values });
    }
    points.extend(calm(at + 60, END));
    points
}

/// Every way in which CloudWatch may see it, and every place of a minute in which the schedule may tick.
fn views() -> impl Iterator<Item = (u64, View)> {
    [0, 29, 59].into_iter().flat_map(|offset| {
        let late = move |extra| [0, 30].into_iter().map(move |late| (offset, View { extra, late }));
        [0, 1, 3].into_iter().flat_map(late)
    })
}

/// The alarms that are red at some time of these minutes.
fn red<'a>(
    alarms: &'a [Alarm],
    points: &[Point],
    view: View,
    minutes: std::ops::RangeInclusive<u64>,
) -> BTreeSet<&'a str> {
    let is_red = |alarm: &&Alarm| {
        let states = alarm.states(points, *minutes.end() * MINUTE, view);
        let first = usize::try_from(*minutes.start()).unwrap();
        states[first - 1..].contains(&State::Red)
    };
    alarms.iter().filter(is_red).map(|alarm| alarm.name.as_str()).collect()
}

#[test]
fn each_alarm_fires_in_its_trouble_and_in_no_other() {
    let alarms = alarms();
    for Trouble {
        name,
        lines,
        steps,
        sets_off,
    } in TROUBLES
    {
        for steps in *steps {
            for (offset, view) in views() {
                let points = story(offset, steps, lines, TROUBLE_ENDS);
                let what = format!("{name}, lines after {steps:?} s from {offset}, {view:?}");
                let found = red(&alarms, &points, view, WARM..=TROUBLE_ENDS / MINUTE);
                assert_eq!(found, sets_off.iter().copied().collect(), "{what}");
                let last = END / MINUTE;
                assert_eq!(
                    red(&alarms, &points, view, last..=last),
                    BTreeSet::new(),
                    "after {what}"
                );
            }
        }
    }
}

#[test]
fn all_are_green_in_calm_and_through_a_failover() {
    let alarms = alarms();
    // The new target is not in service for minutes, and an invocation or two see no end of it.
    let failover: &[Values] = &[line!(0.0, "HealthyTargets": 0.0, "Refused": 0.0, "Denied": 0.0, "Unresolved": 0.0)];
    for (offset, view) in views() {
        let points = calm(offset, END);
        for alarm in &alarms {
            let states = alarm.states(&points, END, view);
            assert_eq!(states.last(), Some(&State::Green), "{} {view:?}", alarm.name);
        }
        assert_eq!(
            red(&alarms, &points, view, WARM..=END / MINUTE),
            BTreeSet::new(),
            "{view:?}"
        );
        for steps in STEPS {
            let points = story(offset, steps, failover, TROUBLE_BEGINS + 6 * MINUTE);
            let found = red(&alarms, &points, view, WARM..=END / MINUTE);
            assert_eq!(
                found,
                BTreeSet::new(),
                "lines after {steps:?} s from {offset}, {view:?}"
            );
        }
    }
}

#[test]
fn silence_is_told_and_changes_nothing_else() {
    let alarms = alarms();
    let last = END / MINUTE;
    for (offset, view) in views() {
        let points = calm(offset, TROUBLE_BEGINS);
        assert_eq!(red(&alarms, &points, view, WARM..=39), BTreeSet::new(), "{view:?}");
        assert_eq!(
            red(&alarms, &points, view, last..=last),
            BTreeSet::from(["Stale"]),
            "{view:?}"
        );
        // A function that has never spoken is silent too.
        assert_eq!(
            red(&alarms, &[], view, last..=last),
            BTreeSet::from(["Stale"]),
            "{view:?}"
        );
        for trouble in TROUBLES.iter().filter(|trouble| trouble.lines.len() == 1) {
            let mut points = story(offset, &[60], trouble.lines, TROUBLE_ENDS);
            points.retain(|point| point.at < TROUBLE_ENDS);
            let mut wanted: BTreeSet<&str> = trouble.sets_off.iter().copied().collect();
            wanted.insert("Stale");
            assert_eq!(red(&alarms, &points, view, last..=last), wanted, "{}", trouble.name);
        }
    }
}

/// The minutes that a description speaks of: breaching ones, and of how many.
fn minutes(text: &str) -> (u64, u64) {
    let numbers = |text: &str| -> Vec<u64> { text.split(' ').filter_map(|word| word.parse().ok()).collect() };
    let (what, _) = text.split_once(". ").expect("what is wrong, and what to do");
    let shapes = (
        what.contains(" for "),
        what.contains(" of the last "),
        &numbers(what)[..],
    );
    match shapes {
        (true, false, [all]) => (*all, *all),
        (false, true, [some, all]) => (*some, *all),
        _ => panic!("{what}"),
    }
}

#[test]
fn what_the_descriptions_say_of_minutes_is_true() {
    for alarm in alarms() {
        let (some, all) = minutes(&alarm.text);
        let told = (
            alarm.breaches as u64 * alarm.period,
            alarm.periods as u64 * alarm.period,
        );
        assert_eq!((some * MINUTE, all * MINUTE), told, "{}", alarm.name);
        for trouble in TROUBLES
            .iter()
            .filter(|trouble| trouble.sets_off.contains(&alarm.name.as_str()))
        {
            for steps in trouble.steps {
                for (offset, view) in views() {
                    let points = story(offset, steps, trouble.lines, TROUBLE_ENDS);
                    let states = alarm.states(&points, TROUBLE_ENDS, view);
                    let fires = states.iter().position(|state| *state == State::Red).expect("it fires") as u64 + 1;
                    let last_good = TROUBLE_BEGINS - 60 + offset;
                    let passed = fires * MINUTE - last_good;
                    let what = format!("{} after {passed} s, lines after {steps:?} s, {view:?}", alarm.name);
                    assert!(passed >= some * MINUTE, "{what}");
                    assert!(passed <= all.max(15) * MINUTE + 5 * MINUTE, "{what}");
                }
            }
        }
    }
}

/// Fails if an invocation may last longer than the lines above lie apart.
#[test]
fn no_invocation_lasts_longer_than_the_steps() {
    let number = |text: &str, before: &str| -> u64 {
        let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let template = include_str!("../../deploy/cloudformation/lambda.yaml");
    let (_, function) = template.split_once("Handler: bootstrap\n").expect("the function");
    let time_out = number(function, "\n      Timeout: ");
    let reserve = number(
        include_str!("../../lambda/src/invocation.rs"),
        "const RESERVE: Duration = Duration::from_secs(",
    );
    let longest = STEPS.iter().flat_map(|steps| *steps).max();
    // One at a time, and the next tick a minute later.
    assert_eq!(longest, Some(&(time_out - reserve + MINUTE)));
}

/// The examples of CloudWatch's documentation: three periods, five data points in the range, the newest last. X breaches, 0 does
/// not, - is missing; the answers are those for ignore, breaching and notBreaching, where = keeps the state.
#[test]
fn the_evaluation_is_that_of_cloudwatchs_own_examples() {
    for (breaches, points, answers) in [
        (3, "0-X-X", "000"),
        (3, "----0", "000"),
        (3, "-----", "=X0"),
        (3, "0XX-X", "XXX"),
        (3, "--X--", "=X0"),
        (2, "0-X-X", "XXX"),
        (2, "00X0X", "XXX"),
        (2, "0-X--", "0X0"),
        (2, "----0", "0X0"),
        (2, "---X-", "=X0"),
    ] {
        for (missing, answer) in ["ignore", "breaching", "notBreaching"].iter().zip(answers.chars()) {
            let mut alarm = alarms().remove(0);
            (alarm.periods, alarm.breaches) = (3, breaches);
            (alarm.comparison, alarm.threshold) = ("GreaterThanThreshold".into(), 0.0);
            alarm.missing = (*missing).to_owned();
            let value = |point: char| match point {
                '-' => None,
                point => Some(f64::from(u8::from(point == 'X'))),
            };
            let newest_first: Vec<Option<f64>> = points.chars().rev().map(value).collect();
            let wanted = match answer {
                '0' => State::Green,
                'X' => State::Red,
                _ => State::Unknown,
            };
            let found = alarm.next(&newest_first, State::Unknown);
            assert_eq!(found, wanted, "{breaches} of 3, {points}, {missing}");
        }
    }
}
