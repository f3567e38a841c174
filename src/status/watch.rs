//! The status again and again.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use anstream::adapter::strip_str;

use super::StatusArgs;
use crate::admin_client::AdminClient;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Empties the screen.
const CLEAR: &str = "\x1b[2J";

/// To the upper left corner. Writing over what stands there flickers less than clearing it first.
const HOME: &str = "\x1b[H";

/// Clears what is left of the line before.
const END_OF_LINE: &str = "\x1b[K\n";

/// Clears what is left of the screen before.
const END_OF_SCREEN: &str = "\x1b[J";

/// Never returns unless the first look fails or nobody reads any more: a Penstock that is
/// restarted meanwhile is waited for.
pub(super) async fn watch(client: &AdminClient, args: &StatusArgs) -> anyhow::Result<()> {
    let mut text = super::text(client, args).await?;
    let on_screen = std::io::stdout().is_terminal() && !args.json;
    if on_screen {
        print(CLEAR)?;
    }
    loop {
        print(&if on_screen {
            screen(&text, size())
        } else {
            text
        })?;
        tokio::time::sleep(EVERY).await;
        text = match super::text(client, args).await {
            Ok(text) => text,
            Err(error) => {
                let error = format!("{error:#}\n");
                if on_screen {
                    error
                } else {
                    print_error(&error)
                }
            }
        };
    }
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Nothing is left for standard output, which a program may read.
fn print_error(error: &str) -> String {
    eprint!("penstock: {error}");
    String::new()
}

/// Columns and rows of the terminal.
fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

/// As much of the text as the screen has rows for.
fn screen(text: &str, size: Option<(usize, usize)>) -> String {
    let (columns, rows) = size.unwrap_or((usize::MAX, usize::MAX));
    let mut screen = HOME.to_owned();
    // The last row stays free for the cursor, and one may be needed to say that there is more.
    let mut left = rows.saturating_sub(2);
    let mut lines = text.lines();
    for line in lines.by_ref() {
        let width = strip_str(line)
            .map(|piece| piece.chars().count())
            .sum::<usize>();
        let needed = width.div_ceil(columns).max(1);
        if needed > left {
            let more = lines.count() + 1;
            screen += &format!("… {more} more lines{END_OF_LINE}");
            break;
        }
        left -= needed;
        screen += line;
        screen += END_OF_LINE;
    }
    screen + END_OF_SCREEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_on_the_screen_is_counted() {
        let text = "one\n\x1b[1mtwo two\x1b[0m\nthree\nfour\n";
        assert!(screen(text, None).ends_with("four\x1b[K\n\x1b[J"));
        assert!(screen(text, Some((80, 6))).ends_with("four\x1b[K\n\x1b[J"));
        assert!(screen(text, Some((80, 5))).ends_with("three\x1b[K\n… 1 more lines\x1b[K\n\x1b[J"));
        // The second line takes two rows.
        assert!(
            screen(text, Some((6, 5))).ends_with("\x1b[0m\x1b[K\n… 2 more lines\x1b[K\n\x1b[J")
        );
        assert!(screen(text, Some((1, 1))).ends_with("… 4 more lines\x1b[K\n\x1b[J"));
    }
}
