//! Draws a timeline as SVG: a line for each thing that was so, with the times below and the durations that matter beside. Along the
//! time everything is measured in hundredths of the width, so that it is as wide as there is room, and letters keep their size.

use std::fmt::{Result, Write as _};
use std::time::Duration;

use crate::planner::target::Target;
use crate::planner::time::Timestamp;
use crate::telemetry::timeline::{KEPT, Lane, Span, Timeline};
use crate::text::{span, took};

/// Targets that are drawn; how many more there are is said.
const TARGETS_MAX: usize = 8;
/// The height of a line, of a title, and of the sessions.
const LINE: u32 = 20;
const TITLE: u32 = 16;
const SESSIONS: u32 = 34;
/// The height of the times below.
const AXIS: u32 = 18;
/// What a close look shows at least.
const CLOSE_MIN: Duration = Duration::from_secs(10);
/// The steps between times, in seconds.
pub const STEPS: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
/// Times along the width, at most: so many fit on a phone, to the minute and to the second.
const TICKS_MAX: (u64, u64) = (6, 4);
/// What is no wider, in hundredths of the width, would not be seen.
const WIDTH_MIN: f64 = 0.4;
/// About how wide a letter is, in hundredths of a width that is rather narrow.
const LETTER: f64 = 1.1;
/// From here on, in hundredths of the width, what is said of a beginning stands before it: on a phone it would run off.
const MIDDLE: f64 = 50.0;

/// The time that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From.
    pub from: Timestamp,
    /// To.
    pub to: Timestamp,
}

impl Window {
    /// The last hour; less if the first look is not as long ago.
    pub fn hour(timeline: &Timeline, now: Timestamp) -> Self {
        let from = before(now, KEPT);
        let since = timeline.since().unwrap_or(from).min(before(now, CLOSE_MIN));
        Self {
            from: from.max(since),
            to: now,
        }
    }

    /// What it shows, where it ends now.
    pub fn title(&self) -> String {
        match self.lasts() >= KEPT {
            true => "The last hour".to_owned(),
            false => format!("The last {}, since the first look", span(self.lasts())),
        }
    }

    /// The last change close up, if there was one: with a little of what was before, and of what came after.
    pub fn close_up(timeline: &Timeline, now: Timestamp) -> Option<Self> {
        let passage = timeline.passage()?;
        let ended = passage.ended.unwrap_or(now).min(passage.began + KEPT);
        let lasts = ended.since(passage.began).max(CLOSE_MIN);
        Some(Self {
            from: before(passage.began, lasts / 10),
            to: passage.began + lasts + lasts / 5,
        })
    }

    /// How long that is.
    pub fn lasts(&self) -> Duration {
        self.to.since(self.from)
    }

    /// Where a moment is, in hundredths of the width.
    pub fn x(&self, at: Timestamp) -> f64 {
        let at = at.clamp(self.from, self.to);
        at.since(self.from).as_secs_f64() * 100.0 / self.lasts().as_secs_f64().max(0.001)
    }

    fn has(&self, span: &Span) -> bool {
        span.from <= self.to && span.until.is_none_or(|until| until >= self.from)
    }
}

/// The moment that is so long before another.
pub fn before(at: Timestamp, lasts: Duration) -> Timestamp {
    let millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_sub(millis))
}

/// Draws what became of a target group or a proxy within a window, below a title.
pub fn write(out: &mut String, title: &str, timeline: &Timeline, window: Window, now: Timestamp) -> Result {
    let mut chart = Chart {
        labels: String::new(),
        grid: String::new(),
        plot: String::new(),
        y: 0,
        timeline,
        window,
        now,
    };
    chart.fill()?;
    let height = chart.y + AXIS;
    chart.axis()?;
    let Chart { labels, grid, plot, .. } = chart;
    writeln!(
        out,
        "<figure><figcaption>{title}</figcaption><div class=chart><svg class=key height={height} aria-hidden=true>{labels}</svg>\
         <svg class=plot height={height} role=img aria-label=\"{title}\">{grid}{plot}</svg></div></figure>"
    )
}

