//! A PostgreSQL server and its storage, which moves with it from address to address.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::client::Via;
use crate::program::{self, Program};
use crate::stage::Stage;
use crate::world::{PATIENCE, finish, said};

/// The password of its superuser, for whom asks for one.
pub const PASSWORD: &str = "not-a-secret";
/// What differs from the defaults. A killed server loses nothing without fsync: the machine does not stop.
const SETTINGS: &[&str] = &[
    "unix_socket_directories=",
    "wal_level=logical",
    // As consumers ask for it; so it is not the server that ends a session whose client has gone.
    "wal_sender_timeout=0",
    "fsync=off",
    "shared_buffers=32MB",
    // Files on its storage, where the next server finds and removes them.
    "dynamic_shared_memory_type=mmap",
    "lc_messages=C",
];

/// Its storage, and the server if there is one now.
pub struct Server {
    storage: PathBuf,
    port: u16,
    settings: Vec<String>,
    running: Option<(String, Program)>,
}

impl Server {
    /// New storage, with no server.
    pub fn new(stage: &Stage) -> Self {
        let storage = stage.path("storage");
        succeed(Command::new("install").args(["-d", "-o", "postgres"]).arg(&storage));
        let password = stage.path("password");
        fs::write(&password, PASSWORD).expect("the folder is there");
        let mut initdb = as_postgres("initdb", stage.folder());
        initdb.args([
            "--auth=trust",
            "--username=postgres",
            "--locale=C",
            "--encoding=UTF8",
            "--no-sync",
        ]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(&storage);
        succeed(&mut initdb);
        Self {
            storage,
            port: free_port(),
            settings: SETTINGS.iter().map(ToString::to_string).collect(),
            running: None,
        }
    }

    /// The port at every address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its storage is.
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// Adds a setting, such as `ssl=on`, for the next start.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.into());
    }

    /// Starts a server on the storage and waits until it is ready.
    pub fn start_on(&mut self, ip: &str) {
        let mut command = as_postgres("postgres", &self.storage);
        command
            .arg("-D")
            .arg(&self.storage)
            .args(["-p", &self.port.to_string()]);
        command.args(["-c", &format!("listen_addresses={ip}")]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let started = Program::start(&mut command, &["database system is ready to accept connections"]);
        let (program, _) = started.unwrap_or_else(|said| panic!("postgres ended at once:\n{said}"));
        self.running = Some((ip.to_owned(), program));
    }

    /// Kills the server and starts another one with what was set meanwhile.
    pub fn restart_on(&mut self, ip: &str) {
        self.kill();
        self.start_on(ip);
    }

    /// Kills all processes of the server; what the kernel then says to their peers is up to the network.
    pub fn kill(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let ours = processes_in(&self.storage);
            if ours.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "processes that do not end: {ours:?}");
            for pid in ours {
                let _ = kill_process(pid, Signal::KILL);
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        self.running = None;
        // This process is the first of its namespace, and so heir to those whose parent was killed.
        while matches!(waitpid(None, WaitOptions::NOHANG), Ok(Some(_))) {}
    }

    /// What a query returns, without the proxy.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        let (ip, _) = self.running.as_ref().expect("a running server");
        Via::plain(ip, self.port).query(sql)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.kill();
        }
    }
}

/// A program of PostgreSQL.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(program::path("RDS_TETHER_TEST_POSTGRES").join(name));
    command.env_clear().stdin(Stdio::null());
    command
}

/// A program of PostgreSQL that does not run as root.
fn as_postgres(name: &str, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
        .arg(program(name).get_program())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// Runs to a good end and returns what was said.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = finish(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        said(&output)
    );
    said(&output)
}

/// The processes of the namespace that work in a folder, as those of a server do in its storage.
fn processes_in(folder: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let works_here = |path: &Path| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder);
    let here = entries.map(|entry| entry.path()).filter(|path| works_here(path));
    here.filter_map(|path| Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?))
        .collect()
}

/// A port that is free at every address. Nobody else is in this namespace who could take it.
fn free_port() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
