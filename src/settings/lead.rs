//! How the members of a database are asked who the writer is, as a file says it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::value::Wait;
use crate::aws::ca;
use crate::lead::{self, Secret};
use crate::planner::endpoint::{Endpoint, Role, region_of};
use crate::planner::wrong::Wrong;
use crate::probe::Trust;

/// How a fault is told that is none where a bundle is named that cannot be read: that is the fault then.
pub(super) const NEEDS_BUNDLE: &str = "needs ca_bundle";

/// How the members of a database are asked who the writer is.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table: { user = \"...\", password_file = \"...\" } or { user = \"...\", iam = true }"
)]
pub struct Lead {
    /// Ask the members of the database, as this user, who the writer is, and be there before DNS names it; needs --ca-bundle
    #[arg(id = "lead.user", long = "lead-user", value_name = "NAME")]
    pub user: Option<String>,
    /// Log in to them with tokens of IAM
    #[arg(id = "lead.iam", long = "lead-iam")]
    pub iam: bool,
    /// Log in to them with the first line of this file
    #[arg(id = "lead.password_file", long = "lead-password-file", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The database to log in to [default: postgres]
    #[arg(id = "lead.database", long = "lead-database", value_name = "NAME")]
    pub database: Option<String>,
    /// Name of a member that neither DNS nor the database tells of; repeatable
    #[arg(id = "lead.members", long = "lead-member", value_name = "HOST")]
    pub members: Option<Vec<String>>,
    /// How long clients wait for a writer where DNS names readers only [default: 30s]
    #[arg(id = "lead.patience", long = "lead-patience", value_name = "DURATION")]
    pub patience: Option<Wait>,
    /// Whether it is known that the password can be read.
    #[arg(skip)]
    #[serde(skip)]
    pub is_read: bool,
}

impl Lead {
    /// The same, whose password can be read: what holds for many groups looks into its file once.
    ///
    /// # Errors
    /// It cannot.
    pub fn read(self) -> Result<Self, Wrong> {
        if let Some(path) = self.password_file.as_ref().filter(|_| !self.is_read && !self.iam) {
            lead::password_in(path).map_err(|what| Wrong::new(what, "name a file that this user may read"))?;
        }
        Ok(Self { is_read: true, ..self })
    }

    /// What it comes to for endpoints of this role, whose certificates `trust` believes.
    ///
    /// # Errors
    /// Says what does not go together.
    pub fn settings(
        self,
        endpoints: &[&Endpoint],
        role: Option<Role>,
        trust: Option<&Trust>,
    ) -> Result<lead::Lead, Wrong> {
        let wrong = |what: String, fix: &str| Err(Wrong::new(what, fix));
        let given = self.read()?;
        let hosts = || endpoints.iter().map(|endpoint| endpoint.host());
        let Some(user) = given.user.filter(|user| !user.is_empty() && !user.contains('\0')) else {
            let fix = "name a role that may log in: user = \"rds_tether\", or --lead-user rds_tether";
            return wrong("lead has no user".to_owned(), fix);
        };
        if role.unwrap_or_else(|| Role::told_by(hosts())) == Role::Reader {
            let what = format!(
                "lead looks for a writer, and {} stands for readers",
                hosts().next().unwrap_or_default()
            );
            return wrong(what, "leave lead out, or follow the writer's endpoint");
        }
        let Some(trust) = trust else {
            let what =
                format!("lead believes members only by their certificates, and {NEEDS_BUNDLE} (--ca-bundle FILE)");
            return wrong(what, &format!("AWS publishes the CAs of RDS: {}", ca::of_rds(hosts())));
        };
        let secret = match (given.iam, given.password_file) {
            (true, None) => Secret::Iam,
            (false, Some(path)) => Secret::File(path),
            (true, Some(_)) | (false, None) => {
                let what = "lead logs in with either a token of IAM or a password".to_owned();
                return wrong(
                    what,
                    "write iam = true (--lead-iam) or password_file = \"FILE\" (--lead-password-file FILE)",
                );
            }
        };
        let members = given.members.iter().flatten().map(|name| member(name));
        let members = members.collect::<Result<Vec<String>, Wrong>>()?;
        if members.len() > lead::members::MEMBERS_MAX {
            let what = format!(
                "lead has {} members, and at most {} are asked",
                members.len(),
                lead::members::MEMBERS_MAX
            );
            return wrong(what, "name those that may become the writer");
        }
        if secret == Secret::Iam
            && let Some(name) = members
                .iter()
                .map(String::as_str)
                .find(|name| region_of(name).is_none())
        {
            let what = format!("{name} is no name of RDS, so no token of IAM can be for it");
            return wrong(what, "name members as RDS does, or write password_file = \"FILE\"");
        }
        Ok(lead::Lead {
            user,
            secret,
            database: given.database.unwrap_or_else(|| lead::DATABASE.to_owned()),
            members,
            patience: given.patience.map_or(lead::PATIENCE, Duration::from),
            trust: trust.clone(),
        })
    }
}