struct Chart<'a> {
    labels: String,
    /// What is below the lines.
    grid: String,
    plot: String,
    /// How far down it is drawn.
    y: u32,
    timeline: &'a Timeline,
    window: Window,
    now: Timestamp,
}

impl Chart<'_> {
    fn fill(&mut self) -> Result {
        let is_of_proxy = self.timeline.samples().next().is_some();
        let mut targets: Vec<Target> = Vec::new();
        for span in self.timeline.spans().iter().filter(|span| self.window.has(span)) {
            if let Some(target) = span.target.filter(|target| !targets.contains(target)) {
                targets.push(target);
            }
        }
        let more = targets.len().saturating_sub(TARGETS_MAX);
        // The latest matter most.
        for target in targets.iter().skip(more) {
            write!(self.plot, "<text class=t y={}>{target}</text>", self.y + 12)?;
            self.y += TITLE;
            match is_of_proxy {
                true => self.line("in use", Lane::Used, Some(*target))?,
                false => {
                    for (name, lane) in [
                        ("DNS", Lane::Named),
                        ("proven", Lane::Proven),
                        ("registered", Lane::Registered),
                        ("healthy", Lane::Healthy),
                        ("draining", Lane::Draining),
                    ] {
                        self.line(name, lane, Some(*target))?;
                    }
                }
            }
        }
        if more > 0 {
            write!(
                self.plot,
                "<text class=t y={}>and {more} more before</text>",
                self.y + 12
            )?;
            self.y += TITLE;
        }
        if targets.is_empty() && !is_of_proxy {
            self.line("targets", Lane::Named, None)?;
            write!(self.plot, "<text class=t x=4 y={}>none was seen</text>", self.y - 6)?;
        }
        if is_of_proxy {
            self.y += 4;
            if self.timeline.spans().iter().any(|span| span.lane == Lane::Unresolved) {
                self.line("DNS", Lane::Unresolved, None)?;
            }
            self.line("ready", Lane::Ready, None)?;
            self.sessions()?;
        }
        Ok(())
    }

    /// One line; none if there is nothing to be drawn, of a target.
    fn line(&mut self, name: &str, lane: Lane, target: Option<Target>) -> Result {
        let all = self.timeline.spans().iter();
        let mut spans: Vec<Span> = all
            .filter(|span| (span.lane, span.target) == (lane, target) && self.window.has(span))
            .copied()
            .collect();
        if lane == Lane::Unresolved {
            // Whenever else somebody looked, it was resolved.
            spans = Vec::from([Span {
                lane: Lane::Named,
                target,
                from: self.timeline.since().unwrap_or(self.now),
                until: None,
            }]);
        }
        if spans.is_empty() && target.is_some() {
            return Ok(());
        }
        self.label(name, 17)?;
        let y = self.y;
        let mut free = 0.0;
        for span in &spans {
            let until = span.until.unwrap_or(self.now).min(self.window.to);
            let (x, width) = self.place(span.from, until);
            let (class, when) = (class(span.lane), self.when(name, span));
            write!(
                self.plot,
                "<rect class={class} x={x:.2}% y={} width={width:.2}% height=7><title>{when}</title></rect>",
                y + 11
            )?;
            let note = self.remark(span).filter(|_| span.from >= self.window.from);
            if let Some(note) = note {
                let letters = note
                    .replace("<tspan class=w>", "")
                    .replace("</tspan>", "")
                    .chars()
                    .count();
                let length = letters as f64 * LETTER;
                let is_left = x > MIDDLE;
                let (begins, ends) = if is_left { (x - length, x) } else { (x, x + length) };
                if begins >= free {
                    let anchor = if is_left { " text-anchor=end" } else { "" };
                    write!(self.plot, "<text x={x:.2}% y={}{anchor}>{note}</text>", y + 9)?;
                    free = ends;
                }
            }
        }
        let gaps = all_gaps(self.timeline, lane, self.window.from, self.now);
        for (from, until) in gaps
            .into_iter()
            .filter(|(from, until)| *until >= self.window.from && *from <= self.window.to)
        {
            let (x, width) = self.place(from, until.min(self.window.to));
            let (end, middle) = (x + width, y + 14);
            write!(
                self.plot,
                "<rect class=void x={x:.2}% y={} width={width:.2}% height=9 /><line class=gap x1={x:.2}% x2={end:.2}% y1={middle} \
                 y2={middle}><title>not known for {}</title></line>",
                y + 10,
                span_of(from, until),
            )?;
        }
        self.y += LINE;
        Ok(())
    }

    fn sessions(&mut self) -> Result {
        let window = self.window;
        let mut samples: Vec<_> = self
            .timeline
            .samples()
            .filter(|sample| sample.at <= window.to)
            .collect();
        let earlier = samples.iter().filter(|sample| sample.at < window.from).count();
        samples.drain(..earlier.saturating_sub(1));
        let most = samples.iter().map(|sample| sample.open).max().unwrap_or_default();
        let mut path = String::new();
        let height = |open: u32| 100.0 - f64::from(open) * 90.0 / f64::from(most.max(1));
        for (index, sample) in samples.iter().enumerate() {
            let (x, y) = (window.x(sample.at) * 10.0, height(sample.open));
            match index {
                0 => write!(path, "M{x:.0} {y:.0}")?,
                _ => write!(path, "H{x:.0}V{y:.0}")?,
            }
        }
        let end = window.x(self.now) * 10.0;
        self.label("sessions", SESSIONS - 4)?;
        let (y, inner) = (self.y, SESSIONS - 6);
        write!(
            self.plot,
            "<svg x=0 y={y} width=100% height={inner} viewBox=\"0 0 1000 100\" preserveAspectRatio=none><path class=sessions \
             d=\"{path}H{end:.0}\" /></svg><text x=100% y={} text-anchor=end>at most {most}</text>",
            y + 10
        )?;
        self.y += SESSIONS;
        Ok(())
    }

    fn axis(&mut self) -> Result {
        let (lasts, y) = (self.window.lasts().as_secs().max(1), self.y);
        let fits = |step: &u64| lasts / step <= if *step < 60 { TICKS_MAX.1 } else { TICKS_MAX.0 };
        let step = STEPS.into_iter().find(fits).unwrap_or(lasts);
        write!(self.grid, "<line class=axis x1=0 x2=100% y1={} y2={} />", y + 3, y + 3)?;
        // Times are those of the wall clock.
        let first = self.window.from.written().div_ceil(step * 1000) * step;
        for second in (first..).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let at = Timestamp::from_written(second * 1000);
            if at > self.window.to {
                break;
            }
            let x = self.window.x(at);
            write!(self.grid, "<line class=axis x1={x:.2}% x2={x:.2}% y1=0 y2={} />", y + 6)?;
            // Near an edge there is no room for it.
            if (8.0..92.0).contains(&x) {
                let time = time_of_day(second, step < 60);
                write!(
                    self.grid,
                    "<text x={x:.2}% y={} text-anchor=middle>{time}</text>",
                    y + 16
                )?;
            }
        }
        Ok(())
    }

    fn label(&mut self, name: &str, below: u32) -> Result {
        write!(self.labels, "<text y={}>{name}</text>", self.y + below)
    }

    fn place(&self, from: Timestamp, until: Timestamp) -> (f64, f64) {
        let (from, until) = (self.window.x(from), self.window.x(until));
        let width = (until - from).max(WIDTH_MIN);
        (from.min(100.0 - width), width)
    }

    fn when(&self, name: &str, span: &Span) -> String {
        let time = |at: Timestamp| time_of_day(at.written() / 1000, true);
        let until = span.until.map_or_else(|| "now".to_owned(), time);
        let lasts = span_of(span.from, span.until.unwrap_or(self.now));
        format!("{name} from {} to {until} ({lasts})", time(span.from))
    }

    /// How long it took to come to that.
    fn remark(&self, new: &Span) -> Option<String> {
        let of_it = || self.timeline.spans().iter().filter(|span| span.target == new.target);
        let under_way = |lane: Lane| {
            let mut spans = of_it().filter(move |span| span.lane == lane && span.from < new.from);
            spans
                .find(|span| span.until.is_none_or(|until| until >= new.from))
                .map(|span| span.from)
        };
        let (named, proven) = (under_way(Lane::Named), under_way(Lane::Proven));
        let after = |from: Timestamp| took(new.from.since(from));
        // Where there is little room it is left out: the line has its name.
        let word = match new.lane {
            Lane::Healthy => "<tspan class=w>healthy </tspan>",
            _ => "<tspan class=w>registered </tspan>",
        };
        // It was so before, and DNS has named it all the time: it came back.
        let before = of_it()
            .filter(|span| span.lane == new.lane && Some(span.from) >= named)
            .filter_map(|span| span.until);
        let before = before.filter(|until| *until <= new.from).max();
        match new.lane {
            Lane::Named => Some(format!("{} after proof", after(proven?))),
            Lane::Proven => Some(format!("{} after DNS", after(named?))),
            Lane::Registered | Lane::Healthy => Some(match (before, named, proven) {
                (Some(before), Some(_), _) => format!("{word}again after {}", after(before)),
                (_, Some(named), proven) if proven.is_none_or(|proven| named <= proven) => {
                    format!("{word}{} after DNS", after(named))
                }
                (_, _, proven) => format!("{word}{} after proof", after(proven?)),
            }),
            Lane::Draining => {
                let left = of_it()
                    .filter(|span| span.lane == Lane::Named)
                    .filter_map(|span| span.until);
                let left = left.filter(|until| *until <= new.from).max()?;
                Some(format!("{} after DNS", after(left)))
            }
            Lane::Used | Lane::Ready | Lane::Unresolved | Lane::Unlisted | Lane::Unseen => None,
        }
    }
}

