//! `penstock`: the command line.

mod worker;

use clap::{Parser, Subcommand};

/// L7 gateway for GPU inference workers, with the control service that scales them.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Worker(worker::WorkerArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Worker(args) => worker::run(args),
    }
}
