//! Whether a member lets the role in, judged.

use std::net::{IpAddr, SocketAddr};

use super::{Member, Seen, place};
use crate::aws::ca;
use crate::database::Refused;
use crate::doctor::check::Outcome;
use crate::exit::Exit;
use crate::lead::crew::Quest;
use crate::lead::question::quoted;
use crate::lead::visit::Unheard;
use crate::lead::{ANSWER_MAX, Secret};
use crate::planner::endpoint::{is_of_rds, region_of};
use crate::planner::lead::Says;
use crate::probe::Trouble;
use crate::text::{span, took};

/// What PostgreSQL says where its host asks PAM, which RDS does for roles that are in rds_iam.
const PAM: &str = "PAM authentication failed";

/// Whether the role can log in to one member.
pub fn judge(quest: &Quest, seen: &Seen, ip: IpAddr, member: &Member) -> Outcome {
    let at = place(ip, member);
    let user = &quest.lead.user;
    let unheard = match &member.heard {
        Ok(visit) if visit.took > ANSWER_MAX => {
            return Outcome::warning(
                format!("{at}: logged in as {user}, but in {}", took(visit.took)),
                format!(
                    "see what takes so long there: who follows waits {} and takes the member for silent",
                    span(ANSWER_MAX)
                ),
            );
        }
        Ok(visit) => {
            return Outcome::ok(format!(
                "{at}: logged in as {user} over verified TLS in {}",
                took(visit.took)
            ));
        }
        Err(Unheard::NotAsked) => {
            return Outcome::untold(
                format!("{at}: the time was over before it could be asked"),
                "give it more time with --timeout",
            );
        }
        Err(unheard) => unheard,
    };
    let why = match unheard {
        Unheard::Refused(Refused::Trouble(_, trouble)) => trouble.to_string(),
        Unheard::Refused(Refused::Server(state, message)) => format!("{message} (SQLSTATE {state})"),
        unheard => unheard.to_string(),
    };
    let found = format!("{at}: {why}");
    let (exit, fix) = fix(quest, SocketAddr::new(ip, quest.endpoint.port()), member, unheard);
    // A standby that is away or starts up is no failure of those who ask.
    let may_be_away = matches!(unheard.says(), Says::Silent(_) | Says::Neither(_));
    if may_be_away && !seen.named.contains(&ip) && seen.visits().next().is_some() {
        return Outcome::warning(found, fix);
    }
    Outcome::failure(exit, found, fix)
}

fn fix(quest: &Quest, address: SocketAddr, member: &Member, unheard: &Unheard) -> (Exit, String) {
    if let Some(state) = unheard.state() {
        return of_state(quest, state, &unheard.to_string());
    }
    match unheard {
        Unheard::Secret(_) | Unheard::SecretLate => of_secret(quest, member),
        Unheard::Refused(Refused::Trouble(_, trouble)) => of_trouble(quest, address, member, trouble),
        Unheard::Refused(Refused::Breach(_)) => (
            Exit::Unexpected,
            format!("see what answers at {address}: it is hardly a PostgreSQL"),
        ),
        Unheard::Refused(Refused::Late(_)) | Unheard::Unanswered(None, _) => (
            Exit::Unavailable,
            format!(
                "its host takes connections, and the database is overloaded, stuck or stopping: see the load and the log of {}",
                address.ip()
            ),
        ),
        _ => (
            Exit::Unavailable,
            format!("see the server's log at {} for the same moment", address.ip()),
        ),
    }
}

fn of_secret(quest: &Quest, member: &Member) -> (Exit, String) {
    let host = member.name.as_deref().unwrap_or(quest.endpoint.host());
    match &quest.lead.secret {
        Secret::File(path) => (
            Exit::Settings,
            format!(
                "write the password of {} to the first line of {}, and let this user read it",
                quest.lead.user,
                path.display()
            ),
        ),
        Secret::Iam if region_of(host).is_none() => (
            Exit::Settings,
            format!("write password_file = \"FILE\" in lead, or name {host} as RDS does"),
        ),
        Secret::Iam => (
            Exit::Denied,
            "give this process credentials of AWS: an instance profile, a task role, AWS_PROFILE or keys in the environment".to_owned(),
        ),
    }
}

fn of_trouble(quest: &Quest, address: SocketAddr, member: &Member, trouble: &Trouble) -> (Exit, String) {
    let host = quest.endpoint.host();
    let ip = address.ip();
    let is_configured = member
        .name
        .as_ref()
        .is_some_and(|name| quest.lead.members.contains(name));
    let otherwise = match is_configured {
        true => "if another database has its address, take its name out of members",
        false => "if another database has its address, DNS is wrong: compare it with the console",
    };
    match trouble {
        Trouble::WrongName(names) if !is_of_rds(host) && names.iter().any(|name| is_of_rds(name)) => (
            Exit::Settings,
            format!("follow the database's own endpoint, not {host}: RDS's certificates name RDS's names alone"),
        ),
        Trouble::WrongName(_) => (
            Exit::Unexpected,
            format!(
                "if {ip} is a member, give it a certificate that names {host}; {otherwise}"
            ),
        ),
        Trouble::UnknownCa => (
            Exit::Unexpected,
            format!(
                "if {ip} is a member, add the CA that has signed its certificate to the file of ca_bundle (RDS: {}); {otherwise}",
                ca::of_rds([host])
            ),
        ),
        Trouble::Expired => (
            Exit::Unexpected,
            "renew the member's certificate (RDS: aws rds modify-db-instance --ca-certificate-identifier rds-ca-rsa2048-g1), at a time of \
             your choice, because it may restart the database"
                .to_owned(),
        ),
        Trouble::NotYetValid => (Exit::Unexpected, "check this host's clock".to_owned()),
        Trouble::BadCertificate(_) | Trouble::Handshake(_) => (
            Exit::Unexpected,
            format!("give the member a certificate that names {host}, and see its log"),
        ),
        Trouble::TlsRefused => (
            Exit::Unexpected,
            "turn TLS on there: ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf()".to_owned(),
        ),
        Trouble::Mysql(..) | Trouble::NotPostgres(_) => (
            Exit::Unexpected,
            format!("lead is for PostgreSQL: see what answers at {address}"),
        ),
        Trouble::Refused if is_of_rds(host) => (
            Exit::Unavailable,
            "wait if it has just failed over or restarts; otherwise see aws rds describe-events".to_owned(),
        ),
        Trouble::Refused => (
            Exit::Unavailable,
            format!("start PostgreSQL there, on port {}; after a failover it takes some seconds", address.port()),
        ),
        Trouble::Unreachable(_) => (Exit::Unavailable, format!("check this host's routes to {ip}")),
        Trouble::TimedOut(_) | Trouble::Closed(..) => (
            Exit::Unavailable,
            format!(
                "let this host into its security group on TCP {}, and check network ACLs and routes; a host that failed looks the same",
                address.port()
            ),
        ),
    }
}

