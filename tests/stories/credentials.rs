//! Where credentials come from, and what is said where there are none: never in the words of a library.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use testkit::elb::Call;
use testkit::program::{comes_true, finish_within, foreign, signal, succeed};
use testkit::sns;

use super::world::*;

/// Profiles of which none has credentials.
const PROFILES: &str = "
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.awsapps.com/start
[profile session]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Admin
[profile legacy]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = Admin
[profile login]
login_session = arn:aws:iam::111122223333:user/x
[profile circle1]
role_arn = arn:aws:iam::111122223333:role/x
source_profile = circle2
[profile circle2]
role_arn = arn:aws:iam::111122223333:role/x
source_profile = circle1
[profile nosource]
role_arn = arn:aws:iam::111122223333:role/x
source_profile = gone
[profile fails]
credential_process = echo no luck >&2; false
[profile chatty]
credential_process = echo hello
[profile web]
role_arn = arn:aws:iam::111122223333:role/x
web_identity_token_file = /nowhere/token
[profile half]
aws_access_key_id = AKIAEXAMPLE
[profile moon]
role_arn = arn:aws:iam::111122223333:role/x
credential_source = Moon
[profile empty]
region = eu-west-1
";
/// The SHA-1 of `corp`, under which the AWS command line keeps the session's token.
const TOKEN: &str = "ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
/// Words that only the authors of libraries know.
const JARGON: [&str; 10] = [
    "Interceptor",
    " URI",
    "cargo",
    "feature",
    "provider",
    "dispatch",
    "chain",
    "ProfileFile",
    "not enabled",
    "IMDS",
];

/// `plan` in a home that has the profiles, without credentials in the environment.
fn plan(world: &World, home: &Scratch) -> Command {
    let mut command = world.bound("plan");
    with_profiles(&mut command, home, PROFILES, "default");
    command
}

/// The same with these profiles, of which this one is selected.
fn with_profiles(command: &mut Command, home: &Scratch, profiles: &str, selected: &str) {
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("HOME", home.path(""))
        .env("AWS_CONFIG_FILE", home.write("config", profiles))
        .env("AWS_PROFILE", selected)
        .env("PATH", "/usr/bin:/bin");
}

fn with_token(home: &Scratch, expires: &str) {
    std::fs::create_dir_all(home.path(".aws/sso/cache")).unwrap();
    let token = format!(
        "{{\"accessToken\": \"token\", \"expiresAt\": \"{expires}\", \"region\": \"eu-west-1\", \
         \"startUrl\": \"https://corp.awsapps.com/start\"}}"
    );
    std::fs::write(home.path(&format!(".aws/sso/cache/{TOKEN}")), token).unwrap();
}

