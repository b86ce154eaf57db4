//! Where credentials come from, and what is said where there are none: never in the words of a library.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Command;

use super::world::{Scratch, World, assert_exit, assert_says};

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
const JARGON: [&str; 8] = [
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
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("HOME", home.path(""))
        .env("AWS_CONFIG_FILE", home.write("config", PROFILES))
        .env("PATH", "/usr/bin:/bin");
    command
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
        ("nosource", &["(gone)", "neither ~/.aws/config nor ~/.aws/credentials"]),
        ("nobody", &["(nobody)", "correct AWS_PROFILE"]),
        ("fails", &["credential_process", "no luck", "run it by hand"]),
        ("chatty", &["credential_process", "has to print credentials as JSON"]),
        ("web", &["cannot be read", "web_identity_token_file"]),
        ("half", &["`half`", "aws_secret_access_key", "give it both keys"]),
        ("moon", &["(Moon)", "credential_source", "Ec2InstanceMetadata"]),
    ];
    for (profile, parts) in cases {
        let said = assert_exit(plan(&world, &home).env("AWS_PROFILE", profile), 77);
        assert_told(profile, &said, parts);
    }
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
