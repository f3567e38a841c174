//! `penstock check` and `penstock schema`: the configuration file, looked at without running it.

mod warnings;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;

use crate::certificates;

/// Check a configuration file and print every error in it.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// The configuration file.
    file: PathBuf,
}

/// Print the JSON Schema of the configuration file, for editors.
#[derive(Args)]
pub(crate) struct SchemaArgs {}

/// Says whether the file is good; its errors are this command's error.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let config = penstock_config::load(&args.file).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let outdated = certificates::outdated(&config, None);
    if !outdated.is_empty() {
        let lines: Vec<_> = outdated.iter().map(ToString::to_string).collect();
        anyhow::bail!("{}", lines.join("\n"));
    }
    let deployments: usize = config
        .services
        .values()
        .map(|service| service.deployments.len())
        .sum();
    for warning in penstock_config::warnings(&args.file) {
        eprintln!("warning: {warning}");
    }
    for warning in warnings::of(&config) {
        eprintln!("warning: {}: {warning}", args.file.display());
    }
    writeln!(
        io::stdout(),
        "{}: ok: {}, {}, {}",
        args.file.display(),
        counted(config.services.len(), "service"),
        counted(deployments, "deployment"),
        counted(config.listeners.len(), "listener"),
    )?;
    Ok(())
}

fn counted(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// Prints the schema.
pub(crate) fn schema(_: &SchemaArgs) -> anyhow::Result<()> {
    let schema = serde_json::to_string_pretty(&penstock_config::schema());
    writeln!(
        io::stdout(),
        "{}",
        schema.context("the schema is not JSON")?
    )?;
    Ok(())
}
