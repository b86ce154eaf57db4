//! Metrics for Prometheus. What is counted comes from the reports; where things stand is read off the board at each scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::aws::arn::Arn;
use crate::counts::{Calls, Counters, Histograms, Labels, Looks, Notifications};
use crate::exit::Exit;
use crate::follow::milestone::Milestone;
use crate::follow::report::Report;
use crate::planner::lead::{Says, Showing};
use crate::planner::plan::Note;
use crate::planner::serving::Because;
use crate::planner::target::State;
use crate::planner::time::Timestamp;
use crate::proxy::Tally;
use crate::telemetry::board::Board;

/// How reloads end.
const RELOADS: [&str; 2] = ["taken", "refused"];

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    steps: Counters,
    address_changes: Counters,
    removed_by_others: Counters,
    convergence: Histograms,
    reloads: Counters,
    settings_loaded: Gauge<f64, AtomicU64>,
    /// Looks at DNS.
    pub looks: Looks,
    /// Calls of AWS.
    pub calls: Calls,
    /// Notifications.
    pub notifications: Notifications,
}

impl Metrics {
    /// Nothing counted yet; a scrape also reads the board.
    pub fn new(board: &Arc<Board>) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("rds_tether"),
            steps: Counters::default(),
            address_changes: Counters::default(),
            removed_by_others: Counters::default(),
            convergence: Histograms::new_with_constructor(convergence_histogram),
            reloads: Counters::default(),
            settings_loaded: Gauge::default(),
            looks: Looks::default(),
            calls: Calls::default(),
            notifications: Notifications::default(),
        };
        metrics.register();
        metrics.notifications.show();
        let standing = Standing(Arc::clone(board));
        metrics.registry.register_collector(Box::new(standing));
        metrics
    }

    fn register(&mut self) {
        for (name, help, counters) in [
            ("steps", "Steps, by how they ended", &self.steps),
            (
                "address_changes",
                "Targets registered or deregistered because DNS changed",
                &self.address_changes,
            ),
            (
                "removed_by_others",
                "Looks that missed a target which DNS names and somebody else has removed",
                &self.removed_by_others,
            ),
            ("dns_looks", "Answers and failures of each name server", &self.looks.0),
            ("aws_calls", "Calls of AWS, by how they ended", &self.calls.ended),
            (
                "notifications",
                "Messages for the SNS topic, by what became of them",
                &self.notifications.0,
            ),
            ("settings_reloads", "Attempts to read the settings again", &self.reloads),
        ] {
            self.registry.register(name, help, counters.clone());
        }
        self.registry.register(
            "convergence_seconds",
            "Time from the first sight of a change to a point that it reached",
            self.convergence.clone(),
        );
        self.registry.register(
            "aws_call_duration_seconds",
            "How long AWS took to answer",
            self.calls.took.clone(),
        );
        self.registry.register(
            "settings_loaded_timestamp_seconds",
            "When the settings in force were read",
            self.settings_loaded.clone(),
        );
    }

    /// Takes a report.
    pub fn note(&self, report: &Report) {
        let group = ("target_group", group_label(&report.binding.arn));
        let labels = vec![group.clone(), ("outcome", outcome(report).to_owned())];
        self.steps.get_or_create(&labels).inc();
        for (change, targets) in [("register", &report.registered), ("deregister", &report.deregistered)] {
            // It is there from the first step on: an increase from nothing is none to Prometheus.
            let labels = vec![group.clone(), ("change", change.into())];
            let count = targets.done.len() as u64;
            self.address_changes.get_or_create(&labels).inc_by(count);
        }
        let is_found = report.plan.taken.as_ref().is_some_and(|taken| !taken.found.is_empty());
        self.removed_by_others
            .get_or_create(&vec![group])
            .inc_by(u64::from(is_found));
        for (phase, took) in report.reached.iter().filter_map(phase) {
            let labels = vec![("phase", phase.to_owned())];
            self.convergence.get_or_create(&labels).observe(took.as_secs_f64());
        }
    }

    /// The settings were read for the first time.
    pub fn settings_in_force(&self, at: Timestamp) {
        self.settings_loaded.set(seconds(at));
        for outcome in RELOADS {
            let labels = vec![("outcome", outcome.to_owned())];
            self.reloads.get_or_create(&labels).inc_by(0);
        }
    }

    /// The settings were read again.
    pub fn reloaded(&self, at: Timestamp, are_taken: bool) {
        let [taken, refused] = RELOADS;
        let outcome = if are_taken { taken } else { refused };
        self.reloads.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
        if are_taken {
            self.settings_loaded.set(seconds(at));
        }
    }

    /// The page for Prometheus, in its text format (version 0.0.4).
    pub fn page(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        plain(&text)
    }
}

