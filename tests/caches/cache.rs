//! The caches that people have between a program and RDS's name servers, each in its default settings and in those that serve what
//! has expired. Each forwards to one name server and listens on loopback only.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use testkit::dns::{self, Behaviour, ask};
use testkit::program::{FOREIGN_MAX, comes_true, foreign, on_a_free_port, provided};
use testkit::scratch::Scratch;
use testkit::world::Daemon;

/// Known to the name server behind a cache only, so that an answer shows whose port it is.
const READY: &str = "ready.eu-west-1.rds.amazonaws.com";
/// What Debian's own settings load.
const DEBIANS: &str = "'hints > iterate', 'stats', 'predict'";
const BINDS_STALE: &str = "stale-cache-enable yes; stale-answer-enable yes;";
/// How long a question waits that asks whether a cache is ready.
const ASKED_FOR: Duration = Duration::from_millis(500);

/// A cache, and how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Dnsmasq,
    /// `--use-stale-cache`
    DnsmasqStale,
    Unbound,
    /// `serve-expired: yes`
    UnboundStale,
    /// Knot Resolver with Debian's modules, of which `predict` fetches anew what is asked for, and `policy.STUB`.
    Kresd,
    /// The same without them.
    KresdAlone,
    /// With Debian's modules and `serve_stale`.
    KresdStale,
    Pdns,
    /// `serve-stale-extensions=3`
    PdnsStale,
    Bind,
    /// `stale-cache-enable yes` and `stale-answer-enable yes`, whose `stale-answer-client-timeout` is off.
    BindStale,
    /// `stale-answer-client-timeout 0`: the expired answer at once, and a new one is fetched for the next who asks.
    BindStaleAtOnce,
    /// With a packet cache; without one dnsdist keeps nothing.
    Dnsdist,
    /// `setStaleCacheEntriesTTL(30)`, and a packet cache with `staleTTL=30`.
    DnsdistStale,
}

/// A running cache; killed when dropped.
pub struct Cache {
    pub address: SocketAddr,
    program: Daemon,
    _folder: Scratch,
}

impl Cache {
    /// Starts it in front of a name server, and waits until it answers.
    pub fn start(kind: Kind, upstream: &dns::Server) -> Self {
        let number = upstream.addr().port();
        // Of all that is asked at the same time, only this name server says so.
        let ready = Ipv4Addr::new(10, 99, (number >> 8) as u8, number as u8);
        upstream.set(READY, Behaviour::a(&ready.to_string(), 5));
        on_a_free_port(|port| {
            // It is free for TCP.
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            let folder = Scratch::new();
            let mut program = Daemon::spawn(&mut kind.command(&folder, port, upstream.addr()));
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let is_ready = || ask(address, READY, ASKED_FOR).is_some_and(|told| told.contains(&ready.into()));
            let mut ended = false;
            let answered = comes_true(FOREIGN_MAX, || {
                ended = program.child.try_wait().expect("its status").is_some();
                ended || is_ready()
            });
            assert!(answered, "{kind:?} does not answer:\n{}", program.log());
            (!ended).then_some(Self {
                address,
                program,
                _folder: folder,
            })
        })
    }

    /// What it said, for a failing test.
    pub fn log(&self) -> String {
        self.program.log()
    }
}

impl Kind {
    fn command(self, folder: &Scratch, port: u16, upstream: SocketAddr) -> Command {
        match self {
            Self::Dnsmasq => dnsmasq(port, upstream, &[]),
            Self::DnsmasqStale => dnsmasq(port, upstream, &["--use-stale-cache"]),
            Self::Unbound => unbound(folder, port, upstream, ""),
            Self::UnboundStale => unbound(folder, port, upstream, "serve-expired: yes"),
            Self::Kresd => kresd(folder, port, upstream, DEBIANS),
            Self::KresdAlone => kresd(folder, port, upstream, ""),
            Self::KresdStale => kresd(folder, port, upstream, &format!("{DEBIANS}, 'serve_stale < cache'")),
            Self::Pdns => pdns(folder, port, upstream, &[]),
            Self::PdnsStale => pdns(folder, port, upstream, &["--serve-stale-extensions=3"]),
            Self::Bind => bind(folder, port, upstream, ""),
            Self::BindStale => bind(folder, port, upstream, BINDS_STALE),
            Self::BindStaleAtOnce => {
                let at_once = format!("{BINDS_STALE} stale-answer-client-timeout 0;");
                bind(folder, port, upstream, &at_once)
            }
            Self::Dnsdist => dnsdist(folder, port, upstream, "", ""),
            Self::DnsdistStale => dnsdist(
                folder,
                port,
                upstream,
                ", { staleTTL = 30 }",
                "setStaleCacheEntriesTTL(30)",
            ),
        }
    }