/// How to mend a refusal, by SQLSTATE (PostgreSQL documentation, appendix A) and, where that stands for several, by the server's words.
fn of_state(quest: &Quest, state: &str, why: &str) -> (Exit, String) {
    let lead = &quest.lead;
    let (user, database) = (quoted(&lead.user), quoted(&lead.database));
    let has = |words: &str| why.contains(words);
    let create = format!("CREATE ROLE {user} LOGIN CONNECTION LIMIT 4");
    match (state, &lead.secret) {
        ("28000" | "28P01", Secret::Iam) if has(PAM) => (Exit::Denied, of_policy(quest)),
        ("28000" | "28P01", Secret::File(_)) if has(PAM) => (
            Exit::Denied,
            format!("write iam = true instead of password_file, or: REVOKE rds_iam FROM {user}"),
        ),
        ("28P01", Secret::Iam) => (
            Exit::Denied,
            format!("at the writer: GRANT rds_iam TO {user}; if there is no such role, before that: {create}"),
        ),
        ("28P01", Secret::File(path)) => (
            Exit::Denied,
            format!(
                "write the role's password to the first line of {}, or set that one at the writer, which psql asks for: \\password \
                 {user}; if there is no such role, before that: {create}",
                path.display()
            ),
        ),
        ("28000", _) if has("not permitted to log in") => {
            (Exit::Denied, format!("at the writer: ALTER ROLE {user} LOGIN"))
        }
        ("28000", _) if has("does not exist") => (Exit::Denied, format!("at the writer: {create}")),
        ("28000", _) if has("pg_hba.conf") && is_of_rds(quest.endpoint.host()) => (
            Exit::Settings,
            "name another database or user in lead: nobody edits pg_hba.conf on RDS, which keeps rdsadmin to itself"
                .to_owned(),
        ),
        ("28000", _) => {
            let host = why.split('"').nth(1).and_then(|host| host.parse::<IpAddr>().ok());
            let host = match host.filter(|_| has("pg_hba.conf")) {
                Some(IpAddr::V4(ip)) => format!("{ip}/32"),
                Some(IpAddr::V6(ip)) => format!("{ip}/128"),
                None => "ADDRESS".to_owned(),
            };
            (
                Exit::Denied,
                format!(
                    "a line in that server's pg_hba.conf, before any that rejects it, and then SELECT pg_reload_conf(): hostssl {database} \
                     {user} {host} scram-sha-256"
                ),
            )
        }
        ("3D000", _) => (
            Exit::Settings,
            "name a database that is there in lead, such as database = \"postgres\"".to_owned(),
        ),
        ("42501", _) if has("database") => (
            Exit::Denied,
            format!("at the writer: GRANT CONNECT ON DATABASE {database} TO {user}"),
        ),
        ("42501", _) => (
            Exit::Denied,
            format!(
                "at the writer, in database {}: grant what it says to {user}",
                lead.database
            ),
        ),
        ("53300", _) if has("for role") => (
            Exit::Unavailable,
            format!(
                "processes that are in already stay so; see whose sessions they are (SELECT application_name, client_addr FROM \
                 pg_stat_activity WHERE usename = '{}'), and to let in more, at the writer: ALTER ROLE {user} CONNECTION LIMIT 8",
                lead.user.replace('\'', "''")
            ),
        ),
        ("53300", _) if has("for database") => (
            Exit::Unavailable,
            format!("at the writer: ALTER DATABASE {database} CONNECTION LIMIT -1"),
        ),
        ("53300", _) => (
            Exit::Unavailable,
            "end sessions that nobody needs (pg_stat_activity), or raise max_connections, which takes a restart"
                .to_owned(),
        ),
        ("57P03", _) => (
            Exit::Unavailable,
            "wait: it is starting, stopping or recovering; a standby takes sessions only with hot_standby = on"
                .to_owned(),
        ),
        _ => (
            Exit::Unexpected,
            format!("see SQLSTATE {state} in PostgreSQL's documentation, appendix A, and that server's log"),
        ),
    }
}

/// What lets a process log in with tokens.
fn of_policy(quest: &Quest) -> String {
    let host = quest.endpoint.host();
    let region = region_of(host).unwrap_or("REGION");
    let partition = match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        region if region.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    };
    format!(
        "allow this process's identity rds-db:connect on arn:{partition}:rds-db:{region}:ACCOUNT:dbuser:*/{} (rds-tether iam prints the \
         statement); if it is, turn on IAM authentication of the database (--enable-iam-database-authentication), and check this host's clock",
        quest.lead.user
    )
}
