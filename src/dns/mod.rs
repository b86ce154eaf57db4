//! Looks at a name: asks every name server at once and takes the union of what they give.

pub mod resolv_conf;
mod runtime;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::Resolver as Hickory;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::opt::EdnsOption;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

pub use crate::dns::runtime::{ANSWER_MAX, Bounded, Connected};
use crate::planner::answer::{ADDRESSES_MAX, Failure, Quorum, Said};
use crate::planner::evidence::is_above_rds;
use crate::planner::target::Family;
use crate::planner::wrong::Wrong;

/// Where the system's name servers are.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How long the other name servers may take after enough of them have given an address.
const AFTER_ENOUGH: Duration = Duration::from_millis(200);
/// Queries under way at once to one name server: a start with a thousand endpoints and a silent server stays below it.
const QUERIES_MAX: usize = 8192;

/// The longest chain of aliases that is followed: more than any resolver follows for us (BIND and Unbound 11, PowerDNS 10), and RDS
/// has three at most, from a name of one's own by way of the global and the cluster endpoint to the instance.
pub const ALIASES_MAX: usize = 16;

/// How to look at DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name servers to ask; none: those of /etc/resolv.conf.
    pub name_servers: Vec<SocketAddr>,
    /// How long one look may take.
    pub deadline: Duration,
    /// The longest time between two looks.
    pub interval: Duration,
    /// How many name servers must give an address.
    pub quorum: Quorum,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name_servers: Vec::new(),
            deadline: Duration::from_secs(2),
            interval: Duration::from_secs(5),
            quorum: Quorum::Any,
        }
    }
}

impl Settings {
    /// The name servers to ask, in order, each once: who is named twice has one voice.
    pub fn servers(&self) -> Result<Vec<SocketAddr>, Error> {
        let (servers, _) = self.servers_and_repeated()?;
        Ok(servers)
    }

    /// The same, and those that are named more than once.
    fn servers_and_repeated(&self) -> Result<(Vec<SocketAddr>, BTreeSet<SocketAddr>), Error> {
        let named = if self.name_servers.is_empty() {
            resolv_conf::read(Path::new(RESOLV_CONF)).map_err(|error| Error::System(error.to_string()))?
        } else {
            self.name_servers.clone()
        };
        let (mut servers, mut repeated) = (Vec::new(), BTreeSet::new());
        for server in named {
            // An IPv4 address in the form of IPv6 is no other server.
            let server = SocketAddr::new(server.ip().to_canonical(), server.port());
            if servers.contains(&server) {
                repeated.insert(server);
            } else {
                servers.push(server);
            }
        }
        Ok((servers, repeated))
    }
}

/// A failure to set up name resolution.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.wrong())]
pub enum Error {
    /// The system's name servers cannot be read.
    System(String),
    /// A client could not be built.
    Client(SocketAddr, String),
}

impl Error {
    /// What is wrong, and what to do about it.
    pub fn wrong(&self) -> Wrong {
        match self {
            Self::System(why) => Wrong::new(
                format!("cannot read the name servers from {RESOLV_CONF}: {why}"),
                "name them with --nameserver ADDR[:PORT]",
            ),
            Self::Client(server, why) => Wrong::new(
                format!("cannot set up a client for name server {server}: {why}"),
                "name another with --nameserver ADDR[:PORT]",
            ),
        }
    }

    /// Whether a later start may succeed without other settings.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::System(_) => true,
            Self::Client(..) => false,
        }
    }
}

/// What each name server said in one look, in the order of the settings.
pub type Look = Vec<(SocketAddr, Result<Said, Failure>)>;

/// The seam between watchers and name servers, so that their stories can be told in virtual time.
pub trait Names: Send + Sync + 'static {
    /// The name servers asked.
    fn servers(&self) -> Vec<SocketAddr>;

    /// How many of them must give an address.
    fn quorum(&self) -> Quorum;

    /// Looks once at a name.
    fn look<'a>(&'a self, host: &'a str, family: Family) -> Pin<Box<dyn Future<Output = Look> + Send + 'a>>;
}

/// What one name server said of a name.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Addresses, or why there are none.
    pub said: Result<Said, Failure>,
    /// How long a name server that keeps "there are none" goes on saying so: the TTL of the SOA that comes with it.
    pub kept: Option<Duration>,
}