#[test]
fn what_is_missing_is_told_with_the_one_thing_that_helps() {
    let world = World::settled();
    let home = Scratch::new();
    let sign_in = "`aws sso login`";
    let cases: [(&str, &[&str]); 11] = [
        ("session", &["AWS SSO", sign_in]),
        ("legacy", &["AWS SSO", sign_in]),
        ("login", &["eval \"$(aws configure export-credentials --format env)\""]),
        ("circle1", &["in a circle", "circle2", "credentials of its own"]),
        (
            "nosource",
            &[
                "gone, which the source_profile of nosource names, is in neither",
                "/config nor",
            ],
        ),
        (
            "nobody",
            &["nobody, which AWS_PROFILE names, is in neither", "write the profile"],
        ),
        (
            "fails",
            &[
                "credential_process",
                "echo: it ended with exit status: 1",
                "run it by hand",
            ],
        ),
        ("chatty", &["credential_process", "has to print credentials as JSON"]),
        ("web", &["cannot be read", "web_identity_token_file"]),
        ("half", &["`half`", "aws_secret_access_key", "give it both keys"]),
        ("moon", &["(Moon)", "credential_source", "Ec2InstanceMetadata"]),
    ];
    for (profile, parts) in cases {
        let said = assert_exit(plan(&world, &home).env("AWS_PROFILE", profile), 77);
        assert_told(profile, &said, parts);
    }
    // A profile that is nowhere, where no other is either.
    let mut command = plan(&world, &home);
    command
        .env("AWS_CONFIG_FILE", "/nowhere/config")
        .env("AWS_PROFILE", "nope");
    let said = assert_exit(&mut command, 77);
    assert_told(
        "nope",
        &said,
        &["nope, which AWS_PROFILE names, is in neither /nowhere/config nor"],
    );
    let said = assert_exit(plan(&world, &home).env("AWS_PROFILE", "empty"), 77);
    assert_told(
        "empty",
        &said,
        &["AWS_EC2_METADATA_DISABLED", "instance or task role", "AWS_PROFILE"],
    );
    // Nothing listens on the discard port.
    let mut command = plan(&world, &home);
    command.env_remove("AWS_EC2_METADATA_DISABLED");
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9");
    let said = assert_exit(&mut command, 77);
    assert_told(
        "instance",
        &said,
        &["metadata service does not answer", "instance or task role"],
    );
    let mut command = plan(&world, &home);
    command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/role");
    let said = assert_exit(&mut command, 69);
    assert_told("container", &said, &["Connection refused", "what gives credentials"]);
    for (variable, value, parts) in [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "",
            ["no URL", "unset AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "x y",
            ["no URL", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
        ),
        (
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "x y",
            ["no URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT"],
        ),
    ] {
        let mut command = plan(&world, &home);
        command.env_remove("AWS_EC2_METADATA_DISABLED");
        let said = assert_exit(command.env(variable, value), 77);
        assert_told(variable, &said, &parts);
    }
    let mut command = plan(&world, &home);
    command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/role");
    let said = assert_exit(command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\nb"), 77);
    assert_told(
        "token",
        &said,
        &["line break", "correct AWS_CONTAINER_AUTHORIZATION_TOKEN"],
    );
    with_token(&home, "2099-01-01T00:00:00Z");
    let mut command = plan(&world, &home);
    let moved = PROFILES.replace("sso_region = eu-west-1", "sso_region = eu west");
    with_profiles(&mut command, &home, &moved, "session");
    let said = assert_exit(&mut command, 77);
    assert_told("region", &said, &["the region of a profile", "correct sso_region"]);
    assert_eq!(world.story(), "", "an API was called");
}

#[track_caller]
fn assert_told(case: &str, said: &str, parts: &[&str]) {
    assert_says(said, parts);
    let told: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("DescribeTargetGroups failed"))
        .collect();
    assert_eq!(told.len(), 1, "{case}: {said}");
    assert!(
        !said.contains("no luck"),
        "{case}: nobody knows what is on standard error: {said}"
    );
    for word in JARGON {
        assert!(!told[0].contains(word), "{case}: {word:?} in {}", told[0]);
    }
}

/// Fails if a session that has ended is told as anything but that.
#[test]
fn a_session_of_sso_that_has_expired_is_told() {
    let world = World::settled();
    let home = Scratch::new();
    with_token(&home, "2020-01-01T00:00:00Z");
    let said = assert_exit(plan(&world, &home).env("AWS_PROFILE", "session"), 77);
    assert_told("expired", &said, &["AWS SSO", "`aws sso login`"]);
    // What other tools keep beside the token is none of it, whatever it is.
    let cache = home.path(".aws/sso/cache");
    fs::write(cache.join("large.json"), vec![b' '; 65 << 10]).unwrap();
    succeed(foreign("mkfifo").arg(cache.join("pipe.json")));
    let said = assert_exit(plan(&world, &home).env("AWS_PROFILE", "session"), 77);
    assert_told("strangers", &said, &["AWS SSO", "`aws sso login`"]);
}

/// Fails if profiles of AWS SSO are not read, or not over the way that all calls take.
#[test]
fn credentials_of_sso_are_fetched_over_the_proxy_that_all_calls_take() {
    let world = World::settled();
    let home = Scratch::new();
    with_token(&home, "2099-01-01T00:00:00Z");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (stream, _) = proxy.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    });
    let mut command = plan(&world, &home);
    command.env("AWS_PROFILE", "session").env("HTTPS_PROXY", url);
    command.env_remove("AWS_ENDPOINT_URL");
    let said = assert_exit(&mut command, 69);
    assert!(!said.contains("`aws sso login`"), "{said}");
    let line = asked.join().unwrap();
    assert!(
        line.starts_with("CONNECT portal.sso.eu-west-1.amazonaws.com:443 "),
        "{line}"
    );
}

