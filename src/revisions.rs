//! `penstock revisions`: what workers ran, run and are to run.

mod table;

use std::io::Write;

use clap::Args;
use penstock_control::status::RevisionsStatus;

use crate::{
    admin_client::{AdminArgs, AdminClient, block_on},
    output::print_json,
    status::printable,
    target::Target,
};

/// Show the revisions of a service's workers, or of one deployment's, the newest first.
///
/// Each change in the file of what starts a worker is a revision: command, image, environment, devices.
/// What differs is named; values of arguments and of the environment are never shown.
#[derive(Args)]
pub(crate) struct RevisionsArgs {
    /// The service, or one of its deployments.
    #[arg(value_name = "SERVICE[/DEPLOYMENT]")]
    target: Target,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Asks for them, and prints them.
pub(crate) fn run(args: &RevisionsArgs) -> anyhow::Result<()> {
    let client = AdminClient::new(&args.admin);
    let page = args.target.page("revisions");
    let status: RevisionsStatus = block_on(client.get_json(&page))?;
    if args.json {
        return print_json(&status);
    }
    Ok(anstream::stdout().write_all(table::revisions(&status).as_bytes())?)
}

/// Says what was done, or all about it as JSON.
pub(crate) fn print_done(status: &RevisionsStatus, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(status);
    }
    let lines = status.done.iter().map(|done| printable(done) + "\n");
    Ok(anstream::stdout().write_all(lines.collect::<String>().as_bytes())?)
}