/// Asks one name server, through sockets of a kind.
#[derive(Clone)]
pub struct Client<S: RuntimeProvider = Connected> {
    /// The name server.
    pub server: SocketAddr,
    resolver: Hickory<S>,
    deadline: Duration,
}

impl Client {
    /// Asks this name server; an answer takes no longer than `deadline`.
    pub fn new(server: SocketAddr, deadline: Duration) -> Result<Self, Error> {
        Self::through(Connected::default(), server, deadline)
    }
}

impl<S: RuntimeProvider> Client<S> {
    /// The same through other sockets.
    pub fn through(sockets: S, server: SocketAddr, deadline: Duration) -> Result<Self, Error> {
        let resolver = resolver(sockets, server, deadline).map_err(|error| Error::Client(server, error.to_string()))?;
        Ok(Self {
            server,
            resolver,
            deadline,
        })
    }

    /// Asks for the addresses of a name.
    pub async fn ask(&self, host: &str, family: Family) -> Heard {
        let name = match Name::from_ascii(format!("{host}.")) {
            Ok(name) => name,
            Err(error) => {
                let said = Err(Failure::Malformed(error.to_string()));
                return Heard { said, kept: None };
            }
        };
        let record_type = match family {
            Family::Ipv4 => RecordType::A,
            Family::Ipv6 => RecordType::AAAA,
        };
        // The resolver's own limit is for each of the questions that it takes: an alias is one more, and so is TCP.
        let answer = timeout(self.deadline, self.resolver.lookup(name.clone(), record_type)).await;
        let answer = answer.unwrap_or(Err(NetError::Timeout));
        Heard {
            kept: answer.as_ref().err().and_then(kept),
            said: read(&name, answer),
        }
    }
}

/// Asks a set of name servers.
pub struct Resolver {
    /// One for each, so that who said what is known.
    clients: Vec<Client>,
    deadline: Duration,
    quorum: Quorum,
}

impl Resolver {
    /// Asks these name servers; a look takes no longer than `deadline`.
    pub fn new(servers: &[SocketAddr], deadline: Duration, quorum: Quorum) -> Result<Self, Error> {
        let clients = servers.iter().map(|server| Client::new(*server, deadline));
        Ok(Self {
            clients: clients.collect::<Result<_, Error>>()?,
            deadline,
            quorum,
        })
    }
}

impl Names for Resolver {
    fn servers(&self) -> Vec<SocketAddr> {
        self.clients.iter().map(|client| client.server).collect()
    }

    fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// Looks once. Ends when all have answered, shortly after enough of them for the quorum, or at the deadline.
    fn look<'a>(&'a self, host: &'a str, family: Family) -> Pin<Box<dyn Future<Output = Look> + Send + 'a>> {
        Box::pin(async move {
            let unanswered = |client: &Client| (client.server, Err(Failure::TimedOut));
            let mut said: Look = self.clients.iter().map(unanswered).collect();
            let mut end = Instant::now() + self.deadline;
            let mut asked = JoinSet::new();
            for (index, client) in self.clients.iter().cloned().enumerate() {
                let host = host.to_owned();
                asked.spawn(async move { (index, client.ask(&host, family).await.said) });
            }
            // What may be stale is nothing that the others need not be waited for.
            let is_enough = |said: &Said| said.stale.is_none() && !is_above_rds(host, said);
            let mut missing = self.quorum.of(said.len());
            while let Ok(Some(joined)) = timeout_at(end, asked.join_next()).await {
                let Ok((index, answer)) = joined else { continue };
                if answer.as_ref().is_ok_and(is_enough) {
                    missing = missing.saturating_sub(1);
                    if missing == 0 {
                        end = end.min(Instant::now() + AFTER_ENOUGH);
                    }
                }
                said[index].1 = answer;
            }
            said
        })
    }
}