/// A command that says in a file of the folder which process it is, and which others it has started, and then hangs.
fn hanging(folder: &Scratch) -> String {
    let pids = folder.path("pids").display().to_string();
    format!(
        "[profile hang]\ncredential_process = sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; sleep 1000; true\n"
    )
}

/// The processes in the file that are there, and how many there have been.
fn running(folder: &Scratch) -> (Vec<u32>, usize) {
    let pids = fs::read_to_string(folder.path("pids")).unwrap_or_default();
    let pids: Vec<u32> = pids.lines().filter_map(|line| line.parse().ok()).collect();
    let is_there = |pid: &&u32| {
        // One that has ended may wait for whoever is to be told of it.
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state
            .rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
    };
    (pids.iter().filter(is_there).copied().collect(), pids.len())
}

/// Fails if a command that hangs is left behind, alone or with what it has started: by who waits for it in vain, by a process that
/// ends, or by one that is ended, in whatever way.
#[test]
fn a_command_that_hangs_is_ended_with_its_wait() {
    let world = World::settled();
    for (verb, ending) in [
        ("plan", None),
        ("run", Some("TERM")),
        ("run", Some("KILL")),
        ("plan", Some("INT")),
    ] {
        let home = Scratch::new();
        let sns = sns::Server::start();
        let mut command = world.bound(verb);
        with_profiles(&mut command, &home, &hanging(&home), "hang");
        if verb == "run" {
            command.args([
                "--notify-topic",
                "arn:aws:sns:eu-west-1:111122223333:database",
                "--notify-after",
                "1s",
            ]);
            command.env("AWS_ENDPOINT_URL_SNS", sns.url());
        }
        let Some(ending) = ending else {
            let said = assert_exit(&mut command, 69);
            assert_told("hang", &said, &["credential_process", "timed out", "run it by hand"]);
            wait_until("what it started ends with it", || running(&home).0.is_empty());
            continue;
        };
        let daemon = Daemon::start(&mut command);
        let most = std::sync::atomic::AtomicUsize::new(0);
        // With `plan` there is one wait alone.
        let awaited = if verb == "run" { 4 } else { 2 };
        let came = comes_true(PATIENCE, || {
            let (there, so_far) = running(&home);
            most.fetch_max(there.len(), std::sync::atomic::Ordering::Relaxed);
            so_far >= awaited && there.len() == 2
        });
        assert!(came, "{:?}\n{}", running(&home), daemon.log());
        // Each is two.
        assert!(most.into_inner() <= 2, "{ending}: several run at a time");
        signal(daemon.child.id(), ending);
        daemon.ended();
        wait_until("nothing outlives it", || running(&home).0.is_empty());
    }
    assert_eq!(world.story(), "", "an API was called");
}