fn class(lane: Lane) -> &'static str {
    match lane {
        Lane::Named | Lane::Used => "named",
        Lane::Proven => "proven",
        Lane::Registered => "registered",
        Lane::Healthy | Lane::Ready => "healthy",
        Lane::Draining | Lane::Unresolved | Lane::Unlisted | Lane::Unseen => "draining",
    }
}

/// When it was not known whether that was so.
fn all_gaps(timeline: &Timeline, lane: Lane, begins: Timestamp, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let hides = |gap: Lane| match lane {
        Lane::Named | Lane::Unresolved => matches!(gap, Lane::Unresolved | Lane::Unseen),
        Lane::Registered | Lane::Healthy | Lane::Draining => matches!(gap, Lane::Unlisted | Lane::Unseen),
        _ => gap == Lane::Unseen,
    };
    let gaps = timeline.spans().iter().filter(|span| hides(span.lane));
    let gaps = gaps.map(|span| (span.from, span.until.unwrap_or(now)));
    let unseen = timeline
        .since()
        .map(|since| (begins, since))
        .filter(|(begins, since)| since > begins);
    unseen.into_iter().chain(gaps).collect()
}

fn span_of(from: Timestamp, until: Timestamp) -> String {
    span(until.since(from))
}

/// The time of day, in UTC.
pub fn time_of_day(secs: u64, to_the_second: bool) -> String {
    let (hours, minutes) = (secs / 3600 % 24, secs / 60 % 60);
    match to_the_second {
        true => format!("{hours:02}:{minutes:02}:{:02}", secs % 60),
        false => format!("{hours:02}:{minutes:02}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::planner::target::State;
    use crate::telemetry::timeline::Look;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000 + millis)
    }

    fn target(last: u8) -> Target {
        Target {
            ip: [10, 0, 0, last].into(),
            port: 5432,
        }
    }

    fn look(millis: u64, named: u8, proven: Option<u8>, healthy: &[u8]) -> Look {
        let states: BTreeMap<Target, State> = healthy.iter().map(|last| (target(*last), State::Healthy)).collect();
        Look {
            at: at(millis),
            ended: at(millis),
            is_of_readers: false,
            named: BTreeSet::from([target(named)]),
            is_blind: false,
            seeing_since: None,
            proven: proven.map(target).into_iter().collect(),
            listed: Some((at(millis), states)),
            registered: BTreeSet::new(),
            deregistered: BTreeSet::new(),
            begins: false,
            ends: false,
            is_progress: false,
        }
    }

    /// The texts of a drawing, without those of marks.
    fn texts(timeline: &Timeline, window: Window, now: Timestamp) -> Vec<String> {
        let mut drawn = String::new();
        write(&mut drawn, "A title", timeline, window, now).expect("a String takes all");
        let texts = drawn.split("<text").skip(1).map(|rest| {
            let (_, text) = rest.split_once('>').expect("an end of the mark");
            let text = text.split("</text>").next().unwrap_or_default();
            text.replace("<tspan class=w>", "").replace("</tspan>", "")
        });
        texts.collect()
    }

    #[test]
    fn what_a_change_took_stands_beside_it() {
        let begins = |look| Look { begins: true, ..look };
        let registers = |millis: u64, look| Look {
            ended: at(millis),
            registered: BTreeSet::from([target(2)]),
            ..look
        };
        for (case, looks, expect) in [
            (
                "DNS was first",
                [
                    begins(registers(10_210, look(10_000, 2, None, &[1]))),
                    look(21_000, 2, Some(2), &[1, 2]),
                    look(22_000, 2, Some(2), &[1, 2]),
                ],
                [
                    "11.0 s after DNS",
                    "registered 210 ms after DNS",
                    "healthy 11.0 s after DNS",
                ],
            ),
            (
                "the member was first",
                [
                    begins(registers(10_400, look(10_000, 1, Some(2), &[1]))),
                    look(21_000, 2, Some(2), &[1, 2]),
                    look(22_000, 2, Some(2), &[1, 2]),
                ],
                [
                    "11.0 s after proof",
                    "registered 400 ms after proof",
                    "healthy 11.0 s after proof",
                ],
            ),
            (
                "its health came and went",
                [
                    begins(registers(10_050, look(10_000, 2, None, &[1, 2]))),
                    look(12_000, 2, None, &[1]),
                    look(15_000, 2, None, &[1, 2]),
                ],
                [
                    "10.0.0.2:5432",
                    "registered again after 3.0 s",
                    "healthy again after 3.0 s",
                ],
            ),
        ] {
            let mut timeline = Timeline::default();
            timeline.note(&look(0, 1, None, &[1]));
            looks.iter().for_each(|look| timeline.note(look));
            let window = Window::close_up(&timeline, at(25_000)).expect("a change");
            let texts = texts(&timeline, window, at(25_000));
            for text in expect {
                assert!(
                    texts.iter().any(|drawn| drawn == text),
                    "{case}: no {text} in {texts:?}"
                );
            }
        }
    }

    #[test]
    fn the_window_is_an_hour_and_its_times_are_round() {
        let mut timeline = Timeline::default();
        timeline.note(&look(0, 1, None, &[1]));
        let young = Window::hour(&timeline, at(45_000));
        assert_eq!(
            (young.lasts(), young.title()),
            (
                Duration::from_secs(45),
                "The last 45 s, since the first look".to_owned()
            )
        );
        let now = at(7_200_000);
        let window = Window::hour(&timeline, now);
        assert_eq!((window.lasts(), window.title()), (KEPT, "The last hour".to_owned()));
        let texts = texts(&timeline, window, now);
        let times: Vec<&String> = texts
            .iter()
            .filter(|text| text.contains(':') && !text.contains('.'))
            .collect();
        assert_eq!(times.len(), 5, "{texts:?}");
        assert!(
            times.iter().all(|time| time.ends_with('0') && time.len() == 5),
            "{texts:?}"
        );
        assert_eq!(Window::close_up(&timeline, now), None);
    }

    #[test]
    fn what_nobody_knows_is_dashed() {
        let mut timeline = Timeline::default();
        timeline.note(&look(0, 1, None, &[1]));
        timeline.note(&Look {
            is_blind: true,
            ..look(10_000, 1, None, &[1])
        });
        timeline.note(&look(20_000, 1, None, &[1]));
        let mut drawn = String::new();
        let now = at(100_000);
        write(&mut drawn, "A title", &timeline, Window::hour(&timeline, now), now).expect("a String takes all");
        assert_eq!(drawn.matches("class=gap").count(), 1, "of DNS alone: {drawn}");
        assert!(drawn.contains("<rect class=void x=10.00% y=26 width=10.00%"), "{drawn}");
    }
}
