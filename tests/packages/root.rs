//! This machine's file system over again, where packages are installed and run without a trace here: an overlay in a mount
//! namespace of its own, gone with the test, with a /proc as sandboxed as the services have it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use testkit::program::succeed;

use super::world::*;

const MAKE: &str = r#"
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t tmpfs -o mode=755 tmpfs "$1/root/run"
mount -t tmpfs -o mode=1777 tmpfs "$1/root/tmp"
mount --rbind /dev "$1/root/dev"
mount -t proc -o subset=pid,hidepid=invisible proc "$1/root/proc"
exec chroot "$1/root" /bin/sh -c 'echo made; exec cat'
"#;
/// Where a recording systemctl, which stands in for one that needs a running systemd, writes what it is told.
const TOLD: &str = "tmp/systemctl";

/// A root that ends with its test.
pub struct Root {
    /// Waits for the end of its input, which this process holds.
    holder: Child,
    _scratch: Scratch,
}

impl Root {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", MAKE, "sh"])
            .arg(scratch.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "made\n", "the mounts of the test's root");
        let root = Self {
            holder,
            _scratch: scratch,
        };
        // What the machine's administrator forbids packages is no matter here, and an index of man pages takes seconds.
        for path in ["usr/sbin/policy-rc.d", "var/lib/man-db/auto-update"] {
            let _ = std::fs::remove_file(root.path(path));
        }
        root
    }

    /// The path, seen from here, of one in the root.
    pub fn path(&self, below: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(below)
    }

    pub fn write(&self, below: &str, text: &str) {
        std::fs::write(self.path(below), text).unwrap_or_else(|error| panic!("{below}: {error}"));
    }

    pub fn has(&self, below: &str) -> bool {
        self.path(below).symlink_metadata().is_ok()
    }

    /// A program in the root, with nothing of this process's environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.holder.id()))
            .args(["--mount", "--root", "--wd", "--"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// The same as the user whom a service has: nobody in particular, without any privilege.
    pub fn command_as_service(&self, words: &[&str]) -> Command {
        let mut drop: Vec<&str> = vec!["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups"];
        drop.extend(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]);
        drop.extend(words);
        self.command(&drop)
    }

    /// Runs a program to its end, which must be good, and returns what it said.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        succeed(&mut self.command(words))
    }

    /// A package's file, as this machine has it.
    pub fn bring(&self, package: &std::path::Path) -> String {
        let name = package.file_name().unwrap().to_str().unwrap();
        std::fs::copy(package, self.path("tmp").join(name)).unwrap();
        format!("/tmp/{name}")
    }

    /// As if systemd ran: what is told to it from now on is written down.
    pub fn pretend_systemd(&self) {
        std::fs::create_dir_all(self.path("run/systemd/system")).unwrap();
        let path = "usr/bin/systemctl";
        std::fs::remove_file(self.path(path)).unwrap();
        self.write(path, &format!("#!/bin/sh\necho \"$@\" >>/{TOLD}\n"));
        self.run(&["chmod", "755", &format!("/{path}")]);
    }

    /// What systemctl was told since it was last asked.
    pub fn told(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(TOLD)).unwrap_or_default();
        self.write(TOLD, "");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
