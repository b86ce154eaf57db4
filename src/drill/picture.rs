//! A drill's report as a picture: how long each moment came after the lost connection, and below, on the same time, what each thing was.
//! It stands alone, and is dark where its reader is. Pure.

use std::fmt::{Result, Write as _};
use std::time::Duration;

use super::report::{Lane, Mark, Report, Span, lag};
use super::table::{headline, name, signed, state, time, unwatched};
use crate::planner::time::Timestamp;
use crate::telemetry::chart::{STEPS, Window, before};
use crate::telemetry::markup::html;
use crate::telemetry::page::colours;
use crate::text::{shown, took};

/// The width of all, where the time is drawn, and where that ends.
const WIDTH: u32 = 1000;
const LEFT: u32 = 250;
const RIGHT: u32 = 790;
/// The height of a row, and of its bar.
const ROW: u32 = 21;
const BAR: u32 = 13;
/// Letters of a name that fit before the time.
const NAME_MAX: usize = 34;
/// Letters that fit in the whole width.
const LINE_MAX: usize = 150;
/// About how wide a letter is.
const LETTER: f64 = 6.0;
/// What is no wider would not be seen.
const WIDTH_MIN: f64 = 2.0;
/// Times below, at most.
const TICKS_MAX: u64 = 9;
/// What is drawn at least.
const WINDOW_MIN: Duration = Duration::from_secs(5);

const STYLE: &str = "text { font: 12px system-ui, sans-serif; fill: var(--ink) } .dim { fill: var(--dim) } .h { font-size: 17px; font-weight: 600 } \
    .b { font-weight: 600 } .in, .on { font-size: 10.5px } .in { fill: var(--ground) } .ground { fill: var(--ground) } .axis { stroke: var(--edge) } \
    .zero { stroke: var(--no); stroke-dasharray: 3 3 } .named { fill: var(--named) } .proven { fill: var(--proven) } \
    .registered { fill: var(--registered) } .healthy { fill: var(--healthy) } .draining { fill: var(--draining) } .wait { fill: var(--wait) } \
    .no { fill: var(--no) } .faint { opacity: .35 }";

/// Draws it as SVG.
pub fn svg(report: &Report) -> String {
    let base = base(report);
    let mut picture = Picture {
        drawn: String::new(),
        y: 70,
        window: window(report, base),
        ended: report.ended,
        base,
    };
    // Writing to a String cannot fail.
    let _ = picture.fill(report);
    let mut out = String::new();
    let _ = frame(&mut out, report, &picture);
    out
}

struct Picture {
    drawn: String,
    /// How far down it is drawn.
    y: u32,
    window: Window,
    /// When nobody looked any more.
    ended: Timestamp,
    base: Option<Timestamp>,
}

/// What lags are counted from.
fn base(report: &Report) -> Option<Timestamp> {
    let counted = report.marks.iter().find(|mark| mark.lag_ms.is_some())?;
    let (at, lag) = (counted.at?.as_millis(), counted.lag_ms?);
    Some(Timestamp::from_millis(at.saturating_add_signed(lag.saturating_neg())))
}

/// The time from before the first moment until after the last one; all of it if there is none.
fn window(report: &Report, base: Option<Timestamp>) -> Window {
    let seen = report.marks.iter().flat_map(|mark| [mark.at, mark.steady_at]);
    let seen: Vec<Timestamp> = seen.flatten().chain(base).filter(|at| *at >= report.started).collect();
    let (from, to) = match (seen.iter().min(), seen.iter().max()) {
        (Some(first), Some(last)) => (*first, *last),
        _ => (report.started, report.ended),
    };
    let lasts = to.since(from).max(WINDOW_MIN);
    Window {
        from: before(from, lasts / 12),
        to: from + lasts + lasts / 12,
    }
}

fn frame(out: &mut String, report: &Report, picture: &Picture) -> Result {
    let height = picture.y + 16;
    let name = text(&report.endpoint);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>Drill of {name}</title>\n<style>{}{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n<text class=\"h\" x=\"16\" y=\"28\">Drill of {name}</text>",
        colours(),
    )?;
    let zero = match (picture.base, report.lags_from) {
        (Some(base), Some(from)) => {
            let what = match from {
                "connection_lost" => "the connection was lost",
                "triggered" => "it was triggered",
                _ => "something changed first",
            };
            let at = base.to_string();
            let day = at.split('T').next().unwrap_or_default();
            format!(". 0 s is {day} {} UTC, when {what}", time(base))
        }
        _ => String::new(),
    };
    let (came, version) = (text(headline(report)), report.version);
    writeln!(
        out,
        "<text class=\"dim\" x=\"16\" y=\"49\">rds-tether {version}: {came}{zero}</text>\n{}</svg>",
        picture.drawn
    )
}

