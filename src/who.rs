//! Who asks for a change, and why: both show in the status and in the journal.

use clap::Args;
use nix::unistd::{Uid, User};
use serde::Serialize;

/// Why a change is made.
#[derive(Debug, Clone, Args)]
pub(crate) struct WhyArgs {
    /// Why; shown by `penstock status` and kept in the journal.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who wants it [default: the user who runs the command].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// What every change says of itself.
#[derive(Debug, Serialize)]
pub(crate) struct Who {
    by: Option<String>,
    reason: Option<String>,
}

impl Who {
    /// The user who runs this command, unless somebody else is named.
    pub(crate) fn new(args: &WhyArgs) -> Self {
        let user = || User::from_uid(Uid::current()).ok().flatten();
        Self {
            by: args.by.clone().or_else(|| user().map(|user| user.name)),
            reason: args.reason.clone(),
        }
    }
}
