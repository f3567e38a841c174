//! Telling whoever started the program that it is ready, and where.
//!
//! With `PENSTOCK_READY_FILE` in the environment, a JSON object with the bound addresses is written
//! to that file once everything listens: for supervisors and tests that use port 0.

use std::{io::Write, net::SocketAddr, path::Path};

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
pub(super) fn write(listeners: &[SocketAddr], admin: SocketAddr) -> anyhow::Result<()> {
    let Some(file) = std::env::var_os(VARIABLE) else {
        return Ok(());
    };
    let file = Path::new(&file);
    let beside = file.with_extension("tmp");
    let json = serde_json::to_vec(&Ready { listeners, admin }).context("addresses are not JSON")?;
    std::fs::File::create(&beside)
        .and_then(|mut out| out.write_all(&json))
        .and_then(|()| std::fs::rename(&beside, file))
        .with_context(|| format!("cannot write {}", file.display()))
}
