//! `penstock explain`: why a deployment has as many workers as it has.

mod follow;
mod layout;
mod text;
mod time;

use std::{
    io::{IsTerminal, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use penstock_config::units;
use penstock_control::explain::Explanation;

use self::{layout::Page, time::Times};
use crate::{
    admin_client::{AdminArgs, AdminClient, block_on},
    output::print_json,
    target::Target,
};

/// Changes shown when nobody says how many, nor since when.
const CHANGES: u32 = 10;

/// Most changes that are asked for: as many as Penstock keeps.
const CHANGES_MAX: u32 = 1_000;

/// Say why a deployment has as many workers as it has: the decision now, and the last changes.
///
/// First the decision as it is made now, every second: what it is made from, what every rule asks
/// for (the one that counts is marked), what limits it, what is being done and waited for, and what
/// would change it. Then the last changes of the count, the newest last.
#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The service; all its deployments when only this is given.
    #[arg(value_name = "SERVICE[/DEPLOYMENT]")]
    target: Target,
    /// How many changes. Default: 10, or all with --since.
    #[arg(short = 'n', long, value_name = "COUNT")]
    changes: Option<u32>,
    /// Only changes of this last time, such as 1h or 30m.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    since: Option<Duration>,
    /// Print it as JSON: a list of deployments. With --follow one object per line: each deployment, then
    /// each journal entry as it comes.
    #[arg(long)]
    json: bool,
    /// Then print every further change as it happens, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Prints the decisions, once or as they come.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let client = AdminClient::new(&args.admin);
    block_on(async {
        if args.follow {
            return follow::follow(&client, args).await;
        }
        let (changes, since_ms) = args.which();
        let found = ask(&client, &args.target, changes, since_ms).await?;
        if args.json {
            return print_json(&found);
        }
        print(&page().explanations(&found))
    })
}

impl ExplainArgs {
    /// How many changes, and since when in milliseconds since 1970.
    fn which(&self) -> (u32, u64) {
        #[allow(clippy::disallowed_methods, reason = "the user says how long ago")]
        let now = SystemTime::now();
        let since = self.since.and_then(|since| now.checked_sub(since));
        let since = since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        let since_ms = since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
        let all = if self.since.is_some() {
            CHANGES_MAX
        } else {
            CHANGES
        };
        (self.changes.unwrap_or(all), since_ms)
    }
}

/// What Penstock says about it.
async fn ask(
    client: &AdminClient,
    target: &Target,
    changes: u32,
    since_ms: u64,
) -> anyhow::Result<Vec<Explanation>> {
    let service = &target.service;
    let which = format!("changes={changes}&since_ms={since_ms}");
    let base = format!("/api/v1/services/{service}");
    match &target.deployment {
        None => client.get_json(&format!("{base}/decisions?{which}")).await,
        Some(deployment) => {
            let path = format!("{base}/deployments/{deployment}/decision?{which}");
            Ok(vec![client.get_json(&path).await?])
        }
    }
}

/// A page as wide as the terminal; as wide as it gets when a program reads it.
fn page() -> Page {
    let out = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&out).ok();
    let columns = size
        .filter(|_| out.is_terminal())
        .map(|size| usize::from(size.ws_col));
    Page::new(columns.filter(|columns| *columns > 0), Times::here())
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests;