fn resolver<S: RuntimeProvider>(sockets: S, server: SocketAddr, deadline: Duration) -> Result<Hickory<S>, NetError> {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = server.port();
        connection
    });
    let name_server = NameServerConfig::new(server.ip(), true, connections.to_vec());
    let config = ResolverConfig::from_name_servers(vec![name_server]);
    let mut builder = Hickory::builder_with_config(config, sockets);
    let options: &mut ResolverOpts = builder.options_mut();
    // A cached answer could only be an older one.
    options.cache_size = 0;
    options.timeout = deadline;
    // A lost datagram is sent again within the one attempt; a failure is the next look's business.
    options.attempts = 0;
    options.preserve_intermediates = true;
    options.use_hosts_file = ResolveHosts::Never;
    options.max_active_requests = QUERIES_MAX;
    builder.build()
}

fn read(name: &Name, answer: Result<Lookup, NetError>) -> Result<Said, Failure> {
    let lookup = answer.map_err(|error| failure(&error))?;
    let records = lookup.answers();
    // Aliases may stand in any order. Of two for the same name, which RFC 2181 forbids, the first counts.
    let mut aliases: BTreeMap<&Name, (&Name, u32)> = BTreeMap::new();
    for record in records {
        if let RData::CNAME(target) = &record.data {
            aliases.entry(&record.name).or_insert((&target.0, record.ttl));
        }
    }
    let mut names: Vec<&Name> = vec![name];
    let mut ttl = u32::MAX;
    while let Some((next, held)) = aliases.remove(names[names.len() - 1]) {
        if names.contains(&next) {
            break;
        }
        if names.len() > ALIASES_MAX {
            return Err(Failure::Malformed(format!(
                "more than {ALIASES_MAX} aliases, one after the other"
            )));
        }
        names.push(next);
        ttl = ttl.min(held);
    }
    let mut addresses = BTreeSet::new();
    for record in records {
        let ip = match &record.data {
            RData::A(ip) => IpAddr::V4(ip.0),
            RData::AAAA(ip) => IpAddr::V6(ip.0),
            _ => continue,
        };
        if names.contains(&&record.name) {
            addresses.insert(ip);
            ttl = ttl.min(record.ttl);
        }
    }
    if addresses.len() > ADDRESSES_MAX {
        return Err(Failure::TooMany(addresses.len()));
    }
    if addresses.is_empty() {
        return Err(Failure::NoData);
    }
    let plain = |name: &&Name| name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    Ok(Said {
        addresses,
        ttl: Duration::from_secs(ttl.into()),
        names: names.iter().skip(1).map(plain).collect(),
        stale: stale_by_its_word(&lookup),
        is_fresh: false,
    })
}

/// The Extended DNS Error by which a name server says that its answer had expired (RFC 8914). hickory-proto 0.26 asks for it and
/// knows the option by its number only.
fn stale_by_its_word(lookup: &Lookup) -> Option<u16> {
    const EXTENDED_DNS_ERROR: u16 = 15;
    const STALE: [u16; 2] = [3, 19];
    let edns = lookup.message().edns.as_ref()?;
    edns.options().as_ref().iter().find_map(|(_, option)| match option {
        EdnsOption::Unknown(EXTENDED_DNS_ERROR, bytes) => {
            let code = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
            STALE.contains(&code).then_some(code)
        }
        _ => None,
    })
}

fn failure(error: &NetError) -> Failure {
    match error {
        NetError::Timeout => Failure::TimedOut,
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain => {
            Failure::NxDomain
        }
        NetError::Dns(DnsError::NoRecordsFound(_)) => Failure::NoData,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => Failure::ServFail,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => Failure::Refused,
        NetError::Dns(DnsError::ResponseCode(code)) => Failure::Code(format!("{code}")),
        NetError::Proto(error) => Failure::Malformed(error.to_string()),
        // What keeps it from being had by TCP is not told.
        NetError::Truncated => Failure::Malformed(format!(
            "too large for UDP and not to be had by TCP, by which {ANSWER_MAX} bytes are read at most"
        )),
        // It says so of the only one that there is, whatever kept it from being asked.
        NetError::NoConnections => {
            Failure::Network("no name server there: the connection is refused, or no way leads to it".into())
        }
        NetError::Io(error) => Failure::Network(error.to_string()),
        other => Failure::Network(other.to_string()),
    }
}

fn kept(error: &NetError) -> Option<Duration> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => Some(Duration::from_secs(none.soa.as_ref()?.ttl.into())),
        _ => None,
    }
}
