//! Packages installed, upgraded and removed, with the programs that do it everywhere.

use super::made::{debs, rpms};
use super::root::Root;
use super::unit::UNITS;
use super::world::*;

const SETTINGS: &str = "etc/rds-tether/config.toml";
const SCRIPTS: [&str; 3] = ["postinst configure", "prerm remove", "postrm remove"];
const OURS: &str = "# mine\n[http]\nlisten = \"127.0.0.1:1\"\n";
const STOPPED: &str = "stop rds-tether.socket rds-tether-sync.timer rds-tether.service rds-tether-sync.service";
const DISABLED: &str = "--root=/ disable rds-tether.service rds-tether.socket rds-tether-sync.timer";
/// Where Debian's tools keep what a package's units are enabled by.
const KEPT: &str = "var/lib/systemd/deb-systemd-helper-enabled/rds-tether.service.dsh-also";
/// What `systemctl enable` makes of the units' install sections.
const ENABLED: [&str; 3] = [
    "etc/systemd/system/multi-user.target.wants/rds-tether.service",
    "etc/systemd/system/sockets.target.wants/rds-tether.socket",
    "etc/systemd/system/timers.target.wants/rds-tether-sync.timer",
];

fn state(root: &Root) -> String {
    let mut query = root.command(&[
        "dpkg-query",
        "--show",
        "--showformat=${Status} ${Version}",
        "rds-tether",
    ]);
    said(&finish(&mut query))
}

fn settings(root: &Root) -> String {
    std::fs::read_to_string(root.path(SETTINGS)).unwrap()
}

#[track_caller]
fn assert_installed(root: &Root, is_installed: bool) {
    let units = UNITS.map(|unit| format!("usr/lib/systemd/system/{unit}"));
    for path in units
        .iter()
        .map(String::as_str)
        .chain(["usr/bin/rds-tether", "usr/share/rds-tether/config.toml"])
    {
        assert_eq!(root.has(path), is_installed, "{path}");
    }
}

/// Fails if an installation starts something, an upgrade touches settings, a removal leaves more than settings, or a purge leaves
/// anything; and if a maintainer's script cannot be run again.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn a_deb_is_installed_upgraded_removed_and_purged() {
    let root = Root::new();
    let [first, second] = debs().each_ref().map(|deb| root.bring(deb));
    root.run(&["dpkg", "--install", &first]);
    assert_eq!(state(&root), "install ok installed 9.0.0~rc.1");
    assert_installed(&root, true);
    assert!(!root.has(SETTINGS) && ENABLED.iter().all(|link| !root.has(link)));
    assert!(root.run(&["rds-tether", "--version"]).starts_with("rds-tether "));
    root.run(&[
        "systemctl",
        "--root=/",
        "enable",
        "rds-tether.service",
        "rds-tether.socket",
        "rds-tether-sync.timer",
    ]);
    assert!(ENABLED.iter().all(|link| root.has(link)));

    root.write(SETTINGS, OURS);
    root.run(&["dpkg", "--install", &second]);
    assert_eq!(state(&root), "install ok installed 9.0.0");
    assert_eq!(settings(&root), OURS);
    assert!(ENABLED.iter().all(|link| root.has(link)), "an upgrade disables nothing");
    assert_eq!(root.run(&["dpkg", "--verify", "rds-tether"]), "");
    for script in SCRIPTS {
        let command = format!("DPKG_MAINTSCRIPT_PACKAGE=rds-tether sh /var/lib/dpkg/info/rds-tether.{script}");
        root.run(&["sh", "-c", &command]);
    }

    root.run(&["dpkg", "--remove", "rds-tether"]);
    assert_eq!(state(&root), "deinstall ok config-files 9.0.0");
    assert_installed(&root, false);
    assert_eq!(settings(&root), OURS);
    assert!(ENABLED.iter().all(|link| !root.has(link)));

    root.run(&["dpkg", "--purge", "rds-tether"]);
    assert!(!root.has("etc/rds-tether") && !root.has(KEPT));
    assert!(state(&root).contains("no packages found"), "{}", state(&root));
}

/// Fails if settings that were there before, as a host's first boot writes them, are overwritten or asked about.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn settings_that_are_there_first_are_kept() {
    let root = Root::new();
    let deb = root.bring(&debs()[0]);
    root.run(&["mkdir", "/etc/rds-tether"]);
    root.write(SETTINGS, OURS);
    root.run(&["dpkg", "--install", &deb]);
    assert_eq!(settings(&root), OURS);
}

/// Fails if systemd is not told of what it runs, or is told to start something.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn systemd_is_told_what_a_deb_changes() {
    let root = Root::new();
    let [first, second] = debs().each_ref().map(|deb| root.bring(deb));
    root.pretend_systemd();
    root.run(&["dpkg", "--install", &first]);
    assert_eq!(root.told(), ["--system daemon-reload"]);
    root.run(&["dpkg", "--install", &second]);
    assert_eq!(
        root.told(),
        ["--system daemon-reload", "try-restart rds-tether.service"]
    );
    root.run(&["dpkg", "--remove", "rds-tether"]);
    assert_eq!(root.told(), [STOPPED, "--system daemon-reload"]);
    root.run(&["dpkg", "--purge", "rds-tether"]);
    assert_eq!(root.told(), [""; 0]);
}

/// The same of an rpm, as far as that goes where Debian's packages are: what it needs is not looked for.
#[test]
#[ignore = "needs root, rpm and overlays: tests/run provides them"]
fn an_rpm_is_installed_upgraded_and_removed() {
    let root = Root::new();
    let [first, second] = rpms().each_ref().map(|rpm| root.bring(rpm));
    root.pretend_systemd();
    root.run(&["rpm", "--upgrade", "--nodeps", &first]);
    assert_eq!(root.told(), ["--system daemon-reload"]);
    assert_installed(&root, true);
    assert!(!root.has(SETTINGS));
    root.write(SETTINGS, OURS);
    root.run(&["rpm", "--upgrade", "--nodeps", &second]);
    assert_eq!(
        root.told(),
        [
            "--system daemon-reload",
            "--system daemon-reload",
            "--system try-restart rds-tether.service"
        ]
    );
    assert_eq!(settings(&root), OURS);
    assert_eq!(root.run(&["rpm", "--verify", "--nodeps", "rds-tether"]), "");
    root.run(&["rpm", "--erase", "rds-tether"]);
    assert_eq!(
        root.told(),
        [&format!("--system {STOPPED}"), DISABLED, "--system daemon-reload"]
    );
    assert_installed(&root, false);
    assert_eq!(settings(&root), OURS);
}
