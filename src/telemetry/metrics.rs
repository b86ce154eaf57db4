//! Metrics for Prometheus. What is counted comes from the reports; where things stand is read off the board at each scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::aws::arn::Arn;
use crate::exit::Exit;
use crate::follow::milestone::Milestone;
use crate::follow::report::Report;
use crate::planner::answer::{Failure, Said};
use crate::planner::target::State;
use crate::planner::time::Timestamp;
use crate::proxy::health::View;
use crate::telemetry::board::Board;
use crate::telemetry::http::Site;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// How reloads end.
const RELOADS: [&str; 2] = ["taken", "refused"];

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    steps: Counters,
    address_changes: Counters,
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
    /// Nothing counted yet; a scrape also reads the board and the proxies of the site.
    pub fn new(board: &Arc<Board>, site: &Arc<Site>) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("rds_tether"),
            steps: Counters::default(),
            address_changes: Counters::default(),
            convergence: Histograms::new_with_constructor(convergence_histogram),
            reloads: Counters::default(),
            settings_loaded: Gauge::default(),
            looks: Looks::default(),
            calls: Calls::default(),
            notifications: Notifications::default(),
        };
        metrics.register();
        metrics.notifications.show();
        metrics.registry.register_collector(Box::new(Standing {
            board: Arc::clone(board),
            site: Arc::clone(site),
        }));
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("steps", "Steps, by how they ended", self.steps.clone());
        registry.register(
            "address_changes",
            "Targets registered or deregistered because DNS changed",
            self.address_changes.clone(),
        );
        registry.register(
            "convergence_seconds",
            "Time from the first sight of a change to a point that it reached",
            self.convergence.clone(),
        );
        registry.register(
            "dns_looks",
            "Answers and failures of each name server",
            self.looks.0.clone(),
        );
        registry.register("aws_calls", "Calls of AWS, by how they ended", self.calls.ended.clone());
        registry.register(
            "aws_call_duration_seconds",
            "How long AWS took to answer",
            self.calls.took.clone(),
        );
        registry.register(
            "notifications",
            "Messages for the SNS topic, by what became of them",
            self.notifications.0.clone(),
        );
        registry.register(
            "settings_reloads",
            "Attempts to read the settings again",
            self.reloads.clone(),
        );
        registry.register(
            "settings_loaded_timestamp_seconds",
            "When the settings in force were read",
            self.settings_loaded.clone(),
        );
    }

    /// Takes a report, and the points that were reached with it.
    pub fn note(&self, report: &Report, reached: &[Milestone]) {
        let group = ("target_group", group_label(&report.binding.arn));
        let outcome = outcome(report);
        self.steps
            .get_or_create(&vec![group.clone(), ("outcome", outcome.into())])
            .inc();
        for (change, targets) in [("register", &report.registered), ("deregister", &report.deregistered)] {
            // It is there from the first step on: an increase from nothing is none to Prometheus.
            let labels = vec![group.clone(), ("change", change.into())];
            self.address_changes
                .get_or_create(&labels)
                .inc_by(targets.done.len() as u64);
        }
        for (phase, took) in reached.iter().filter_map(phase) {
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

/// What a name server said, counted.
#[derive(Clone, Debug, Default)]
pub struct Looks(Counters);

impl Looks {
    /// Counts what each name server said in one look.
    pub fn note(&self, said: &[(SocketAddr, Result<Said, Failure>)]) {
        for (server, said) in said {
            let outcome = match said {
                Ok(_) => "answer",
                Err(failure) => failure_label(failure),
            };
            let labels = vec![("resolver", server.to_string()), ("outcome", outcome.to_owned())];
            self.0.get_or_create(&labels).inc();
        }
    }
}

/// Messages for the SNS topic, counted.
#[derive(Clone, Debug, Default)]
pub struct Notifications(Counters);

impl Notifications {
    /// Shows counts of zero, so that the first message can be seen as an increase.
    pub fn show(&self) {
        for outcome in ["sent", "failed", "dropped"] {
            self.add(outcome, 0);
        }
    }

    /// SNS took a message.
    pub fn sent(&self) {
        self.add("sent", 1);
    }

    /// SNS did not take a message.
    pub fn failed(&self) {
        self.add("failed", 1);
    }

    /// There was no room or no time for messages.
    pub fn dropped(&self, count: usize) {
        self.add("dropped", count as u64);
    }

    fn add(&self, outcome: &'static str, count: u64) {
        self.0
            .get_or_create(&vec![("outcome", outcome.to_owned())])
            .inc_by(count);
    }
}

/// Calls of AWS, counted and timed.
#[derive(Clone, Debug)]
pub struct Calls {
    ended: Counters,
    took: Histograms,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            ended: Counters::default(),
            took: Histograms::new_with_constructor(call_histogram),
        }
    }
}

