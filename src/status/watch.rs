//! The status again and again.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use super::StatusArgs;
use crate::admin_client::AdminClient;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Cursor to the upper left corner, and nothing left of what stood there (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Never returns unless the first look fails or nobody reads any more: a Penstock that is
/// restarted meanwhile is waited for.
pub(super) async fn watch(client: &AdminClient, args: &StatusArgs) -> anyhow::Result<()> {
    let mut text = super::text(client, args).await?;
    let on_screen = std::io::stdout().is_terminal() && !args.json;
    loop {
        show(&text, on_screen)?;
        tokio::time::sleep(EVERY).await;
        text = match super::text(client, args).await {
            Ok(text) => text,
            Err(error) if args.json => {
                eprintln!("penstock: {error:#}");
                continue;
            }
            Err(error) => format!("{error:#}\n"),
        };
    }
}

fn show(text: &str, on_screen: bool) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    if on_screen {
        out.write_all(CLEAR.as_bytes())?;
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}
