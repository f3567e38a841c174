//! `penstock pause`: stops a service, or one of its deployments, and keeps its URL and settings.

mod words;

use std::{io::Write, time::Duration};

use clap::Args;
use http::Method;
use penstock_config::units::parse_duration;
use penstock_control::{pause::Expiry, status::PauseStatus};
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::words::about;
use crate::{
    admin_client::block_on,
    output::print_json,
    target::Target,
    who::{ChangeArgs, Who},
};

/// Stop a service, or one of its deployments, until `penstock resume` or a time.
///
/// Requests get 503 `paused`, with the reason; those in flight finish, then the workers stop. URL and
/// settings stay. A paused deployment leaves its share of the traffic to the others; a paused service
/// has all its deployments paused, also those that are added later. Pausing what is paused replaces
/// reason and end.
#[derive(Args)]
pub(crate) struct PauseArgs {
    /// The service, or one of its deployments.
    #[arg(value_name = "SERVICE[/DEPLOYMENT]")]
    target: Target,
    /// Resume by itself after so long, such as 2h or 1d12h.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    lasts: Option<Duration>,
    /// Resume by itself at this time, such as 2030-01-31T18:00:00Z or 2030-01-31T18:00:00+01:00.
    #[arg(long, value_name = "TIME", conflicts_with = "lasts", value_parser = a_time)]
    until: Option<String>,
    /// Print what is paused as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Serialize)]
struct Pausing {
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Value>,
    #[serde(flatten)]
    who: Who,
}

fn a_time(text: &str) -> Result<String, String> {
    text.parse::<Expiry>().map(|_| text.to_owned()).map_err(|_| {
        "must be a time with its zone, such as 2030-01-31T18:00:00Z or 2030-01-31T18:00:00+01:00"
            .to_owned()
    })
}

/// Asks for it, and says what came of it.
pub(crate) fn run(args: &PauseArgs) -> anyhow::Result<()> {
    let lasts = args.lasts.map(|lasts| lasts.as_secs_f64().into());
    let until = args.until.as_deref().map(Into::into);
    let body = Pausing {
        expires: lasts.or(until),
        who: args.change.who(),
    };
    let client = args.change.client();
    let status = block_on(client.change(Method::POST, &args.target.page("pause"), &body))?;
    print(&status, &args.target, args.json)
}

/// Says what came of a request to pause or resume.
pub(crate) fn print(status: &PauseStatus, target: &Target, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(status);
    }
    let text = words::outcome(status, target);
    Ok(anstream::stdout().write_all(text.as_bytes())?)
}
