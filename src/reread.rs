//! `penstock reload`: reads the file again.

use std::io::Write;

use clap::Args;
use http::Method;

use crate::{admin_client::block_on, who::ChangeArgs};

/// Read the configuration file again, and say what is wrong with it.
///
/// Penstock follows the file by itself. This is for saying who changed it and why, which
/// `penstock revisions` shows, and for learning whether it is good.
#[derive(Args)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

/// Asks for it, and says what came of it.
pub(crate) fn run(args: &ReloadArgs) -> anyhow::Result<()> {
    let client = args.change.client();
    let who = args.change.who();
    let text = block_on(client.change_text(Method::POST, "/api/v1/reload", &who))?;
    Ok(anstream::stdout().write_all(text.as_bytes())?)
}