/// A member's name, as DNS has it.
fn member(name: &str) -> Result<String, Wrong> {
    // The port is the endpoint's.
    match format!("{name}:1").parse::<Endpoint>() {
        Ok(endpoint) if !name.contains(':') => Ok(endpoint.host().to_owned()),
        _ => Err(Wrong::new(
            format!("{name:?} is no member's name"),
            "write the DNS name of the member alone; its port is the endpoint's",
        )),
    }
}

#[cfg(test)]
mod tests {
    use testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn what_does_not_go_together_is_told() {
        const CLUSTER: &str = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432";
        const READERS: &str = "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com:5432";
        let scratch = Scratch::new();
        let password = scratch.write("password", "secret\n");
        let given = |keys: &str| -> Lead {
            let text = keys.replace("FILE", &password.display().to_string());
            toml::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
        };
        let trust = Trust::anybody();
        for (keys, endpoint, role, is_trusted, why) in [
            ("user = \"u\"\npassword_file = \"FILE\"", CLUSTER, None, true, None),
            ("user = \"u\"\niam = true", CLUSTER, None, true, None),
            ("user = \"u\"\niam = true", "db.internal:5432", None, true, None),
            ("user = \"u\"\niam = true", READERS, Some(Role::Writer), true, None),
            ("user = \"\"\niam = true", CLUSTER, None, true, Some("no user")),
            (
                "user = \"u\"\niam = true",
                CLUSTER,
                None,
                false,
                Some("needs ca_bundle"),
            ),
            (
                "user = \"u\"",
                CLUSTER,
                None,
                true,
                Some("either a token of IAM or a password"),
            ),
            (
                "user = \"u\"\niam = true\npassword_file = \"FILE\"",
                CLUSTER,
                None,
                true,
                Some("either a token of IAM or a password"),
            ),
            (
                "user = \"u\"\npassword_file = \"/none\"",
                CLUSTER,
                None,
                true,
                Some("/none"),
            ),
            (
                "user = \"u\"\niam = true",
                READERS,
                None,
                true,
                Some("stands for readers"),
            ),
            (
                "user = \"u\"\niam = true",
                CLUSTER,
                Some(Role::Reader),
                true,
                Some("stands for readers"),
            ),
            (
                "user = \"u\"\npassword_file = \"FILE\"\nmembers = [\"db-1:5432\"]",
                CLUSTER,
                None,
                true,
                Some("no member's name"),
            ),
            (
                "user = \"u\"\niam = true\nmembers = [\"db-1.internal\"]",
                CLUSTER,
                None,
                true,
                Some("no name of RDS"),
            ),
            (
                &format!("user = \"u\"\npassword_file = \"FILE\"\nmembers = {:?}", vec!["a"; 17]),
                CLUSTER,
                None,
                true,
                Some("at most 16"),
            ),
        ] {
            let endpoint = endpoint.parse().expect("an endpoint");
            let settings = given(keys).settings(&[&endpoint], role, Some(&trust).filter(|_| is_trusted));
            let told = settings.err().map(|wrong| wrong.to_string());
            let is_right = match (&told, why) {
                (Some(told), Some(why)) => told.contains(why) && !told.contains("secret"),
                (told, why) => told.is_none() && why.is_none(),
            };
            assert!(is_right, "{keys}, {endpoint}: {told:?} instead of {why:?}");
        }
    }
}
