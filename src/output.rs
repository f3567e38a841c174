//! Standard output that may be closed before everything is written, as by `| head`.

use std::io;

/// Whether an error says only that the reader of standard output has read enough.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}
