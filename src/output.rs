//! Standard output that may be closed before everything is written, as by `| head`.

use std::{future::Future, io};

/// The result of `work`, except that a reader who has read enough is no error.
pub(crate) async fn unless_closed(
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    match work.await {
        Err(error) if is_closed(&error) => Ok(()),
        result => result,
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}
