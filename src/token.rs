//! `penstock token`: tokens for the admin address.

use std::io::{self, Write};

use clap::{Args, builder::PossibleValuesParser};
use penstock_config::ServiceName;

use crate::key;

/// Tells a token from API keys and other secrets, also in a leak.
const PREFIX: &str = "pst_";

/// Make a token for the admin address and print it once, with the table for the configuration file.
///
/// The file holds only the token's SHA-256. Commands find the token in the environment variable
/// PENSTOCK_TOKEN or in the file that --token-file or PENSTOCK_TOKEN_FILE names; other programs send it
/// as `Authorization: Bearer TOKEN`. To replace a token give `sha256` a list of both, move over, and
/// remove the old one: the file is read again while Penstock runs.
#[derive(Args)]
pub(crate) struct TokenArgs {
    /// Its name in the file: who stands in the journal for a change. 1 to 30 of a-z, 0-9 and hyphens.
    #[arg(value_parser = name)]
    name: ServiceName,
    /// What it allows: to see everything, or to change it as well.
    #[arg(long, default_value = "operator", value_parser = PossibleValuesParser::new(["viewer", "operator"]))]
    role: String,
    /// The services that it is for, by commas [default: all, and what belongs to no service].
    #[arg(long, value_name = "SERVICES", value_delimiter = ',', value_parser = name)]
    services: Vec<ServiceName>,
}

/// Tokens are named as services are.
fn name(text: &str) -> Result<ServiceName, String> {
    ServiceName::try_from(text).map_err(|error| error.to_string())
}

/// Prints a new token and its table.
pub(crate) fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let token = key::new(PREFIX);
    let mut out = io::stdout().lock();
    writeln!(out, "{token}")?;
    writeln!(out)?;
    writeln!(out, "[admin.tokens.{}]", args.name)?;
    writeln!(out, "sha256 = \"{}\"", key::hash(&token))?;
    writeln!(out, "role = \"{}\"", args.role)?;
    if !args.services.is_empty() {
        let names: Vec<String> = args
            .services
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        writeln!(out, "services = [{}]", names.join(", "))?;
    }
    Ok(())
}
