//! What the installed units start, started by hand as a user without privileges.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::thread;
use std::time::Instant;

use testkit::settings::{self, dns, target_group};

use super::made::debs;
use super::root::Root;
use super::unit::{SERVICES, UNITS, Unit};
use super::world::*;

/// How exposed a service may be, by systemd's reckoning.
const EXPOSURE_MAX: f64 = 1.2;

/// A root with the package, and a world for it to look at.
pub struct Host {
    pub world: World,
    pub root: Root,
}

impl Host {
    /// Not set up yet.
    pub fn new() -> Self {
        let root = Root::new();
        let deb = root.bring(&debs()[1]);
        root.run(&["dpkg", "--install", &deb]);
        let world = World::new();
        Self { world, root }
    }

    /// With settings, and credentials where a host that is no EC2 instance has them.
    pub fn set_up(further: &str) -> Self {
        let host = Self::new();
        host.write_settings(further);
        let url = host.world.elb.url();
        let secrets = format!("AWS_ACCESS_KEY_ID=AKIAEXAMPLE\nAWS_SECRET_ACCESS_KEY=secret\nAWS_ENDPOINT_URL={url}\n");
        host.root.write("etc/rds-tether/environment", &secrets);
        host.root.run(&["chmod", "600", "/etc/rds-tether/environment"]);
        host
    }

    pub fn write_settings(&self, further: &str) {
        let text = target_group(&self.world.arn, &format!("{WRITER}:5432"))
            .set("forget", "1s")
            .and(dns(self.world.dns.addr()))
            .and(further);
        self.root.write("etc/rds-tether/config.toml", &text.to_string());
    }

    pub fn unit(&self, name: &str) -> Unit {
        Unit::read(&self.root.path(&format!("usr/lib/systemd/system/{name}")))
    }

    /// A command line of a service, run as its user with what its EnvironmentFile= says; `before` runs it, if that is any program.
    pub fn command(&self, unit: &Unit, line: &str, before: &[&str]) -> Command {
        let words: Vec<&str> = before.iter().copied().chain(line.split(' ')).collect();
        let mut command = self.root.command_as_service(&words);
        let file = unit
            .one("EnvironmentFile")
            .strip_prefix("-/")
            .expect("one that may be missing");
        let text = std::fs::read_to_string(self.root.path(file)).unwrap_or_default();
        command.envs(text.lines().filter_map(|line| line.split_once('=')));
        command
    }
}

/// systemd's end of the socket that services report to.
pub struct Notified(UnixDatagram);

impl Notified {
    pub const PATH: &str = "/tmp/notify";

    pub fn new(root: &Root) -> Self {
        let path = root.path("tmp/notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    #[track_caller]
    pub fn wait_for(&self, part: &str) {
        let end = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while Instant::now() < end {
            let mut buffer = [0; 4096];
            let Ok(length) = self.0.recv(&mut buffer) else { break };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.contains(part) {
                return;
            }
            heard.push(message);
        }
        panic!("nothing of {part:?} in {heard:?}");
    }
}

/// A database that sends back what it gets, and a proxy's settings for it.
pub struct Echo {
    pub settings: String,
    proxy: SocketAddr,
}

impl Echo {
    pub fn new(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Free a moment ago; the settings need a number.
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let name = "echo.cluster-abc123.eu-west-1.rds.amazonaws.com";
        world.dns.set(name, testkit::dns::Behaviour::a("127.0.0.1", 5));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        let settings = settings::proxy(proxy, &format!("{name}:{port}")).to_string();
        Self { settings, proxy }
    }

    /// Sends bytes there and back through the proxy: so many that the kernel moves most of them.
    #[track_caller]
    pub fn round_trip(&self) {
        const BYTES: usize = 1 << 20;
        let mut client = TcpStream::connect(self.proxy).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut writer = client.try_clone().unwrap();
        let written = thread::spawn(move || writer.write_all(&[7; BYTES]));
        let mut bytes = vec![0; BYTES];
        client.read_exact(&mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 7));
        written.join().unwrap().unwrap();
    }
}

/// Fails if the service's command lacks something that its user and sandboxed /proc do not have, does not tell systemd that it is
/// ready, or is not reloaded by what the unit says; or if bad settings reach it.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn the_service_starts_is_ready_is_reloaded_and_stops() {
    let host = Host::set_up("");
    let echo = Echo::new(&host.world);
    host.write_settings(&echo.settings);
    let notified = Notified::new(&host.root);
    let unit = host.unit("rds-tether.service");
    let mut command = host.command(&unit, unit.one("ExecStart"), &[]);
    let daemon = Daemon::start(command.env("NOTIFY_SOCKET", Notified::PATH));
    notified.wait_for("READY=1");
    notified.wait_for("STATUS=1 of 1 target groups settled");
    assert_eq!(host.world.registered(), [format!("{OLD}:5432")]);
    echo.round_trip();

