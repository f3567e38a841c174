//! `penstock worker`: a simulated GPU worker for trying Penstock out, for tests and for benches.
//!
//! It speaks the OpenAI API as vLLM does, down to the names of the metrics, and has what makes
//! such workers hard to serve: a load time, a batch of limited size with a queue behind it, a time
//! to first token and a token rate. Switches make it fail in the ways that real workers fail.

mod api;
mod chat;
mod completions;
mod embeddings;
mod engine;
mod messages;
mod pages;
mod responses;
mod serve;
mod text;
mod transport;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clap::Args;
use penstock_config::units::parse_duration;

/// Run a simulated GPU worker with OpenAI-style endpoints.
#[derive(Debug, Clone, Args)]
pub struct WorkerArgs {
    /// Port to listen on; 0 takes a free one.
    #[arg(long, env = "PORT", default_value_t = 8000)]
    port: u16,

    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,

    /// Name of the model that it serves.
    #[arg(long, default_value = "demo")]
    model: String,

    /// How long loading the model takes.
    #[arg(long, default_value = "3s", value_parser = parse_duration)]
    load_time: Duration,

    /// Most requests worked on at once; more wait in the worker's own queue.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,

    /// Tokens per second of one request.
    #[arg(long, default_value_t = 50.0, value_parser = parse_rate)]
    tokens_per_second: f64,

    /// From the moment a request is worked on until its first token.
    #[arg(long, default_value = "50ms", value_parser = parse_duration)]
    time_to_first_token: Duration,

    /// Longest time to finish what is in flight after SIGTERM.
    #[arg(long, default_value = "25s", value_parser = parse_duration)]
    drain: Duration,

    #[command(flatten, next_help_heading = "Faults")]
    faults: Faults,
}

/// Ways to fail.
#[derive(Debug, Clone, Args)]
struct Faults {
    /// Listen only once the model is loaded, as vLLM does; otherwise the port opens at once and
    /// everything is answered with 503 until then.
    #[arg(long)]
    listen_late: bool,

    /// Exit with status 1 instead of loading the model.
    #[arg(long)]
    crash_on_start: bool,

    /// Never finish loading.
    #[arg(long, conflicts_with = "crash_on_start")]
    hang_on_start: bool,

    /// Exit with status 1 this long after the model was loaded.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    crash_after: Option<Duration>,

    /// Answer every request after this many with status 500.
    #[arg(long, value_name = "REQUESTS")]
    fail_after: Option<u64>,

    /// Break every stream off after so many tokens, as if the worker had died.
    #[arg(long, value_name = "TOKENS")]
    break_after: Option<u64>,

    /// Go on after SIGTERM and SIGINT as if nothing had come.
    #[arg(long)]
    ignore_sigterm: bool,
}

impl WorkerArgs {
    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("must be a number above 0".to_owned()),
    }
}

/// Runs the worker until it is told to stop.
///
/// # Errors
/// When the address is taken, or a fault that was asked for strikes.
pub fn run(args: WorkerArgs) -> anyhow::Result<()> {
    if args.faults.crash_on_start {
        anyhow::bail!("CUDA error: out of memory (simulated by --crash-on-start)");
    }
    // One thread: a GPU decodes one batch, and a machine may run a hundred of these.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve::serve(args))
}
