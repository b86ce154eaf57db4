//! PostgreSQL servers of a test's own, each with its storage, which moves with it from address to address.

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::certificate::Certified;
use crate::program::{Daemon, foreign, free_port, on_a_free_port, provided, succeed};

/// The password of the superuser, `postgres`, for whom asks for one.
pub const PASSWORD: &str = "not-a-secret";
/// What no test wants otherwise. A killed server loses nothing without fsync: the machine does not stop.
const FIXED: &[&str] = &[
    "unix_socket_directories=",
    "fsync=off",
    "shared_buffers=32MB",
    // Files on its storage, which go with it. Those in /dev/shm would stay when it is killed.
    "dynamic_shared_memory_type=mmap",
    "lc_messages=C",
];

/// What the log says when it takes sessions.
const READY: &str = "database system is ready to accept";

/// A server's storage, and the server if there is one now.
#[derive(Debug)]
pub struct Server {
    port: u16,
    running: Option<Daemon>,
    storage: PathBuf,
}

impl Server {
    /// Empty storage in a folder, that the server's user may write to.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn empty(folder: &Path) -> Self {
        let storage = folder.join("storage");
        if is_root() {
            succeed(Command::new("chmod").arg("755").arg(folder));
        }
        succeed(install().args(["-d", "-m", "700"]).arg(&storage));
        Self {
            port: free_port(),
            running: None,
            storage,
        }
    }

    /// New storage in a folder, with no server. `authentication` is asked of everybody, such as `trust`.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(folder: &Path, authentication: &str) -> Self {
        let server = Self::empty(folder);
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD).expect("the folder is there");
        let mut initdb = as_postgres("initdb", &server.storage);
        initdb.args(["--username=postgres", "--locale=C", "--encoding=UTF8"]);
        initdb.args(["--no-sync", "--wal-segsize=1", "--auth", authentication, "--pwfile"]);
        succeed(initdb.arg(&password).arg("-D").arg(&server.storage));
        server
    }

    /// A standby of a server that runs at an address: its storage copied, certificate included, in a folder of its own. It has the same
    /// port, and so an address of its own.
    ///
    /// # Panics
    /// If it cannot be copied.
    #[must_use]
    pub fn standby_of(primary: &Self, ip: Ipv4Addr, folder: &Path) -> Self {
        let mut standby = Self::empty(folder);
        standby.port = primary.port;
        let mut copy = as_postgres("pg_basebackup", &standby.storage);
        copy.args(["--host", &ip.to_string(), "--port", &primary.port.to_string()]);
        copy.args([
            "--username=postgres",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
            "-D",
        ]);
        succeed(copy.arg(&standby.storage));
        standby
    }

    /// The port of the server, or of the next one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its storage is.
    #[must_use]
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// Starts a server anew with these settings, on a port of loopback that is free.
    ///
    /// # Panics
    /// If it ends at once.
    #[track_caller]
    pub fn start(&mut self, settings: &[&str]) {
        self.stop();
        let (port, server) =
            on_a_free_port(
                |port| match self.try_starting(Ipv4Addr::LOCALHOST, port, settings, READY) {
                    Ok(server) => Some((port, server)),
                    Err(said) if said.contains("Address already in use") => None,
                    Err(said) => panic!("postgres ended at once:\n{said}"),
                },
            );
        self.port = port;
        self.running = Some(server);
    }

    /// Starts a server on an address with these settings, on the same port every time. No other process may take it: the test
    /// has a network of its own.
    ///
    /// # Panics
    /// If it ends at once.
    #[track_caller]
    pub fn start_on(&mut self, ip: Ipv4Addr, settings: &[&str]) {
        self.start_until(READY, ip, settings);
    }

    /// The same, until its log has these words.
    ///
    /// # Panics
    /// If it ends at once.
    #[track_caller]
    pub fn start_until(&mut self, words: &str, ip: Ipv4Addr, settings: &[&str]) {
        let started = self.try_starting(ip, self.port, settings, words);
        self.running = Some(started.unwrap_or_else(|said| panic!("postgres ended at once:\n{said}")));
    }

    /// The log of the running server.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.as_ref().expect("a running server").log()
    }

    fn try_starting(&self, ip: Ipv4Addr, port: u16, settings: &[&str], words: &str) -> Result<Daemon, String> {
        let mut command = as_postgres("postgres", &self.storage);
        command.arg("-D").arg(&self.storage).args(["-p", &port.to_string()]);
        command.args(["-c", &format!("listen_addresses={ip}")]);
        for setting in FIXED.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        let started = Daemon::serve(&mut command, &[words]);
        started.map(|(server, _)| server)
    }

    /// Ends the server at once, and in order: what it shares with its processes goes with it.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn stop(&mut self) {
        if let Some(server) = self.running.take() {
            server.signal("QUIT");
            server.ended();
        }
    }

    /// The processes of the server, by their numbers: those that work in its storage.
    ///
    /// # Panics
    /// If nobody can be told by /proc.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let works_here = |path: &Path| std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == self.storage);
        let here = entries.map(|entry| entry.path()).filter(|path| works_here(path));
        here.filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect()
    }

    /// Forgets the server, whose processes the test has ended itself.
    pub fn forget(&mut self) {
        self.running = None;
    }

    /// Gives it the certificate that the setting `ssl=on` uses.
    ///
    /// # Panics
    /// If there is no storage.
    pub fn certify(&self, certified: &Certified) {
        for (name, text) in [("server.crt", &certified.pem), ("server.key", &certified.key_pem)] {
            let path = self.storage.join(name);
            let _ = std::fs::remove_file(&path);
            succeed(install().args(["-m", "600", "/dev/null"]).arg(&path));
            std::fs::write(&path, text).expect("the storage is there");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// install(1), as the server's user where this one may.
fn install() -> Command {
    let mut command = Command::new("install");
    if is_root() {
        command.args(["-o", "postgres"]);
    }
    command
}

/// A program of PostgreSQL.
#[must_use]
pub fn program(name: &str) -> Command {
    foreign(provided("RDS_TETHER_TEST_POSTGRES").join(name))
}

/// A program of PostgreSQL that does not run as root, because those of the server do not want to.
#[must_use]
pub fn as_postgres(name: &str, folder: &Path) -> Command {
    let plain = program(name);
    let mut command = if is_root() {
        let mut command = foreign("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
        command.arg(plain.get_program());
        command
    } else {
        plain
    };
    command.current_dir(folder);
    command
}
