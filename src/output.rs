//! Standard output: JSON, and that it may be closed before everything is written, as by `| head`.

use std::io::{self, Write};

use serde::Serialize;

/// Whether an error says only that the reader of standard output has read enough.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}

/// An error that the log has told already, in its own form.
#[derive(Debug)]
pub(crate) struct Told;

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the log says why")
    }
}

impl std::error::Error for Told {}

/// A failure that what was printed has told already, unless all is `good`.
pub(crate) fn told(good: bool) -> anyhow::Result<()> {
    if good { Ok(()) } else { Err(Told.into()) }
}

/// Prints a value as JSON for people and programs.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    Ok(anstream::stdout().write_all(text.as_bytes())?)
}
