//! Ten seconds of fixtures gone wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{fixtures, invariants};

/// How long the run takes.
const RUN: Duration = Duration::from_secs(10);
/// Changes to one input.
const CHANGES_MAX: usize = 8;
/// A mutated input does not outgrow this: speed finds more than size.
const INPUT_MAX_BYTES: usize = 16 * 1024;
/// The environment variable that replays one input.
const SEED: &str = "RDS_TETHER_SEED";

/// What the parser looks for, and what parsers stumble over.
const PIECES: &[&str] = &[
    "RDS-EVENT-0013",
    "RDS-EVENT-",
    "RDS-EVENT-65536",
    "aws.rds",
    "RDS DB Cluster Event",
    "\"Records\":[",
    "\"command\":",
    "\"Event Source\":",
    "\"Message\":",
    "arn:aws:rds:::cluster:",
    "rds:",
    "prx-",
    "2026-11-23 06:40:01.000",
    "9999-12-31T23:59:59.999999999Z",
    "-009999-01-01T00:00:00+25:59",
    "1e999",
    "-0",
    "18446744073709551616",
    "null",
    "{}",
    "[]",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\n",
    "\u{202e}",
    "\u{1b}[2K",
    "[[[[[[[[",
    "{\"a\":",
];

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how the tests are run is no setting of the program, and the run has a length"
)]
fn mutated_and_random_input_is_read_without_harm() {
    let texts: Vec<String> = fixtures::all().into_iter().map(|fixture| fixture.text).collect();
    if let Ok(seed) = std::env::var(SEED) {
        let seed = seed.parse().expect("RDS_TETHER_SEED is a number");
        let input = Mutator::new(seed, &texts).input();
        println_input(&input);
        read(&input);
        return;
    }
    let first = fastrand::u64(..);
    let start = Instant::now();
    let (mut inputs, mut events) = (0_u64, 0_u64);
    while start.elapsed() < RUN {
        let seed = first.wrapping_add(inputs);
        let is_event = catch_unwind(AssertUnwindSafe(|| read(&Mutator::new(seed, &texts).input())));
        let Ok(is_event) = is_event else {
            panic!("the input above failed; replay it with\n    {SEED}={seed} cargo test --test inside mutated");
        };
        events += u64::from(is_event);
        inputs += 1;
    }
    // Were all of it noise, the run would look at serde_json alone.
    assert!(events > inputs / 20, "only {events} of {inputs} inputs were still JSON");
}

#[expect(clippy::print_stdout, reason = "who replays an input wants to see it")]
fn println_input(input: &str) {
    println!("{input}");
}

/// Reads an input as a payload and as the message of an envelope, and says whether it was JSON.
fn read(input: &str) -> bool {
    let payload = serde_json::from_str::<Value>(input).ok();
    if let Some(payload) = &payload {
        invariants::check(payload);
    }
    invariants::check(&json!({ "Records": [{ "body": input }, { "Sns": { "Message": input } }] }));
    payload.is_some()
}

struct Mutator<'a> {
    rng: fastrand::Rng,
    texts: &'a [String],
}

impl<'a> Mutator<'a> {
    fn new(seed: u64, texts: &'a [String]) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { rng, texts }
    }

    fn input(&mut self) -> String {
        match self.rng.u8(..10) {
            0 => self.noise(),
            1..4 => self.text_changed(),
            _ => self.value_changed(),
        }
    }

    fn fixture(&mut self) -> &'a str {
        &self.texts[self.rng.usize(..self.texts.len())]
    }

    fn piece(&mut self) -> &'static str {
        PIECES[self.rng.usize(..PIECES.len())]
    }

    fn noise(&mut self) -> String {
        let length = self.rng.usize(..200);
        let bytes: Vec<u8> = (0..length).map(|_| self.rng.u8(..)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Bytes cut out, repeated, replaced and put in: mostly no JSON any more.
    fn text_changed(&mut self) -> String {
        let mut bytes = self.fixture().as_bytes().to_vec();
        for _ in 0..self.rng.usize(1..=CHANGES_MAX) {
            let start = self.rng.usize(..=bytes.len());
            let end = self.rng.usize(start..=bytes.len().min(start + 64));
            let replacement = match self.rng.u8(..5) {
                0 => Vec::new(),
                1 => self.piece().into(),
                2 => bytes[start..end].repeat(2),
                3 => self.noise().into_bytes(),
                _ => vec![self.rng.u8(..)],
            };
            bytes.splice(start..end, replacement);
            bytes.truncate(INPUT_MAX_BYTES);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Values exchanged, wrapped and dropped, also in the JSON that is carried as text: still JSON.
    fn value_changed(&mut self) -> String {
        let mut value: Value = serde_json::from_str(self.fixture()).expect("a fixture is JSON");
        for _ in 0..self.rng.usize(1..=CHANGES_MAX) {
            self.change(&mut value);
        }
        let text = value.to_string();
        if text.len() <= INPUT_MAX_BYTES {
            text
        } else {
            "{}".to_owned()
        }
    }

    /// Goes down to somewhere, and changes what is there.
    fn change(&mut self, value: &mut Value) {
        let goes_down = self.rng.u8(..6) > 0;
        match value {
            Value::Object(fields) if goes_down && !fields.is_empty() => {
                let index = self.rng.usize(..fields.len());
                let key = fields.keys().nth(index).cloned().expect("within");
                match self.rng.u8(..12) {
                    0 => drop(fields.remove(&key)),
                    1 => {
                        let field = fields.remove(&key).expect("there");
                        fields.insert(self.piece().to_owned(), field);
                    }
                    _ => self.change(&mut fields[&key]),
                }
            }
            Value::Array(items) if goes_down && !items.is_empty() => {
                let index = self.rng.usize(..items.len());
                match self.rng.u8(..8) {
                    0 => drop(items.remove(index)),
                    1 => items.push(items[index].clone()),
                    _ => self.change(&mut items[index]),
                }
            }
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(mut inner) if goes_down => {
                    self.change(&mut inner);
                    *text = inner.to_string();
                }
                _ => self.change_text(value),
            },
            _ => *value = self.value(value.take()),
        }
    }

    fn change_text(&mut self, value: &mut Value) {
        let text = value.as_str().unwrap_or_default();
        let chars: Vec<char> = text.chars().collect();
        let at = self.rng.usize(..=chars.len());
        let (before, after): (String, String) = (chars[..at].iter().collect(), chars[at..].iter().collect());
        *value = match self.rng.u8(..5) {
            0 => json!(before),
            1 => json!(format!("{before}{}{after}", self.piece())),
            2 => json!(format!("{before}{}{after}", self.rng.char(..))),
            3 => json!(self.piece()),
            _ => self.value(value.take()),
        };
    }

    /// Something else in place of a value, or round it.
    fn value(&mut self, value: Value) -> Value {
        match self.rng.u8(..10) {
            0 => Value::Null,
            1 => json!(self.rng.bool()),
            2 => json!(self.rng.u64(..)),
            3 => json!(self.rng.f64() * 1e300),
            4 => json!(self.piece()),
            5 => json!([value.clone(), value]),
            6 => json!(value.to_string()),
            7 => json!({ "Type": "Notification", "Message": value }),
            8 => json!({ "Records": [{ "body": value }] }),
            _ => serde_json::from_str(self.fixture()).expect("a fixture is JSON"),
        }
    }
}