    let [check, signal] = unit.all("ExecReload")[..] else {
        panic!("two commands for a reload")
    };
    host.write_settings(&format!("{}interval = \"5\"\n", echo.settings));
    let said = assert_exit(&mut host.command(&unit, check, &[]), 78);
    assert_says(&said, &["/etc/rds-tether/config.toml:", "interval"]);
    host.write_settings(&format!("{}linger = \"7s\"\n", echo.settings));
    assert_exit(&mut host.command(&unit, check, &[]), 0);
    let signal = signal.replace("$MAINPID", &daemon.child.id().to_string());
    assert_exit(&mut host.command(&unit, &signal, &[]), 0);
    daemon.wait_for_log(&["settings reloaded"]);
    echo.round_trip();

    daemon.signal("TERM");
    notified.wait_for("STOPPING=1");
    let (status, log) = daemon.ended();
    assert!(status.success(), "{log}");
}

/// Fails if a start before there are settings does not say what to write, or has a code after which systemd tries again.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn a_start_without_settings_says_where_they_are_to_be() {
    let host = Host::new();
    for name in SERVICES {
        let unit = host.unit(name);
        let said = assert_exit(&mut host.command(&unit, unit.one("ExecStart"), &[]), 64);
        assert_says(
            &said,
            &["there is nothing to follow", "write /etc/rds-tether/config.toml"],
        );
    }
}

/// Fails if a settings file that the service's user may not read is not told of as what it is.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn settings_that_only_root_may_read_are_told_of() {
    let host = Host::set_up("");
    host.root.run(&["chmod", "600", "/etc/rds-tether/config.toml"]);
    let unit = host.unit("rds-tether.service");
    let said = assert_exit(&mut host.command(&unit, unit.one("ExecStart"), &[]), 78);
    assert_says(&said, &["/etc/rds-tether/config.toml: Permission denied", "chmod a+r"]);
}

/// Fails if name servers that the service's user may not read end the service for good.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn a_start_that_may_not_read_the_name_servers_is_tried_again() {
    let host = Host::set_up("");
    let settings = host.root.path("etc/rds-tether/config.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let (text, _) = text.split_once("[dns]").unwrap();
    std::fs::write(&settings, text).unwrap();
    let unit = host.unit("rds-tether.service");
    // It may be a link, or a mount of its own.
    let _ = std::fs::remove_file(host.root.path("etc/resolv.conf"));
    host.root.write("etc/resolv.conf", "nameserver 10.0.0.2\n");
    host.root.run(&["chmod", "600", "/etc/resolv.conf"]);
    let said = assert_exit(&mut host.command(&unit, unit.one("ExecStart"), &[]), 69);
    assert_says(&said, &["/etc/resolv.conf: Permission denied", "--nameserver ADDR"]);
}

/// Fails if what the timer starts does not converge and end.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn what_the_timer_starts_converges_and_ends() {
    let host = Host::set_up("");
    let unit = host.unit("rds-tether-sync.service");
    assert_eq!(unit.one("Type"), "oneshot");
    // A timer without Unit= starts the service of its name.
    let timer = host.unit("rds-tether-sync.timer");
    assert_eq!(timer.all("Unit"), [""; 0]);
    assert_eq!(timer.one("OnCalendar"), "minutely");
    for _ in 0..2 {
        assert_exit(&mut host.command(&unit, unit.one("ExecStart"), &[]), 0);
        assert_eq!(host.world.registered(), [format!("{OLD}:5432")]);
    }
    assert_eq!(host.world.writes(), [format!("Register {OLD}:5432")]);
}

/// Fails if systemd does not know a setting, a page or a program that a unit names, or if a service may do too much.
#[test]
#[ignore = "needs root, dpkg, overlays and systemd-analyze: tests/run provides them"]
fn systemd_finds_nothing_in_the_units() {
    let host = Host::new();
    let mut words = vec!["systemd-analyze", "verify", "--man=yes"];
    words.extend(UNITS);
    // It exits 0 whatever it finds.
    assert_eq!(host.root.run(&words), "");
    for name in SERVICES {
        let path = format!("/usr/lib/systemd/system/{name}");
        let told = host
            .root
            .run(&["systemd-analyze", "security", "--offline=true", "--no-pager", &path]);
        let (_, exposure) = told.split_once("Overall exposure level for ").expect("a reckoning");
        let exposure = exposure.split([' ', '\n']).nth(1).expect("a number");
        assert!(exposure.parse::<f64>().unwrap() <= EXPOSURE_MAX, "{told}");
    }
    // So that silence means something.
    host.root.write(
        "usr/lib/systemd/system/rds-tether.socket",
        "[Socket]\nListenStraem=0.0.0.0:5432\n",
    );
    let mut verify = host
        .root
        .command(&["systemd-analyze", "verify", "--man=yes", "rds-tether.socket"]);
    assert_says(&said(&finish(&mut verify)), &["ListenStraem"]);
}
