//! Who asks for a change, and why: both show in the status and in the journal.

use clap::Args;
use nix::unistd::{Uid, User};
use serde::Serialize;

use crate::admin_client::{AdminArgs, AdminClient};

/// What every command that asks for a change is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChangeArgs {
    /// Why; shown by `penstock status` and kept in the journal.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who wants it [default: the user who runs the command].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

impl ChangeArgs {
    /// Of whom it is asked.
    pub(crate) fn client(&self) -> AdminClient {
        AdminClient::new(&self.admin)
    }

    /// The user who runs this command, unless somebody else is named.
    pub(crate) fn who(&self) -> Who {
        let user = || User::from_uid(Uid::current()).ok().flatten();
        Who {
            by: self.by.clone().or_else(|| user().map(|user| user.name)),
            reason: self.reason.clone(),
        }
    }
}

/// What every command that changes the shares of the traffic is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrafficArgs {
    /// Only show what would happen.
    #[arg(long)]
    dry_run: bool,
    /// Give more traffic even to a deployment that was taken back because it failed.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

impl TrafficArgs {
    /// Of whom it is asked.
    pub(crate) fn client(&self) -> AdminClient {
        self.change.client()
    }

    /// Whether it is only to be tried.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run
    }

    /// What the change says of itself.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            who: self.change.who(),
            force: self.force,
            dry_run: self.dry_run,
        }
    }
}

/// What every change of shares says of itself.
#[derive(Debug, Serialize)]
pub(crate) struct Asked {
    #[serde(flatten)]
    who: Who,
    force: bool,
    dry_run: bool,
}

/// What every change says of itself.
#[derive(Debug, Serialize)]
pub(crate) struct Who {
    by: Option<String>,
    reason: Option<String>,
}
