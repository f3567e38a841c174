//! `penstock`: the command line. One file per subcommand.

mod admin_client;
mod cert;
mod certificates;
mod check;
mod completions;
mod drain;
mod explain;
mod key;
mod logs;
mod new;
mod output;
mod pause;
mod promote;
mod reload;
mod reread;
mod restart;
mod resume;
mod revisions;
mod rollback;
mod rollout;
mod run;
mod scale;
mod signals;
mod status;
mod switch;
mod target;
mod telemetry;
mod token;
mod weights;
mod who;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use penstock_control::driver::process::{SUPERVISE, supervise};
use penstock_lab::{command as simulate, load, worker};

/// jemalloc, by measurement: see `benches/RESULTS.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// L7 gateway for GPU inference workers, with the control service that scales them.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    New(new::NewArgs),
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Schema(check::SchemaArgs),
    Key(key::KeyArgs),
    Token(token::TokenArgs),
    Cert(cert::CertArgs),
    Status(status::StatusArgs),
    Explain(explain::ExplainArgs),
    Logs(logs::LogsArgs),
    Weights(weights::WeightsArgs),
    Promote(promote::PromoteArgs),
    Rollback(rollback::RollbackArgs),
    Rollout(rollout::RolloutArgs),
    Pause(pause::PauseArgs),
    Resume(resume::ResumeArgs),
    Revisions(revisions::RevisionsArgs),
    Switch(switch::SwitchArgs),
    Restart(restart::RestartArgs),
    Scale(scale::ScaleArgs),
    Drain(drain::DrainArgs),
    Reload(reread::ReloadArgs),
    // Boxed: they have many options.
    Load(Box<load::LoadArgs>),
    Simulate(Box<simulate::SimulateArgs>),
    Worker(worker::WorkerArgs),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

fn main() -> ExitCode {
    let first = std::env::args_os().nth(1);
    if first.is_some_and(|first| first == SUPERVISE) {
        return supervise();
    }
    let result = match Cli::parse().command {
        Command::New(args) => new::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Schema(args) => check::schema(&args),
        Command::Key(args) => key::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Cert(args) => cert::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Weights(args) => weights::run(&args),
        Command::Promote(args) => promote::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Rollout(args) => rollout::run(&args),
        Command::Pause(args) => pause::run(&args),
        Command::Resume(args) => resume::run(&args),
        Command::Revisions(args) => revisions::run(&args),
        Command::Switch(args) => switch::run(&args),
        Command::Restart(args) => restart::run(&args),
        Command::Scale(args) => scale::run(&args),
        Command::Drain(args) => drain::run(&args),
        Command::Reload(args) => reread::run(&args),
        Command::Load(args) => load::run(&args).and_then(output::told),
        Command::Simulate(args) => simulate::run(&args),
        Command::Worker(args) => worker::run(args),
        Command::Completions(args) => completions::completions(&args, Cli::command()),
        Command::Man(args) => completions::man(&args, Cli::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Told>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("penstock: {error:#}");
            ExitCode::FAILURE
        }
    }
}