/// Fails if more is read of a command than credentials have, or more of it is told than how it ended.
#[test]
fn of_a_command_no_more_is_read_and_told_than_it_should_say() {
    let world = World::settled();
    let home = Scratch::new();
    let json = r#"{"Version": 1, "AccessKeyId": "AKIASECRET", "SecretAccessKey": 7, "SessionToken": "secret"}"#;
    let profiles = format!(
        "[profile endless]\ncredential_process = yes secret\n\
         [profile loud]\ncredential_process = yes secret >&2\n\
         [profile fails]\ncredential_process = echo secret; echo secret >&2; exit 3\n\
         [profile wrong]\ncredential_process = echo '{json}'\n\
         [profile gone]\ncredential_process = /nowhere/get --password secret\n"
    );
    for (profile, exit, part) in [
        ("endless", 77, "prints more than 64 KiB"),
        ("loud", 69, "timed out"),
        ("fails", 77, "exit status: 3"),
        ("wrong", 77, "something else than credentials"),
        ("gone", 77, "/nowhere/get: it ended with exit status: 127"),
    ] {
        for verb in ["plan", "doctor"] {
            let mut command = world.bound(verb);
            with_profiles(&mut command, &home, &profiles, profile);
            command.args(if verb == "doctor" {
                &["--only", "permission", "-vv"][..]
            } else {
                &["-vv"]
            });
            let said = assert_exit(&mut command, exit);
            assert_says(&said, &["credential_process", part]);
            let told = said.to_lowercase().replace("secret_access_key", "");
            assert!(!told.contains("secret"), "{profile}: {said}");
        }
    }
}

/// Fails if what a command prints is not used as the SDK would: at once, again when it has expired, and for the roles of profiles.
#[test]
fn what_a_command_prints_is_used() {
    let world = World::settled();
    let home = Scratch::new();
    let role = "arn:aws:iam::111122223333:role/tether";
    let print = "echo '{\"Version\": 1, \"AccessKeyId\": \"AKIAPRINTED\", \"SecretAccessKey\": \"it is one\"}'";
    let profiles = format!(
        "[default]\ncredential_process = sh -c \"{}\" | cat\n\
         [profile assumed]\nrole_arn = {role}\nsource_profile = default\nexternal_id = outside\nrole_session_name = me\n\
         [profile own]\nrole_arn = {role}\nsource_profile = own\ncredential_process = {print}\n\
         [profile otherwise]\ncredential_process = {}\n",
        print.replace('"', "\\\""),
        print
            .replace("AccessKeyId", "accessKeyId")
            .replace("Version", "version")
    );
    for (profile, keys) in [
        ("default", "AKIAPRINTED"),
        ("otherwise", "AKIAPRINTED"),
        ("assumed", "ASIA"),
        ("own", "ASIA"),
    ] {
        let before = world.elb.calls().len();
        let mut command = world.bound("plan");
        with_profiles(&mut command, &home, &profiles, profile);
        assert_exit(&mut command, 0);
        let calls = world.elb.calls().split_off(before);
        let (assumed, others): (Vec<&Call>, Vec<_>) = calls.iter().partition(|call| call.action == "AssumeRole");
        let has = |call: &Call, key: &str| call.access_key.as_ref().is_some_and(|signed| signed.starts_with(key));
        assert!(others.iter().all(|call| has(call, keys)), "{profile}: {others:?}");
        assert_eq!(
            assumed.len(),
            usize::from(keys == "ASIA"),
            "{profile}: {}",
            world.story()
        );
        if let Some(call) = assumed.first() {
            assert!(has(call, "AKIAPRINTED"), "{call:?}");
            let asked = call.role.as_ref().unwrap();
            assert_eq!(asked.arn, role);
            let named = (asked.external_id.as_deref(), asked.session_name.as_str());
            assert!(profile == "own" || named == (Some("outside"), "me"), "{asked:?}");
        }
    }
    // Keys of the environment come before it.
    let mut command = world.bound("plan");
    with_profiles(
        &mut command,
        &home,
        "[default]\ncredential_process = false\n",
        "default",
    );
    command
        .env("AWS_ACCESS_KEY_ID", "AKIASET")
        .env("AWS_SECRET_ACCESS_KEY", "x");
    assert_exit(&mut command, 0);
    // As soon as they have expired it is asked anew, and not before.
    let times = home.path("times").display().to_string();
    let soon = format!(
        "[default]\ncredential_process = echo >> {times}; echo '{{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"B\", \
         \"Expiration\": \"'$(date -u -d +1min +%Y-%m-%dT%H:%M:%SZ)'\"}}'\n"
    );
    let mut command = world.bound("run");
    with_profiles(&mut command, &home, &soon, "default");
    let daemon = Daemon::start(&mut command);
    daemon.wait_for_log(&["settled"]);
    let asked = || fs::read_to_string(&times).unwrap_or_default().lines().count();
    assert_eq!(asked(), 1, "{}", daemon.log());
}

