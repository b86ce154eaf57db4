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
/// Sessions that HAProxy and nginx allow; it is what they reserve memory for at their start.
const SESSIONS_MAX: usize = 4000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    Direct,
    Ours,
    Haproxy,
    /// Told to splice always, with large pipes and buffers.
    HaproxySplice,
    Nginx,
    /// With keepalive probes each second: what can be done about idle sessions to a host that is gone.
    HaproxyKeepalive,
}

impl Route {
    pub const ALL: [Self; 6] = [
        Self::Direct,
        Self::Ours,
        Self::Haproxy,
        Self::HaproxySplice,
        Self::Nginx,
        Self::HaproxyKeepalive,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Ours => "ours",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy-splice",
            Self::Nginx => "nginx",
            Self::HaproxyKeepalive => "haproxy-keepalive",
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
    pub fn command(self, ours: &Path, folder: &Path) -> Result<Command, String> {
        match self {
            Self::Direct => Err("nothing runs for it".to_owned()),
            Self::Ours => self.ours(ours),
            Self::Haproxy | Self::HaproxySplice | Self::HaproxyKeepalive => {
                let mut command = Command::new(find("haproxy")?);
                command.arg("-db").arg("-f").arg(self.settings(folder, &self.haproxy()));
                Ok(command)
            }
            Self::Nginx => {
                let mut command = Command::new(find("nginx")?);
                let settings = self.settings(folder, &self.nginx(folder));
                command.arg("-p").arg(folder).arg("-c").arg(settings);
                Ok(command)
            }
        }
    }

    fn ours(self, program: &Path) -> Result<Command, String> {
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
            .args(["--nameserver", &NAME_SERVER.to_string()])
            .args(["--linger", "0s", "--interval", "1s"]);
        Ok(command)
    }

    fn haproxy(self) -> String {
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
    timeout resolve 1s
    timeout retry 1s
    hold valid 1s
listen {name}
    bind {listen} backlog 4096
    server database {endpoint}:{PORT} resolvers vpc resolve-prefer ipv4 init-addr none check inter 1s on-marked-down \
             shutdown-sessions
",
            name = self.name(),
            listen = self.target(),
            endpoint = self.endpoint(),
        )
    }

    fn nginx(self, folder: &Path) -> String {
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
    resolver {NAME_SERVER} valid=1s ipv6=off;
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

    /// Writes a settings file for it.
    fn settings(self, folder: &Path, text: &str) -> PathBuf {
        let path = folder.join(format!("{}.cfg", self.name()));
        fs::write(&path, text).expect("the target folder can be written to");
        path
    }
}

const fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(address), port)
}

fn find(program: &str) -> Result<PathBuf, String> {
    let folders = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];
    let mut paths = folders.iter().map(|folder| Path::new(folder).join(program));
    let found = paths.find(|path| path.exists());
    found.ok_or_else(|| format!("{program} is not installed; benches/proxy/run installs it"))
}
