//! `check`: whether the settings are good, without a look at anything that they name.

use clap::Args;

use crate::exit::Exit;
use crate::settings::Flags;
use crate::verbs::out::print;

/// The settings to read.
#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    flags: Flags,
}

impl Check {
    /// Says what the settings ask for; what is wrong with them is the error.
    pub fn read(&self) -> anyhow::Result<Exit> {
        let settings = self.flags.settings()?;
        print(&format!("the settings are good: {}\n", settings.counted()))?;
        Ok(Exit::Settled)
    }
}