/// OpenMetrics as the older text format has it: a counter's name ends in `_total` in its description, too.
fn plain(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let total = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                text.push_str(&format!("# HELP {name}{total} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{total} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Where things stand, read off the board at each scrape.
struct Standing(Arc<Board>);

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

type Sample = (Labels, f64);

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        gauge(out, "build_info", "The version that runs", vec![(version, 1.0)])?;
        let started = vec![(Labels::new(), seconds(self.0.started()))];
        gauge(out, "start_timestamp_seconds", "When the process started", started)?;
        self.encode_bindings(out)?;
        self.encode_leads(out)?;
        self.encode_places(out)?;
        self.encode_proxies(out)
    }
}

type Count = fn(&Tally) -> u64;

/// Counters of each proxy: name, meaning, and where a tally has the number.
const OF_PROXIES: [(&str, &str, Count); 6] = [
    ("proxy_connections", "Sessions that reached the database", |tally| {
        tally.sessions
    }),
    (
        "proxy_waited",
        "Clients that had to wait for a database that takes sessions",
        |tally| tally.waited,
    ),
    ("proxy_refused", "Connections that were refused", |tally| tally.refused),
    (
        "proxy_cut",
        "Sessions closed because their address was gone from DNS",
        |tally| tally.cut,
    ),
    (
        "proxy_silent",
        "Sessions closed because a peer acknowledged nothing",
        |tally| tally.silent,
    ),
    (
        "proxy_redials",
        "Dials begun anew because the address changed",
        |tally| tally.redialled,
    ),
];

impl Standing {
    fn encode_bindings(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (mut in_sync, mut since, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let (mut holds, mut looked, mut answered) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rotates, mut nothing_serves) = (Vec::new(), Vec::new());
        for line in self.0.lines() {
            let report = &line.report;
            let group = ("target_group", group_label(&report.binding.arn));
            in_sync.push((vec![group.clone()], f64::from(report.is_settled())));
            since.extend(line.in_sync_since.map(|at| (vec![group.clone()], seconds(at))));
            let is_rotation = |note: &Note| matches!(note, Note::Rotates { .. });
            rotates.push((
                vec![group.clone()],
                f64::from(report.plan.notes.iter().any(is_rotation)),
            ));
            for because in Because::ALL {
                let nothing = report.plan.serving.nothing();
                let labels = vec![group.clone(), ("reason", because.name().to_owned())];
                let is_so = nothing.is_some_and(|nothing| nothing.because == because);
                nothing_serves.push((labels, f64::from(is_so)));
            }
            looked.extend(line.listed.map(|at| (vec![group.clone()], seconds(at))));
            if let Ok(listed) = &report.targets {
                for state in State::WORDS {
                    let count = listed.values().filter(|target| target.state.as_str() == state).count();
                    targets.push((vec![group.clone(), ("state", state.to_owned())], count as f64));
                }
            }
            let mut reasons = BTreeMap::<&str, u32>::new();
            for hold in report.holds() {
                *reasons.entry(hold.reason.name()).or_default() += 1;
            }
            for (reason, count) in reasons {
                holds.push((vec![group.clone(), ("reason", reason.to_owned())], f64::from(count)));
            }
            for (endpoint, at) in &line.answered {
                let labels = vec![group.clone(), ("endpoint", endpoint.to_string())];
                answered.push((labels, seconds(*at)));
            }
        }
        let unseen = self.0.unseen();
        in_sync.extend(unseen.iter().map(|arn| (vec![("target_group", group_label(arn))], 0.0)));
        for (name, help, samples) in [
            ("in_sync", "Whether the target group equals DNS", in_sync),
            (
                "in_sync_since_timestamp_seconds",
                "Since when the target group has equalled DNS",
                since,
            ),
            ("targets", "Targets of the group in each state", targets),
            ("holds", "Changes deliberately not made, by reason", holds),
            (
                "nothing_serves",
                "Whether no target that ought to take connections does, by what keeps clients from them",
                nothing_serves,
            ),
            ("rotates", "Whether a name gives several addresses in turn", rotates),
            (
                "last_description_timestamp_seconds",
                "When the target group was last listed",
                looked,
            ),
            (
                "last_answer_timestamp_seconds",
                "When the endpoint was last resolved",
                answered,
            ),
        ] {
            gauge(out, name, help, samples)?;
        }
        Ok(())
    }

    fn encode_leads(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (mut ahead, mut disagrees, mut members) = (Vec::new(), Vec::new(), Vec::new());
        let now = self.0.now();
        for standing in self.0.standings() {
            let endpoint = ("endpoint", standing.endpoint.to_string());
            let ahead_for = standing.ahead_for(now);
            ahead.push((vec![endpoint.clone()], ahead_for.unwrap_or_default().as_secs_f64()));
            disagrees.push((vec![endpoint.clone()], f64::from(ahead_for.is_some())));
            for word in Says::WORDS {
                let says = |showing: &&Showing| showing.says.name() == word;
                let count = standing.shown.members.values().filter(says).count();
                members.push((vec![endpoint.clone(), ("says", word.to_owned())], count as f64));
            }
        }
        let help = "For how long a member has shown that it is the writer and DNS has named another";
        gauge(out, "lead_seconds", help, ahead)?;
        let help = "Whether a member shows that it is the writer and DNS names another";
        gauge(out, "dns_disagrees", help, disagrees)?;
        gauge(
            out,
            "members",
            "Members of the database, by what they say that they are",
            members,
        )
    }

    fn encode_places(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (mut failing, mut looked, mut tagged, mut held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for place in self.0.places() {
            let of_role = place.role.iter().map(|role| ("role", role.to_string()));
            let labels: Labels = [("region", place.region.to_string())]
                .into_iter()
                .chain(of_role)
                .collect();
            failing.push((labels.clone(), f64::from(place.failure.is_some())));
            looked.extend(place.looked.map(|at| (labels.clone(), seconds(at))));
            tagged.extend(place.tagged.map(|count| (labels.clone(), count as f64)));
            held.push((labels, place.troubles.len() as f64));
        }
        let help = "Whether the last look for tagged target groups failed";
        gauge(out, "discover_failing", help, failing)?;
        let help = "When tagged target groups were last looked for with success";
        gauge(out, "discover_last_look_timestamp_seconds", help, looked)?;
        gauge(out, "discover_tagged", "Target groups that are tagged", tagged)?;
        let help = "Target groups that are not followed as their tags say";
        gauge(out, "discover_held", help, held)
    }

    fn encode_proxies(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (mut ready, mut open, mut tallies) = (Vec::new(), Vec::new(), Vec::new());
        let (mut disputed, mut rotates, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for view in self.0.proxies() {
            let (listen, tally) = (("listen", view.address().to_string()), view.tally());
            ready.push((vec![listen.clone()], f64::from(view.ready().is_ok())));
            open.push((vec![listen.clone()], tally.open as f64));
            held.push((vec![listen.clone()], tally.held as f64));
            let (is_disputed, is_rotating) = view.doubts();
            disputed.push((vec![listen.clone()], f64::from(is_disputed)));
            rotates.push((vec![listen.clone()], f64::from(is_rotating)));
            tallies.push((listen, tally));
        }
        gauge(out, "proxy_ready", "Whether the proxy wants clients", ready)?;
        gauge(out, "proxy_sessions", "Connections that are open", open)?;
        let help = "Clients that wait for a database that takes sessions";
        gauge(out, "proxy_held", help, held)?;
        let help = "Whether the name servers have differed for too long";
        gauge(out, "proxy_disputed", help, disputed)?;
        gauge(
            out,
            "proxy_rotates",
            "Whether the name gives several addresses in turn",
            rotates,
        )?;
        for (name, help, count) in OF_PROXIES {
            let samples = tallies
                .iter()
                .map(|(listen, tally)| (vec![listen.clone()], count(tally) as f64));
            samples_of(out, name, help, samples.collect(), MetricType::Counter)?;
        }
        let bytes = tallies.iter().flat_map(|(listen, tally)| {
            let labels = |direction: &str| vec![listen.clone(), ("direction", direction.to_owned())];
            [(labels("up"), tally.up as f64), (labels("down"), tally.down as f64)]
        });
        let help = "Bytes carried to (up) and from (down) the database";
        samples_of(out, "proxy_bytes", help, bytes.collect(), MetricType::Counter)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, samples: Vec<Sample>) -> fmt::Result {
    samples_of(encoder, name, help, samples, MetricType::Gauge)
}

fn samples_of(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: Vec<Sample>,
    kind: MetricType,
) -> fmt::Result {
    // A description without samples would be a metric that is always absent.
    if samples.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in samples {
        let metric = family.encode_family(&labels)?;
        match kind {
            MetricType::Counter => ConstCounter::new(value).encode(metric)?,
            _ => ConstGauge::new(value).encode(metric)?,
        }
    }
    Ok(())
}

/// As CloudWatch names a target group in its dimensions: unique within an account and region.
fn group_label(arn: &Arn) -> String {
    let text = arn.as_str();
    text.rsplit(':').next().unwrap_or(text).to_owned()
}

fn outcome(report: &Report) -> &'static str {
    match report.trouble() {
        Some(Exit::Denied) => "denied",
        Some(Exit::Settings) => "not_usable",
        Some(Exit::Refused) => "refused",
        Some(Exit::Unavailable) => "unavailable",
        Some(_) => "failed",
        None if report.is_settled() => "settled",
        None => "unsettled",
    }
}

fn phase(milestone: &Milestone) -> Option<(&'static str, Duration)> {
    match milestone {
        Milestone::Registered(_, after) => Some(("register", *after)),
        Milestone::Healthy(_, after) => Some(("healthy", *after)),
        Milestone::Deregistered(_, after) => after.map(|after| ("deregister", after)),
        Milestone::Converged(after) => Some(("converge", *after)),
        Milestone::Named(_) | Milestone::Ahead(_) | Milestone::Unnamed(_) | Milestone::RemovedByOthers(_) => None,
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.written() as f64 / 1000.0
}

/// From 10 ms, a registration without load, to 5.5 min, ELB's slowest.
fn convergence_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_in_the_older_text_format() {
        let open_metrics = "# HELP a_steps Steps.\n# TYPE a_steps counter\na_steps_total{b=\"c\"} 1\n\
            # HELP a_time Time.\n# TYPE a_time histogram\n# UNIT a_time seconds\na_time_sum 1\n# EOF\n";
        let expect = "# HELP a_steps_total Steps.\n# TYPE a_steps_total counter\na_steps_total{b=\"c\"} 1\n\
            # HELP a_time Time.\n# TYPE a_time histogram\na_time_sum 1\n";
        assert_eq!(plain(open_metrics), expect);
    }
}
