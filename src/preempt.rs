//! `penstock preempt`: says that a worker is about to be taken away.

use std::time::Duration;

use clap::Args;
use http::Method;
use penstock_config::units::parse_duration;
use serde::Serialize;

use crate::{
    admin_client::block_on,
    revisions,
    target::WorkerTarget,
    who::{ChangeArgs, Who},
};

/// Say that one worker is about to be taken away: it is replaced, and drains in time.
///
/// Its successor is started at once. It serves until that is ready, but no longer than leaves time for its last
/// request, then it drains. What it has not finished when the time is over is cut.
#[derive(Args)]
pub(crate) struct PreemptArgs {
    /// The worker, by its number in `penstock status`.
    #[arg(value_name = "SERVICE/DEPLOYMENT#NUMBER")]
    worker: WorkerTarget,
    /// How long it has [default: `preemptible.within` of the file, or 2m].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    within: Option<Duration>,
    /// Print all about it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What is sent.
#[derive(Serialize)]
struct Notice {
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<String>,
    #[serde(flatten)]
    who: Who,
}

/// Asks for it, and says what came of it.
pub(crate) fn run(args: &PreemptArgs) -> anyhow::Result<()> {
    let client = args.change.client();
    let WorkerTarget {
        service,
        deployment,
        slot,
    } = &args.worker;
    let page =
        format!("/api/v1/services/{service}/deployments/{deployment}/workers/{slot}/preempt");
    let notice = Notice {
        within: args
            .within
            .map(|within| format!("{}ms", within.as_millis())),
        who: args.change.who(),
    };
    let status = block_on(client.change(Method::POST, &page, &notice))?;
    revisions::print_done(&status, args.json)
}
