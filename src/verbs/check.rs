//! `check`: whether the settings are good, without a look at anything that they name.

use clap::Args;

use crate::exit::Exit;
use crate::settings::Flags;
use crate::verbs::named;
use crate::verbs::out::print;

/// The settings to read.
#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    flags: Flags,
}

impl Check {
    /// Says what the settings ask for; what is wrong with them is the error.
    pub async fn read(&self) -> anyhow::Result<Exit> {
        // A name is a name, whether or not there is a group that has it.
        let settings = named::patterned(&self.flags).await?.settings()?;
        print(&format!("the settings are good: {}\n", settings.counted()))?;
        Ok(Exit::Settled)
    }
}
