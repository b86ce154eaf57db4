//! What `iam` is asked for on the command line.

use clap::Args;

use crate::aws::arn::RoleArn;
use crate::exit::Exit;
use crate::settings::{Error, Flags, Settings};
use crate::verbs::iam::{self, Use};
use crate::verbs::named;
use crate::verbs::out::{remark, say};

/// Whose policy to print.
#[derive(Args, Clone, Debug)]
pub struct IamFlags {
    /// What to follow.
    #[command(flatten)]
    pub flags: Flags,
    /// Who needs it: run (and plan, sync, status), lambda, proxy, doctor, or write-check (doctor's)
    #[arg(
        long = "for",
        value_name = "run|lambda|proxy|doctor|write-check",
        value_enum,
        default_value_t
    )]
    pub caller: Use,
    /// Print the policy of this role, which the settings assume, instead of the one of the process
    #[arg(long, value_name = "ARN")]
    pub assumed_role: Option<RoleArn>,
}

impl IamFlags {
    /// What to follow; a proxy has flags of its own, of which only the topic matters here.
    pub fn settings(&self) -> Result<Settings, Error> {
        if self.caller == Use::Proxy && self.flags.name_nothing() {
            return self.flags.alone();
        }
        self.flags.settings()
    }

    /// Prints the policy: standard output is the document and nothing else.
    pub async fn print(&self) -> anyhow::Result<Exit> {
        let flags = Self {
            flags: named::patterned(&self.flags).await?,
            ..self.clone()
        };
        let settings = flags.settings()?;
        let role = self.role(&settings)?;
        let policy = iam::policy(&settings, self.caller, role);
        say(&policy.json())?;
        for note in iam::notes(&policy, &settings, self.caller, role) {
            remark(&format!("rds-tether: {note}"));
        }
        if !self.flags.group_names().is_empty() {
            remark(
                "rds-tether: a name tells neither the account nor the ID of a target group, for which * stands: give its ARN for a \
                 policy without",
            );
        }
        Ok(Exit::Settled)
    }

    /// The role whose policy is asked for; it is one that the settings assume.
    pub fn role(&self, settings: &Settings) -> Result<Option<&str>, Error> {
        let Some(role) = self.assumed_role.as_ref().map(RoleArn::as_str) else {
            return Ok(None);
        };
        let assumed = iam::roles(settings, self.caller);
        if assumed.contains(role) {
            return Ok(Some(role));
        }
        let remedy = match assumed.into_iter().collect::<Vec<_>>().join(" or ") {
            none if none.is_empty() => "leave it out: they assume no role".to_owned(),
            roles => format!("give {roles}"),
        };
        let what = format!("--assumed-role {role} is a role that these settings do not assume");
        Err(Error::usage(what, remedy))
    }
}
