//! Whether the current addresses of an endpoint answer from here, judged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::check::{Check, Outcome};
use crate::exit::Exit;
use crate::planner::endpoint::{Endpoint, Kind};
use crate::planner::engine::Engine;
use crate::probe::{Reached, Stage, Trouble};
use crate::text::join;

/// How the words of a refusal begin with which MySQL answers a host that it has blocked (N11).
const HOST_BLOCKED: &str = "error 1129";

/// The answer of each address.
pub type Answers = BTreeMap<IpAddr, Result<Reached, Trouble>>;

/// The circumstances in which the answers are judged.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The endpoint whose addresses were asked.
    pub endpoint: &'a Endpoint,
    /// The check that says why, if there is no address to be reached.
    pub without_address: &'static str,
    /// Whether certificates were verified.
    pub verified: bool,
    /// How to get the CAs that sign the database's.
    pub bundle: &'static str,
    /// Whether ELB says that the address is healthy: it may be reached from there and not from here.
    pub is_healthy: bool,
    /// Who looks whether the address is well, by connecting to it.
    pub checked_by: Checker,
}

/// Who connects again and again without a log-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checker {
    /// The load balancer, for the health of a target.
    Balancer,
    /// A proxy, for its readiness.
    Proxy,
    /// A proxy that is told not to.
    Nobody,
}

/// The checks of one endpoint's current addresses.
pub fn judge(context: Context<'_>, addresses: &BTreeSet<IpAddr>, answers: &Answers) -> Vec<Check> {
    const NAMES: [&str; 4] = ["reach.tcp", "reach.postgres", "reach.certificate", "reach.connects"];
    if addresses.is_empty() {
        return NAMES
            .map(|name| Check::new(name, Outcome::blocked(context.without_address)))
            .to_vec();
    }
    let asked = addresses
        .iter()
        .filter_map(|ip| Some((*ip, answers.get(ip)?)))
        .collect::<Vec<_>>();
    let outcomes = [
        tcp(context, &asked),
        postgres(context, &asked),
        certificate(context, &asked),
        connects(context, &asked),
    ];
    NAMES
        .into_iter()
        .zip(outcomes)
        .map(|(name, outcome)| Check::new(name, outcome))
        .collect()
}

type Asked<'a> = [(IpAddr, &'a Result<Reached, Trouble>)];

/// The first trouble at or before a stage.
fn trouble<'a>(asked: &Asked<'a>, stage: Stage) -> Option<(IpAddr, &'a Trouble)> {
    let failed = asked
        .iter()
        .filter_map(|(ip, answer)| Some((*ip, answer.as_ref().err()?)));
    failed
        .filter(|(_, trouble)| trouble.stage() <= stage)
        .min_by_key(|(_, trouble)| trouble.stage())
}

fn tcp(context: Context<'_>, asked: &Asked<'_>) -> Outcome {
    let port = context.endpoint.port();
    if asked.is_empty() {
        return Outcome::skipped("the time was over before the address could be asked");
    }
    let Some((ip, trouble)) = trouble(asked, Stage::Tcp) else {
        let at = |(ip, answer): &(IpAddr, &Result<Reached, Trouble>)| {
            let took = answer
                .as_ref()
                .map(|reached| format!(" in {} ms", reached.connected.as_millis()));
            format!("{}{}", SocketAddr::new(*ip, port), took.unwrap_or_default())
        };
        return Outcome::ok(format!("{} accepts connections", join(asked.iter().map(at))));
    };
    let found = format!("{}: {trouble}", SocketAddr::new(ip, port));
    if context.is_healthy {
        return Outcome::warning(
            format!("{found}; but the load balancer reaches it"),
            "nothing, if this host need not reach the database; rds-tether itself does not connect to it",
        );
    }
    let fix = match trouble {
        Trouble::Refused => {
            "wait if it has just failed over: PostgreSQL is starting; otherwise check the port (aws rds \
             describe-db-instances, Endpoint.Port)"
                .to_owned()
        }
        Trouble::TimedOut(_) => format!(
            "something drops the packets: let this host into the database's security group on TCP {port}, and check \
             network ACLs and routes; a host that failed looks the same"
        ),
        _ => "check this host's routes to the database's subnets (peering, Transit Gateway)".to_owned(),
    };
    Outcome::failure(Exit::Unavailable, found, fix)
}

fn postgres(context: Context<'_>, asked: &Asked<'_>) -> Outcome {
    if asked.is_empty() || trouble(asked, Stage::Tcp).is_some() {
        return Outcome::blocked("reach.tcp");
    }
    let Some((ip, trouble)) = trouble(asked, Stage::Postgres) else {
        return Outcome::ok("PostgreSQL answers and offers TLS");
    };
    let port = context.endpoint.port();
    let found = format!("{}: {trouble}", SocketAddr::new(ip, port));
    match (trouble, Engine::of(port)) {
        (Trouble::Mysql(_, words), _) if words.starts_with(HOST_BLOCKED) => {
            return Outcome::failure(
                Exit::Unavailable,
                found,
                "raise max_connect_errors in the parameter group (it needs no restart), and unblock the host: FLUSH HOSTS, or TRUNCATE \
                 TABLE performance_schema.host_cache; see reach.connects",
            );
        }
        (Trouble::Mysql(..), Some(Engine::Mysql)) => {
            return Outcome::skipped(format!("{found}; the port is MySQL's, so nothing more is asked"));
        }
        (Trouble::Closed(Stage::Postgres, _) | Trouble::NotPostgres(_), Some(engine)) => {
            return Outcome::skipped(format!(
                "{found}; the port is that of {engine}, which ends such a connection, so nothing more is asked"
            ));
        }
        _ => {}
    }
    match trouble {
        Trouble::TlsRefused => Outcome::warning(
            found,
            "turn TLS on (ssl = on); RDS always offers it, so this may be something in between, such as a pooler",
        ),
        Trouble::NotPostgres(_) | Trouble::Mysql(..) => Outcome::failure(
            Exit::Unexpected,
            found,
            "check the endpoint's port; if the database is of another engine: --skip reach.postgres --skip \
             reach.certificate",
        ),
        Trouble::TimedOut(_) => Outcome::failure(
            Exit::Unavailable,
            found,
            "the host takes connections and its database is stuck or stopping: see its events (aws rds describe-events)",
        ),
        _ => Outcome::failure(
            Exit::Unavailable,
            found,
            "something in between, a database that is starting or stopping, or one that is not PostgreSQL ends connections: see its log \
             and events; if the database is of another engine: --skip reach.postgres --skip reach.certificate",
        ),
    }
}