impl Picture {
    fn fill(&mut self, report: &Report) -> Result {
        let top = self.y;
        self.heading(if self.base.is_some() { "After 0 s" } else { "Moments" })?;
        for mark in &report.marks {
            self.mark(mark)?;
        }
        for (what, heading) in [
            ("dns", "Name servers"),
            ("address", "Addresses"),
            ("member", "Members"),
            ("target", "Targets"),
            ("through", "Through"),
        ] {
            let lanes: Vec<&Lane> = report.lanes.iter().filter(|lane| lane.what == what).collect();
            if !lanes.is_empty() {
                self.heading(heading)?;
            }
            for lane in lanes {
                self.lane(lane)?;
            }
        }
        self.events(report)?;
        let rows = std::mem::take(&mut self.drawn);
        self.grid(top)?;
        self.drawn.push_str(&rows);
        if !report.not_watched.is_empty() {
            self.heading("Not watched")?;
        }
        for not_watched in &report.not_watched {
            let y = self.y + 14;
            self.y += ROW;
            let line: String = unwatched(not_watched).chars().take(LINE_MAX).collect();
            writeln!(self.drawn, "<text x=\"28\" y=\"{y}\">{}</text>", text(line))?;
        }
        Ok(())
    }

    fn heading(&mut self, heading: &str) -> Result {
        self.y += 10;
        writeln!(
            self.drawn,
            "<text class=\"b\" x=\"16\" y=\"{}\">{heading}</text>",
            self.y + 13
        )?;
        self.y += ROW;
        Ok(())
    }

