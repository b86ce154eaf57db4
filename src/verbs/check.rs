//! `check`: whether the settings are good, without a look at anything that they name.

use clap::Args;

use crate::exit::Exit;
use crate::settings::{Error, Flags};
use crate::text::join;
use crate::verbs::out::print;

/// The settings to read.
#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    flags: Flags,
}

impl Check {
    /// Says what the settings ask for; what is wrong with them is the error.
    pub fn read(&self) -> Result<Exit, Error> {
        let settings = self.flags.settings()?;
        let counted = [
            (settings.bindings.len(), "target group", "target groups"),
            (settings.proxies.len(), "proxy", "proxies"),
        ];
        let counted = counted.into_iter().filter(|(count, ..)| *count > 0);
        let counted = counted.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }));
        print(&format!("the settings are good: {}\n", join(counted)));
        Ok(Exit::Settled)
    }
}