fn certificate(context: Context<'_>, asked: &Asked<'_>) -> Outcome {
    if asked.is_empty() || trouble(asked, Stage::Tcp).is_some() {
        return Outcome::blocked("reach.tcp");
    }
    if trouble(asked, Stage::Postgres).is_some() {
        return Outcome::blocked("reach.postgres");
    }
    let Some((ip, trouble)) = trouble(asked, Stage::Tls) else {
        let version = asked
            .iter()
            .find_map(|(_, answer)| answer.as_ref().ok()?.tls.as_deref());
        let version = version.unwrap_or("TLS");
        if context.verified {
            let host = context.endpoint.host();
            return Outcome::ok(format!(
                "{version}; the certificate is for {host}, by a CA of the bundle"
            ));
        }
        return Outcome::untold(
            format!("{version} works; whose certificate it is was not asked"),
            format!("{}; rds-tether doctor --ca-bundle global-bundle.pem", context.bundle),
        );
    };
    let found = format!("{}: {trouble}", SocketAddr::new(ip, context.endpoint.port()));
    let exit = match trouble {
        Trouble::TimedOut(_) | Trouble::Closed(..) => Exit::Unavailable,
        _ => Exit::Unexpected,
    };
    Outcome::failure(exit, found, fix_tls(context, trouble))
}

/// What it does to a database that somebody connects to it, again and again, and says nothing (N11, D14).
fn connects(context: Context<'_>, asked: &Asked<'_>) -> Outcome {
    let is_mysql = |(_, answer): &(IpAddr, &Result<Reached, Trouble>)| matches!(answer, Err(Trouble::Mysql(..)));
    let by_port = Engine::of(context.endpoint.port()) == Some(Engine::Mysql);
    let (checks, less_for_mysql, less_for_aurora) = match context.checked_by {
        Checker::Balancer => (
            "the load balancer's health checks",
            "fewer health checks (an interval of up to 300 s) only put it off",
            "health checks come every 5 min at the least, before it would pause; behind a proxy with probe_interval = \"never\" it \
             sleeps while no client is there",
        ),
        Checker::Proxy => (
            "the proxy's readiness probes",
            "or probe_interval = \"never\" for this proxy (a longer one puts it off), and readiness = \"tcp\"",
            "probe_interval = \"never\" for this proxy lets it sleep while no client is there",
        ),
        Checker::Nobody => return Outcome::ok("the proxy connects for its clients alone: probe_interval is never"),
    };
    if by_port || asked.iter().any(is_mysql) {
        return Outcome::warning(
            format!(
                "MySQL and MariaDB count each connection without a log-in as an error, and block its host (ERROR 1129) after \
                 max_connect_errors of them, 100 by default, if no log-in comes between: {checks} are such"
            ),
            format!("raise max_connect_errors in the parameter group, which takes no restart; {less_for_mysql}"),
        );
    }
    if matches!(context.endpoint.kind(), Kind::Cluster | Kind::Reader | Kind::Custom) {
        return Outcome::untold(
            format!("nobody is blocked; but {checks} keep an Aurora awake that pauses by itself (minimum capacity 0)"),
            format!(
                "{less_for_aurora}; whether it is such a one: aws rds describe-db-clusters --query \
                 \"DBClusters[].[DBClusterIdentifier,ServerlessV2ScalingConfiguration.MinCapacity]\" --output text"
            ),
        );
    }
    Outcome::ok("nobody is blocked for connecting without a log-in")
}

fn fix_tls(context: Context<'_>, trouble: &Trouble) -> String {
    match trouble {
        Trouble::WrongName(_) if context.endpoint.kind() == Kind::Other => {
            "clients with sslmode=verify-full must use a name of the certificate as their host (and this one as hostaddr), \
             or sslmode=verify-ca"
                .into()
        }
        Trouble::WrongName(_) => {
            "DNS leads to another database than the name says: compare the address with the console".into()
        }
        Trouble::UnknownCa => format!("give the CAs of RDS: {}", context.bundle),
        Trouble::Expired => {
            "renew it (aws rds modify-db-instance --ca-certificate-identifier rds-ca-rsa2048-g1) at a time of your choice, because it \
             may restart the database, and when clients that verify know the new CA"
                .into()
        }
        Trouble::NotYetValid => "check this host's clock".into(),
        _ => "see the server's log; a client of the same library fails in the same way".into(),
    }
}
