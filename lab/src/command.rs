//! `penstock simulate`: what a scaling configuration would have done with recorded arrivals.

mod candidates;
mod report;
mod sharing;
mod table;

use std::{
    fs::File,
    io::{BufReader, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::simulate::{Outcome, Setup, WorkerModel, run as simulate, trace::Trace};
use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use penstock_config::units;

use self::candidates::Candidate;

/// Replay recorded arrivals against scaling configurations, in virtual time.
///
/// The trace is one of: Azure's LLM inference traces (TIMESTAMP,ContextTokens,GeneratedTokens), two
/// columns timestamp,service_seconds, or Penstock's own access log in JSON. The decisions are made
/// by the code that runs in production; the workers are simulated by the options below.
#[derive(Args)]
pub struct SimulateArgs {
    /// The trace.
    trace: PathBuf,
    /// Configurations to try: FILE, or FILE:SERVICE, or FILE:SERVICE/DEPLOYMENT. Without one, the
    /// default scaling within --min and --max.
    #[arg(long, value_name = "CONFIG", num_args = 1..)]
    compare: Vec<String>,
    /// Also run the published algorithms of other systems with their defaults, within the same bounds.
    #[arg(long)]
    references: bool,
    /// Fewest workers, where no configuration says so.
    #[arg(long, default_value_t = 1)]
    min: u32,
    /// Most workers, where no configuration says so.
    #[arg(long, default_value_t = 100)]
    max: u32,
    /// Replay at this many times the recorded rate.
    #[arg(long, default_value = "1", value_delimiter = ',')]
    speed: Vec<f64>,
    /// How long a worker takes to start.
    #[arg(long, default_value = "30s", value_delimiter = ',', value_parser = units::parse_duration)]
    start: Vec<Duration>,
    /// How much start times vary, as a share of --start: 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    start_spread: f64,
    /// Most requests on one worker at once.
    #[arg(long, default_value_t = 8)]
    max_concurrency: u32,
    /// Prompt tokens that a worker reads per second.
    #[arg(long, default_value_t = 4000.0)]
    prefill_rate: f64,
    /// Tokens that a worker generates per second for each request.
    #[arg(long, default_value_t = 40.0)]
    decode_rate: f64,
    /// How much slower each further request in a batch makes it, as a share.
    #[arg(long, default_value_t = 0.0)]
    batch_slowdown: f64,
    /// The wait for a worker that requests should not exceed.
    #[arg(long, default_value = "10s", value_parser = units::parse_duration)]
    slo: Duration,
    /// The trace is one of several services (timestamp,service_seconds,service) that have so many GPUs
    /// together, each with one worker at most, which answers one request at a time. Compares with serving in
    /// order of arrival. Of the other options, --start, --speed, --work, --requests, --give-way-after and --json
    /// count.
    #[arg(long)]
    gpus: Option<usize>,
    /// With --gpus: this share of the service times in the trace.
    #[arg(long, default_value_t = 1.0, requires = "gpus")]
    work: f64,
    /// With --gpus: only so many requests, the first ones.
    #[arg(long, requires = "gpus")]
    requests: Option<usize>,
    /// With --gpus: as `gpus.give_way_after` in a configuration.
    #[arg(long, default_value = "10m", requires = "gpus", value_parser = units::parse_duration)]
    give_way_after: Duration,
    /// For everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also print every change of the count of workers, with its reason.
    #[arg(long)]
    decisions: bool,
    /// Also write a report with plots to this HTML file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs every candidate at every speed and start time, and prints what came of it.
pub fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    check(args)?;
    if let Some(gpus) = args.gpus {
        return sharing::run(args, gpus);
    }
    let trace = read(&args.trace)?;
    for left_out in candidates::all(args)?
        .iter()
        .filter_map(|c| c.left_out.as_ref())
    {
        writeln!(anstream::stderr(), "{left_out}")?;
    }
    let mut runs = Vec::new();
    for &speed in &args.speed {
        let trace = trace.faster(speed);
        for &start in &args.start {
            for candidate in candidates::all(args)? {
                let outcome = one(&trace, args, start, &candidate);
                runs.push(Run {
                    speed,
                    start,
                    outcome,
                });
            }
        }
    }
    if let Some(path) = &args.report {
        write_report(path, args, &runs)?;
    }
    let text = if args.json {
        table::json(&runs, args.slo)?
    } else {
        let mut text = table::text(&runs, args.slo);
        if args.decisions {
            runs.iter()
                .for_each(|run| text.push_str(&table::decisions(run)));
        }
        text
    };
    Ok(anstream::stdout().write_all(text.as_bytes())?)
}

fn write_report(path: &Path, args: &SimulateArgs, runs: &[Run]) -> anyhow::Result<()> {
    let command: Vec<_> = std::env::args().skip(1).collect();
    let name = args.trace.file_name().unwrap_or(args.trace.as_os_str());
    let origin = report::Origin {
        trace: &name.to_string_lossy(),
        command: &format!("penstock {}", command.join(" ")),
    };
    std::fs::write(path, report::html(&origin, runs, args.slo))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// One simulation and what it was of.
struct Run {
    speed: f64,
    start: Duration,
    outcome: Outcome,
}

fn check(args: &SimulateArgs) -> anyhow::Result<()> {
    let positive = |name: &str, value: f64| {
        ensure!(value.is_finite() && value > 0.0, "{name} must be above 0");
        Ok(())
    };
    for &speed in &args.speed {
        positive("--speed", speed)?;
    }
    positive("--prefill-rate", args.prefill_rate)?;
    positive("--decode-rate", args.decode_rate)?;
    ensure!(
        args.batch_slowdown.is_finite() && args.batch_slowdown >= 0.0,
        "--batch-slowdown must be at least 0"
    );
    ensure!(
        (0.0..=1.0).contains(&args.start_spread),
        "--start-spread must be between 0 and 1"
    );
    ensure!(
        args.max_concurrency > 0,
        "--max-concurrency must be above 0"
    );
    ensure!(
        args.max >= args.min.max(1),
        "--max must be at least 1 and at least --min"
    );
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Trace> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let bar = bar(length, "reading");
    let trace = Trace::read(BufReader::new(file), |read| bar.set_position(read));
    bar.finish_and_clear();
    trace.with_context(|| format!("{shown} is no trace"))
}

fn one(trace: &Trace, args: &SimulateArgs, start: Duration, candidate: &Candidate) -> Outcome {
    /// Steps of the progress bar.
    const STEPS: f64 = 1000.0;
    let setup = Setup {
        model: WorkerModel {
            start,
            start_spread: args.start_spread,
            max_concurrency: candidate.max_concurrency,
            prefill_rate: args.prefill_rate,
            decode_rate: args.decode_rate,
            batch_slowdown: args.batch_slowdown,
            ramp: candidate.ramp,
        },
        max_requests: candidate.max_requests,
        max_wait: candidate.max_wait,
        sheds_early: candidate.sheds_early,
        max_workers: candidate.max_workers,
        drain_timeout: candidate.drain_timeout,
        seed: args.seed,
    };
    let mut scaler = candidate.scaler();
    let bar = bar(STEPS as u64, scaler.name());
    let outcome = simulate(trace, &setup, &mut *scaler, |share| {
        bar.set_position((share * STEPS) as u64);
    });
    bar.finish_and_clear();
    outcome
}

/// A progress bar on standard error, which shows only on a terminal.
fn bar(length: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %");
    let bar = ProgressBar::new(length).with_message(what.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
