//! Telling whoever started the program that it is ready, and where.
//!
//! With `PENSTOCK_READY_FILE` in the environment, a JSON object with the bound addresses is written
//! to that file once everything listens: for supervisors and tests that use port 0.

use std::{net::SocketAddr, path::Path};

use anyhow::Context;
use serde::Serialize;

/// The environment variable that names the file.
const VARIABLE: &str = "PENSTOCK_READY_FILE";

#[derive(Serialize)]
struct Ready<'a> {
    listeners: &'a [SocketAddr],
    admin: SocketAddr,
}

/// Writes the file if one is asked for. It appears whole or not at all.
pub(super) async fn write(listeners: &[SocketAddr], admin: SocketAddr) -> anyhow::Result<()> {
    let Some(file) = std::env::var_os(VARIABLE) else {
        return Ok(());
    };
    let file = Path::new(&file);
    let beside = file.with_extension("tmp");
    let json = serde_json::to_vec(&Ready { listeners, admin }).context("addresses are not JSON")?;
    // The disk may be slow, and control runs already.
    let written = async {
        tokio::fs::write(&beside, json).await?;
        tokio::fs::rename(&beside, file).await
    };
    written
        .await
        .with_context(|| format!("cannot write {}", file.display()))
}