    /// How soon who asks at the end of each TTL, and again a second after an answer that proves nothing, hears of a change.
    pub fn shows_a_change_within(self) -> Duration {
        let secs = match self {
            Self::Unbound | Self::KresdAlone => 6,
            Self::DnsmasqStale | Self::UnboundStale | Self::KresdStale | Self::BindStaleAtOnce => 7,
            _ => 5,
        };
        Duration::from_secs(secs)
    }

    /// How soon they notice that nothing new comes.
    pub fn shows_an_outage_within(self) -> Duration {
        // PowerDNS extends the TTL of what has expired three times, and says nothing of it.
        Duration::from_secs(if self == Self::PdnsStale { 25 } else { 10 })
    }

    /// In which words that is told first, and as what looks are counted then.
    pub fn tells_an_outage_as(self) -> (&'static str, &'static str) {
        match self {
            Self::PdnsStale => ("SERVFAIL", "servfail"),
            // They ask for longer than a look lasts, before they give what has expired.
            Self::BindStale | Self::KresdStale => ("no answer in time", "stale"),
            _ => ("a stale answer", "stale"),
        }
    }
}

fn dnsmasq(port: u16, upstream: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = foreign(provided("RDS_TETHER_TEST_DNSMASQ"));
    command
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file"])
        .args(["--log-facility=-", "--no-resolv", "--no-hosts", "--user=root"])
        .args(["--listen-address=127.0.0.1", "--bind-interfaces"])
        .arg(format!("--port={port}"))
        .arg(format!("--server={}#{}", upstream.ip(), upstream.port()))
        .args(arguments);
    command
}

fn unbound(folder: &Scratch, port: u16, upstream: SocketAddr, line: &str) -> Command {
    let config = format!(
        "server:
  directory: \"{folder}\"
  chroot: \"\"
  username: \"\"
  pidfile: \"\"
  use-syslog: no
  logfile: \"\"
  interface: 127.0.0.1@{port}
  do-not-query-localhost: no
  module-config: \"iterator\"
  {line}
remote-control:
  control-enable: no
forward-zone:
  name: \".\"
  forward-addr: {ip}@{to}
",
        folder = folder.folder().display(),
        ip = upstream.ip(),
        to = upstream.port(),
    );
    let mut command = foreign(provided("RDS_TETHER_TEST_UNBOUND"));
    command
        .args(["-d", "-p", "-c"])
        .arg(folder.write("unbound.conf", &config));
    command
}

fn kresd(folder: &Scratch, port: u16, upstream: SocketAddr, modules: &str) -> Command {
    // What asks the root's name servers by itself is left out.
    let config = format!(
        "net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
trust_anchors.remove('.')
modules.unload('priming')
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules = {{ {modules} }}
cache.size = 10 * MB
policy.add(policy.all(policy.STUB('{ip}@{to}')))
",
        ip = upstream.ip(),
        to = upstream.port(),
    );
    let mut command = foreign(provided("RDS_TETHER_TEST_KRESD"));
    let config = folder.write("kresd.conf", &config);
    command.args(["-n", "-c"]).arg(config).arg(folder.folder());
    command
}

fn pdns(folder: &Scratch, port: u16, upstream: SocketAddr, arguments: &[&str]) -> Command {
    let folder = folder.folder().display();
    let mut command = foreign(provided("RDS_TETHER_TEST_PDNS_RECURSOR"));
    command
        .args(["--daemon=no", "--write-pid=no", "--disable-syslog", "--dnssec=off"])
        .args(["--hint-file=no", "--security-poll-suffix=", "--local-address=127.0.0.1"])
        .arg(format!("--config-dir={folder}"))
        .arg(format!("--socket-dir={folder}"))
        .arg(format!("--local-port={port}"))
        .arg(format!("--forward-zones-recurse=.={upstream}"))
        .args(arguments);
    command
}

fn bind(folder: &Scratch, port: u16, upstream: SocketAddr, line: &str) -> Command {
    let config = format!(
        "options {{
  directory \"{folder}\";
  pid-file none;
  lock-file none;
  session-keyfile none;
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  dnssec-validation no;
  forward only;
  forwarders {{ {ip} port {to}; }};
  {line}
}};
controls {{ }};
",
        folder = folder.folder().display(),
        ip = upstream.ip(),
        to = upstream.port(),
    );
    let mut command = foreign(provided("RDS_TETHER_TEST_NAMED"));
    let config = folder.write("named.conf", &config);
    command.args(["-g", "-4", "-n", "1", "-c"]).arg(config);
    command
}

fn dnsdist(folder: &Scratch, port: u16, upstream: SocketAddr, options: &str, line: &str) -> Command {
    let config = format!(
        "setLocal('127.0.0.1:{port}')
setSecurityPollSuffix('')
newServer({{ address = '{upstream}' }})
getPool(''):setCache(newPacketCache(1000{options}))
{line}
"
    );
    let mut command = foreign(provided("RDS_TETHER_TEST_DNSDIST"));
    let config = folder.write("dnsdist.conf", &config);
    command.args(["--supervised", "--disable-syslog", "-C"]).arg(config);
    command
}