/// Fails if a pipe or a device in the place of a file holds everything up, or is read for ever.
#[test]
fn files_of_aws_that_are_none_hold_nothing_up() {
    let world = World::settled();
    let home = Scratch::new();
    let pipe = home.path("pipe");
    succeed(foreign("mkfifo").arg(&pipe));
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/x");
    let url = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/role");
    let none = |profiles: &str, variable: &str, path: &Path, more: Option<(&str, &str)>| {
        let mut command = world.bound("plan");
        with_profiles(&mut command, &home, profiles, "default");
        command.env(variable, path).envs(more);
        command
    };
    for path in [pipe.as_path(), Path::new("/dev/zero")] {
        for (variable, more) in [
            ("AWS_CONFIG_FILE", None),
            ("AWS_SHARED_CREDENTIALS_FILE", None),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", Some(role)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Some(url)),
        ] {
            let mut command = none("", variable, path, more);
            let said = said(&finish_within(Duration::from_secs(10), &mut command));
            let part = format!("{}: it is a", path.display());
            assert_told(variable, &said, &[&part, "name files in AWS_CONFIG_FILE"]);
            // Whoever has keys needs none of them.
            command
                .env("AWS_ACCESS_KEY_ID", "AKIASET")
                .env("AWS_SECRET_ACCESS_KEY", "x");
            assert_exit(&mut command, 0);
        }
        let token = format!(
            "[default]\nrole_arn = {}\nweb_identity_token_file = {}\n",
            role.1,
            path.display()
        );
        let said = said(&finish_within(
            Duration::from_secs(10),
            &mut none(&token, "X", path, None),
        ));
        assert_told("token", &said, &["it is a"]);
    }
    let cache = home.path(".aws/sso/cache");
    fs::create_dir_all(&cache).unwrap();
    succeed(foreign("mkfifo").arg(cache.join(TOKEN)));
    let mut command = plan(&world, &home);
    let said = said(&finish_within(
        Duration::from_secs(10),
        command.env("AWS_PROFILE", "session"),
    ));
    assert_told("session", &said, &[TOKEN, "it is a pipe"]);
    // To name this is to say that there is none.
    let mut command = none("", "AWS_CONFIG_FILE", Path::new("/dev/null"), None);
    assert_says(&assert_exit(&mut command, 77), &["none were found in variables"]);
}

/// Fails if a directory in the place of a file of profiles, as Docker makes it for one to mount that is missing, takes away the
/// credentials of the other.
#[test]
fn a_directory_in_the_place_of_a_file_of_profiles_is_an_empty_file() {
    let world = World::settled();
    let keys = "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = x\n";
    for (directory, file) in [(".aws/config", ".aws/credentials"), (".aws/credentials", ".aws/config")] {
        let home = Scratch::new();
        fs::create_dir_all(home.path(directory)).unwrap();
        fs::write(home.path(file), keys).unwrap();
        let mut command = world.bound("plan");
        with_profiles(&mut command, &home, "", "default");
        command.env_remove("AWS_CONFIG_FILE");
        assert_exit(&mut command, 0);
    }
}

