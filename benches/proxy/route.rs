//! The ways from the clients to the back end, and how each proxy is told to take them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the name server of the site listens.
pub const NAME_SERVER: SocketAddr = at(Ipv4Addr::LOCALHOST, 53);
/// The port of every back end.
pub const PORT: u16 = 15432;
/// The host to which the names lead at first.
pub const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The host to which they lead after a flip.
pub const NEW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// The first of the ports on which the proxies listen.
const LISTEN_PORT: u16 = 9000;
/// Sessions that the others allow; it is what they reserve memory for at their start.
const SESSIONS_MAX: usize = 4000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    Direct,
    Ours,
    Haproxy,
    /// Told to splice always, with large pipes and buffers.
    HaproxySplice,
    Nginx,
    /// With all addresses of the name as its targets.
    Envoy,
    /// With keepalive probes each second: what can be done about idle sessions to a host that is gone.
    HaproxyKeepalive,
    /// With the first address of the name for new connections.
    EnvoyLogical,
}

/// How often a proxy looks at DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// As fast as all of them can.
    EverySecond,
    /// As it does when nothing is said of it.
    ByDefault,
}

impl Route {
    pub const ALL: [Self; 8] = [
        Self::Direct,
        Self::Ours,
        Self::Haproxy,
        Self::HaproxySplice,
        Self::Nginx,
        Self::Envoy,
        Self::HaproxyKeepalive,
        Self::EnvoyLogical,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Ours => "ours",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy-splice",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::HaproxyKeepalive => "haproxy-keepalive",
            Self::EnvoyLogical => "envoy-logical",
        }
    }

    /// The name under which it looks for the back end: each has its own, so that it is known who asked what.
    pub fn endpoint(self) -> String {
        format!("{}.orders.test", self.name())
    }

    /// Where clients go.
    pub fn target(self) -> SocketAddr {
        let port = LISTEN_PORT + self as u16;
        match self {
            Self::Direct => at(OLD, PORT),
            _ => at(Ipv4Addr::LOCALHOST, port),
        }
    }

    /// The program to run for it, if it is there.
    ///
    /// # Errors
    /// What is missing.
    pub fn command(self, ours: &Path, folder: &Path, looks: Looks) -> Result<Command, String> {
        match self {
            Self::Direct => Err("nothing runs for it".to_owned()),
            Self::Ours => self.ours(ours, looks),
            Self::Haproxy | Self::HaproxySplice | Self::HaproxyKeepalive => {
                let mut command = Command::new(find("haproxy")?);
                let settings = self.settings(folder, "cfg", &self.haproxy(looks));
                command.arg("-db").arg("-f").arg(settings);
                Ok(command)
            }
            Self::Nginx => {
                let mut command = Command::new(find("nginx")?);
                let settings = self.settings(folder, "cfg", &self.nginx(folder, looks));
                command.arg("-p").arg(folder).arg("-c").arg(settings);
                Ok(command)
            }
            Self::Envoy | Self::EnvoyLogical => {
                let mut command = Command::new(find("envoy")?);
                // It knows the form of its settings by the file's name.
                let settings = self.settings(folder, "yaml", &self.envoy(looks));
                command
                    .args(["--concurrency", "2", "--log-level", "warn", "--disable-hot-restart"])
                    .arg("-c")
                    .arg(settings);
                Ok(command)
            }
        }
    }

    fn ours(self, program: &Path, looks: Looks) -> Result<Command, String> {
        let known = Command::new(program)
            .args(["proxy", "--help"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !known.is_ok_and(|status| status.success()) {
            return Err(format!("{} has no verb `proxy`", program.display()));
        }
        let mut command = Command::new(program);
        command
            .arg("proxy")
            .args(["--listen", &self.target().to_string()])
            .args(["--endpoint", &format!("{}:{PORT}", self.endpoint())])
            .args(["--nameserver", &NAME_SERVER.to_string()]);
        if looks == Looks::EverySecond {
            command.args(["--linger", "0s", "--interval", "1s"]);
        }
        Ok(command)
    }

    fn haproxy(self, looks: Looks) -> String {
        let (tuning, option) = match self {
            Self::HaproxySplice => (
                "tune.pipesize 1048576\n    tune.bufsize 65536",
                "option splice-request\n    option splice-response",
            ),
            Self::HaproxyKeepalive => (
                "",
                "option splice-auto\n    option srvtcpka\n    srvtcpka-idle 1s\n    srvtcpka-intvl 1s\n    srvtcpka-cnt 3",
            ),
            _ => ("", "option splice-auto"),
        };
        let (resolvers, check) = match looks {
            Looks::EverySecond => (
                "timeout resolve 1s\n    timeout retry 1s\n    hold valid 1s",
                "inter 1s on-marked-down shutdown-sessions",
            ),
            Looks::ByDefault => ("", ""),
        };
        format!(
            "global
    nbthread 2
    maxconn {SESSIONS_MAX}
    {tuning}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout check 1s
    {option}
resolvers vpc
    nameserver vpc {NAME_SERVER}
    {resolvers}
listen {name}
    bind {listen} backlog 4096
    server database {endpoint}:{PORT} resolvers vpc resolve-prefer ipv4 init-addr none check {check}
",
            name = self.name(),
            listen = self.target(),
            endpoint = self.endpoint(),
        )
    }

    fn nginx(self, folder: &Path, looks: Looks) -> String {
        let valid = match looks {
            Looks::EverySecond => "valid=1s ",
            Looks::ByDefault => "",
        };
        let folder = folder.display();
        format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
worker_processes 2;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{
    worker_connections {connections};
}}
stream {{
    resolver {NAME_SERVER} {valid}ipv6=off;
    server {{
        listen {listen} backlog=4096;
        set $database {endpoint};
        proxy_pass $database:{PORT};
        proxy_buffer_size 64k;
        proxy_connect_timeout 5s;
        proxy_timeout 1h;
    }}
}}
",
            connections = 2 * SESSIONS_MAX,
            listen = self.target(),
            endpoint = self.endpoint(),
        )
    }

    fn envoy(self, looks: Looks) -> String {
        let kind = match self {
            Self::EnvoyLogical => "LOGICAL_DNS",
            _ => "STRICT_DNS",
        };
        let refresh = match looks {
            Looks::EverySecond => "dns_refresh_rate: 1s",
            Looks::ByDefault => "",
        };
        let (listen, server) = (self.target(), NAME_SERVER);
        format!(
            "static_resources:
  listeners:
  - address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }}
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: database
          cluster: database
  clusters:
  - name: database
    type: {kind}
    connect_timeout: 5s
    dns_lookup_family: V4_ONLY
    {refresh}
    circuit_breakers: {{ thresholds: [{{ max_connections: {SESSIONS_MAX} }}] }}
    typed_dns_resolver_config:
      name: envoy.network.dns_resolver.cares
      typed_config:
        \"@type\": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
        resolvers:
        - socket_address: {{ address: {server_ip}, port_value: {server_port} }}
        dns_resolver_options: {{ no_default_search_domain: true }}
    load_assignment:
      cluster_name: database
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {endpoint}, port_value: {PORT} }} }} }}
",
            ip = listen.ip(),
            port = listen.port(),
            server_ip = server.ip(),
            server_port = server.port(),
            endpoint = self.endpoint(),
        )
    }

    /// Writes a settings file for it.
    fn settings(self, folder: &Path, ending: &str, text: &str) -> PathBuf {
        let path = folder.join(format!("{}.{ending}", self.name()));
        fs::write(&path, text).expect("the target folder can be written to");
        path
    }
}

const fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(address), port)
}

fn find(program: &str) -> Result<PathBuf, String> {
    // The last is where benches/proxy/run puts what Debian does not have.
    let peers = concat!(env!("CARGO_TARGET_TMPDIR"), "/../bench-peers");
    let folders = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin", peers];
    let mut paths = folders.iter().map(|folder| Path::new(folder).join(program));
    let found = paths.find(|path| path.exists());
    found.ok_or_else(|| format!("{program} is not installed; benches/proxy/run installs it"))
}