impl Calls {
    /// Counts a call.
    pub fn note(&self, operation: &'static str, took: Duration, outcome: &'static str) {
        let operation = ("operation", operation.to_owned());
        let labels = vec![operation.clone(), ("outcome", outcome.to_owned())];
        self.ended.get_or_create(&labels).inc();
        self.took.get_or_create(&vec![operation]).observe(took.as_secs_f64());
    }
}

/// Where things stand, read at each scrape.
struct Standing {
    board: Arc<Board>,
    site: Arc<Site>,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

type Sample = (Labels, f64);

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        gauge(
            &mut encoder,
            "build_info",
            "The version that runs",
            vec![(version, 1.0)],
        )?;
        let started = vec![(Labels::new(), seconds(self.board.started()))];
        gauge(
            &mut encoder,
            "start_timestamp_seconds",
            "When the process started",
            started,
        )?;
        self.encode_bindings(&mut encoder)?;
        self.encode_proxies(&mut encoder)
    }
}

impl Standing {
    fn encode_bindings(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (mut in_sync, mut since, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let (mut holds, mut looked, mut answered) = (Vec::new(), Vec::new(), Vec::new());
        for line in self.board.lines() {
            let report = &line.report;
            let group = ("target_group", group_label(&report.binding.arn));
            in_sync.push((vec![group.clone()], f64::from(u8::from(report.is_settled()))));
            if let Some(at) = line.in_sync_since {
                since.push((vec![group.clone()], seconds(at)));
            }
            if let Some(at) = line.listed {
                looked.push((vec![group.clone()], seconds(at)));
            }
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
        for arn in self.board.unseen() {
            in_sync.push((vec![("target_group", group_label(&arn))], 0.0));
        }
        gauge(encoder, "in_sync", "Whether the target group equals DNS", in_sync)?;
        gauge(
            encoder,
            "in_sync_since_timestamp_seconds",
            "Since when the target group has equalled DNS",
            since,
        )?;
        gauge(encoder, "targets", "Targets of the group in each state", targets)?;
        gauge(encoder, "holds", "Changes deliberately not made, by reason", holds)?;
        gauge(
            encoder,
            "last_description_timestamp_seconds",
            "When the target group was last listed",
            looked,
        )?;
        gauge(
            encoder,
            "last_answer_timestamp_seconds",
            "When the endpoint was last resolved",
            answered,
        )
    }

    fn encode_proxies(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let views = self.site.proxies();
        let of_all = |value: &dyn Fn(&View) -> f64| -> Vec<Sample> {
            let listen = |view: &View| vec![("listen", view.address().to_string())];
            views.iter().map(|view| (listen(view), value(view))).collect()
        };
        gauge(
            encoder,
            "proxy_ready",
            "Whether the proxy wants clients",
            of_all(&|view| f64::from(u8::from(view.ready().is_ok()))),
        )?;
        gauge(
            encoder,
            "proxy_sessions",
            "Connections that are open",
            of_all(&|view| view.tally().open as f64),
        )?;
        counter(
            encoder,
            "proxy_connections",
            "Sessions that reached the database",
            of_all(&|view| view.tally().sessions as f64),
        )?;
        counter(
            encoder,
            "proxy_refused",
            "Connections that were refused",
            of_all(&|view| view.tally().refused as f64),
        )?;
        counter(
            encoder,
            "proxy_cut",
            "Sessions closed because their address was gone from DNS",
            of_all(&|view| view.tally().cut as f64),
        )?;
        counter(
            encoder,
            "proxy_silent",
            "Sessions closed because a peer acknowledged nothing",
            of_all(&|view| view.tally().silent as f64),
        )?;
        counter(
            encoder,
            "proxy_redials",
            "Dials begun anew because the address changed",
            of_all(&|view| view.tally().redialled as f64),
        )?;
        let mut bytes = Vec::new();
        for view in &views {
            let listen = ("listen", view.address().to_string());
            for (direction, count) in [("up", view.tally().up), ("down", view.tally().down)] {
                bytes.push((vec![listen.clone(), ("direction", direction.to_owned())], count as f64));
            }
        }
        counter(
            encoder,
            "proxy_bytes",
            "Bytes carried to (up) and from (down) the database",
            bytes,
        )
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, samples: Vec<Sample>) -> fmt::Result {
    samples_of(encoder, name, help, samples, MetricType::Gauge)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, samples: Vec<Sample>) -> fmt::Result {
    samples_of(encoder, name, help, samples, MetricType::Counter)
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
        Milestone::Named(_) | Milestone::Unnamed(_) => None,
    }
}

fn failure_label(failure: &Failure) -> &'static str {
    match failure {
        Failure::NxDomain => "nxdomain",
        Failure::NoData => "nodata",
        Failure::ServFail => "servfail",
        Failure::Refused => "refused",
        Failure::TimedOut => "timeout",
        Failure::Malformed(_) => "malformed",
        Failure::Code(_) => "other",
        Failure::Network(_) => "network",
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}

/// From 10 ms, a registration without load, to 5.5 min, ELB's slowest.
fn convergence_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 16))
}

/// From 5 ms to 10 s, beyond every time-out of a call.
fn call_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 12))
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
