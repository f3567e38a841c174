//! `penstock check` and `penstock schema`: the configuration file, looked at without running it.

mod warnings;

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;

use crate::certificates;

/// Check configuration files and print every error in them.
///
/// Each file is a configuration of its own. Files that one of them includes are checked with it.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// The configuration files; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Print the JSON Schema of the configuration file, for editors.
#[derive(Args)]
pub(crate) struct SchemaArgs {}

/// Says of each file whether it is good; the errors of those that are not are this command's error.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let mut errors = Vec::new();
    for file in &args.files {
        if let Err(error) = check_one(file) {
            // What happened to the output is not about the file.
            if error.is::<io::Error>() {
                return Err(error);
            }
            errors.push(error.to_string());
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    anyhow::bail!("{}", errors.join("\n"))
}

fn check_one(file: &Path) -> anyhow::Result<()> {
    let standard_input = file == Path::new("-");
    let (loaded, name) = if standard_input {
        let name = Path::new("standard input");
        (penstock_config::parse(&standard_input_text()?, name), name)
    } else {
        (penstock_config::load(file), file)
    };
    let config = loaded.map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let outdated = certificates::outdated(&config, None);
    if !outdated.is_empty() {
        let lines: Vec<_> = outdated.iter().map(ToString::to_string).collect();
        anyhow::bail!("{}", lines.join("\n"));
    }
    if !standard_input {
        for warning in penstock_config::warnings(file) {
            eprintln!("warning: {warning}");
        }
    }
    for warning in warnings::of(&config) {
        eprintln!("warning: {}: {warning}", name.display());
    }
    let deployments = config.services.values();
    let deployments = deployments.map(|service| service.deployments.len()).sum();
    writeln!(
        io::stdout(),
        "{}: ok: {}, {}, {}",
        name.display(),
        counted(config.services.len(), "service"),
        counted(deployments, "deployment"),
        counted(config.listeners.len(), "listener"),
    )?;
    Ok(())
}

fn standard_input_text() -> anyhow::Result<String> {
    let mut text = String::new();
    let read = io::stdin().lock().read_to_string(&mut text);
    // As text: an `io::Error` would be taken for one of the output.
    read.map_err(|error| anyhow::anyhow!("standard input: {error}"))?;
    Ok(text)
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