    /// How long after the beginning it came.
    fn mark(&mut self, mark: &Mark) -> Result {
        let name = match &mark.of {
            Some(of) => format!("through {of}"),
            None => name(mark).to_owned(),
        };
        self.name(&name)?;
        let y = self.y;
        let Some(at) = mark.at else {
            return self.note(state(mark), "dim");
        };
        let (x, zero) = (self.x(at), self.x(self.base.unwrap_or(at)));
        let class = class_of(mark.mark);
        let (from, to) = (x.min(zero), x.max(zero));
        let middle = y + 10;
        writeln!(
            self.drawn,
            "<rect class=\"{class} faint\" x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"5\"/>\
             <circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{middle}\" r=\"4.5\"/>",
            y + 8,
            to - from,
        )?;
        if let Some(steady) = mark.steady_at {
            let end = self.x(steady);
            writeln!(
                self.drawn,
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{end:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>\
                 <rect class=\"{class}\" x=\"{:.1}\" y=\"{}\" width=\"3\" height=\"11\"/>",
                end - 1.5,
                y + 5,
            )?;
        }
        let mut note = mark.lag_ms.map(signed).unwrap_or_default();
        if let Some(steady) = mark.steady_lag_ms {
            note = format!("{note}, steady {}", signed(steady));
        }
        self.note(&note, "b")
    }

    fn lane(&mut self, lane: &Lane) -> Result {
        let name = match &lane.address {
            Some(address) if *address != lane.of => format!("{address} of {}", lane.of),
            _ => lane.of.clone(),
        };
        self.name(&name)?;
        for span in &lane.spans {
            self.span(lane, span)?;
        }
        self.y += ROW;
        Ok(())
    }

    fn span(&mut self, lane: &Lane, span: &Span) -> Result {
        let until = span.until.unwrap_or(self.ended).min(self.window.to);
        if until < self.window.from || span.from > self.window.to {
            return Ok(());
        }
        let (x, end) = (self.x(span.from), self.x(until));
        let width = (end - x).max(WIDTH_MIN);
        let class = class_of_state(lane.what, &span.state);
        let words = span.state.replace('_', " ");
        let lasted = span
            .until
            .map_or_else(|| "until the end".to_owned(), |until| took(until.since(span.from)));
        let detail = span
            .detail
            .as_ref()
            .map(|detail| format!(": {detail}"))
            .unwrap_or_default();
        writeln!(
            self.drawn,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"><title>{}</title></rect>",
            self.y + 4,
            text(format!("{words} from {} ({lasted}){detail}", time(span.from))),
        )?;
        if words.chars().count() as f64 * LETTER + 8.0 <= width {
            let y = self.y + 14;
            let class = if class == "draining" { "on" } else { "in" };
            writeln!(
                self.drawn,
                "<text class=\"{class}\" x=\"{:.1}\" y=\"{y}\">{}</text>",
                x + 4.0,
                text(words)
            )?;
        }
        Ok(())
    }

    fn events(&mut self, report: &Report) -> Result {
        if report.events.is_empty() {
            return Ok(());
        }
        self.heading("RDS events")?;
        let from = self.window.from;
        for event in report.events.iter().filter(|event| event.came >= from) {
            let words = event.text.as_deref().or(event.id.as_deref()).unwrap_or("an event");
            self.name(words)?;
            let (x, y) = (self.x(event.came), self.y);
            writeln!(
                self.drawn,
                "<circle class=\"wait\" cx=\"{x:.1}\" cy=\"{}\" r=\"4.5\"><title>{}</title></circle>",
                y + 10,
                text(words)
            )?;
            let lag = lag(Some(event.came), self.base).map(signed);
            self.note(&lag.unwrap_or_default(), "b")?;
        }
        Ok(())
    }

    fn grid(&mut self, top: u32) -> Result {
        let (bottom, lasts) = (self.y + 4, self.window.lasts().as_secs().max(1));
        let zero = self.base.unwrap_or(self.window.from);
        let step = STEPS
            .into_iter()
            .find(|step| lasts / step <= TICKS_MAX)
            .unwrap_or(lasts);
        let from = lag(Some(self.window.from), Some(zero)).unwrap_or_default();
        let step = i64::try_from(step).unwrap_or(i64::MAX / 1000);
        let first = from.div_euclid(step * 1000) + 1;
        for second in (first..).map(|n| n * step) {
            let at = Timestamp::from_millis(zero.as_millis().saturating_add_signed(second * 1000));
            if at > self.window.to {
                break;
            }
            let x = self.x(at);
            let class = if second == 0 && self.base.is_some() {
                "zero"
            } else {
                "axis"
            };
            writeln!(
                self.drawn,
                "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
                 <text class=\"dim\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{second} s</text>",
                bottom + 14
            )?;
        }
        self.y = bottom + 18;
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result {
        let short: String = match name.chars().count() > NAME_MAX {
            true => name.chars().take(NAME_MAX - 1).chain(['…']).collect(),
            false => name.to_owned(),
        };
        let (y, name) = (self.y + 14, text(name));
        writeln!(
            self.drawn,
            "<text x=\"28\" y=\"{y}\">{}<title>{name}</title></text>",
            text(short)
        )
    }

    /// What is said of a row, which ends with it.
    fn note(&mut self, note: &str, class: &str) -> Result {
        let (x, y) = (RIGHT + 14, self.y + 14);
        self.y += ROW;
        writeln!(
            self.drawn,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>",
            text(note)
        )
    }

    fn x(&self, at: Timestamp) -> f64 {
        f64::from(LEFT) + self.window.x(at) * f64::from(RIGHT - LEFT) / 100.0
    }
}

fn class_of(mark: &str) -> &'static str {
    match mark {
        "connection_lost" => "no",
        "writer" => "proven",
        "dns_first" | "dns_all" => "named",
        "registered" => "registered",
        "healthy" | "through" => "healthy",
        _ => "wait",
    }
}

fn class_of_state(what: &str, state: &str) -> &'static str {
    match (what, state) {
        ("dns", "new") => "named",
        ("dns", "old") | ("member", "reader") | ("target", "draining") => "draining",
        ("member", "writer") => "proven",
        ("target", "initial") => "registered",
        ("target", "healthy") | (_, "sessions" | "writer") => "healthy",
        ("dns", "both" | "other") | ("target", _) | (_, "reader" | "neither" | "denied") => "wait",
        _ => "no",
    }
}

/// A text as XML has it, which knows two characters less.
fn text(text: impl std::fmt::Display) -> String {
    html(shown(text)).replace(['\u{fffe}', '\u{ffff}'], "")
}