/// Fails if what gives credentials is read without end, or waited for without end, be it the metadata service or a container's.
#[test]
fn what_gives_credentials_without_end_is_not_waited_for() {
    let world = World::settled();
    for (variable, drips) in [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", false),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", true),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", false),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", true),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                thread::spawn(move || -> std::io::Result<()> {
                    let _ = stream.read(&mut [0; 4096])?;
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                    loop {
                        if drips {
                            stream.write_all(b"x")?;
                            thread::park_timeout(Duration::from_millis(100));
                        } else {
                            stream.write_all(&[b'x'; 65536])?;
                        }
                    }
                });
            }
        });
        let home = Scratch::new();
        let mut command = world.bound("plan");
        with_profiles(&mut command, &home, "", "default");
        command.env_remove("AWS_EC2_METADATA_DISABLED").env(variable, url);
        let output = finish_within(Duration::from_secs(14), &mut command);
        assert!(matches!(output.status.code(), Some(69 | 77)), "{}", said(&output));
        assert_says(&said(&output), &["DescribeTargetGroups failed"]);
    }
}

/// At these the SDK would end a task.
#[test]
fn a_profile_that_names_no_url_is_told_with_its_line() {
    let world = World::new();
    let home = Scratch::new();
    for (profiles, parts) in [
        (
            "[default]\nendpoint_url =\n",
            &["config:2: endpoint_url is empty", "https://HOST"][..],
        ),
        (
            "[default]\nservices = s\n[services s]\nelastic_load_balancing_v2 =\n  endpoint_url = \n",
            &["config:5: endpoint_url is empty"],
        ),
        (
            "[default]\nservices = s\n[services s]\nsts =\n  endpoint_url = hunter2\n",
            &["config:5: endpoint_url is no URL"],
        ),
    ] {
        for verb in ["check", "plan", "doctor"] {
            let mut command = match verb {
                "check" => {
                    let mut command = bare_command("");
                    command.arg("check");
                    bind(&mut command, &format!("{WRITER}:5432"), &world.arn);
                    command
                }
                _ => world.bound(verb),
            };
            with_profiles(&mut command, &home, profiles, "default");
            let said = assert_exit(command.env_remove("AWS_ENDPOINT_URL"), 78);
            assert_says(&said, parts);
            assert!(!said.contains("hunter2") && !said.contains("panicked"), "{said}");
        }
    }
}

#[test]
fn keys_that_cannot_be_sent_and_those_that_have_expired_are_refused_with_who_gave_them() {
    let world = World::settled();
    let home = Scratch::new();
    let printed = |name: &str, keys: &str| {
        let path = home.write(
            name,
            &format!("#!/bin/sh\ncat <<'END'\n{{\"Version\": 1, {keys}}}\nEND\n"),
        );
        format!("[default]\ncredential_process = sh {}\n", path.display())
    };
    for (profiles, parts) in [
        (
            printed("one", r#""AccessKeyId": "AKIA\nSECRET", "SecretAccessKey": "x""#),
            &["sh: it printed a key with a line break", "run it by hand"][..],
        ),
        (
            printed(
                "two",
                r#""AccessKeyId": "AKIA", "SecretAccessKey": "x", "SessionToken": "SECRET\r""#,
            ),
            &["sh: it printed a key with a line break"],
        ),
        (
            printed(
                "three",
                r#""AccessKeyId": "AKIA", "SecretAccessKey": "x", "Expiration": "2020-05-02T18:36:00Z""#,
            ),
            &["sh: it printed credentials that expired at 2020-05-02T18:36:00Z"],
        ),
        (
            "[default]\naws_access_key_id = AKIA\n  SECRET\naws_secret_access_key = x\n".to_owned(),
            &["keys have a line break", "correct what gives them"],
        ),
    ] {
        let mut command = world.bound("plan");
        with_profiles(&mut command, &home, &profiles, "default");
        let said = assert_exit(&mut command, 77);
        assert_told(&profiles, &said, parts);
        assert!(!said.contains("SECRET") && !said.contains("panicked"), "{said}");
    }
    assert_eq!(world.story(), "", "an API was called");
}
