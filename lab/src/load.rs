//! `penstock load`: how much a service can take, and how it behaves then.

mod client;
mod drive;
mod endpoint;
mod events;
mod generator;
mod pacer;
mod proposal;
mod report;
mod requests;
mod rule;
mod run;
mod search;
mod tally;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use http::{Method, Uri};
use penstock_config::{Protocol, units};

use self::{generator::Settings, report::Report, requests::Requests, rule::Rule};

/// Find out how much a service can take: the load rises until it is too much, then stays at the limit.
///
/// Requests come as from many clients who do not wait for each other (an open loop), and all times are
/// counted from when a request was due: a service that stalls cannot hide it. A rate is too much when
/// more than --max-errors fail, when answers come more slowly than requests, or when --p99 or
/// --first-token is exceeded. It doubles from --from until then, closes in on the limit, and at last
/// runs there for the time of --steady. Ctrl-C ends it with a report of what was measured.
///
/// Exit status: 0 when the last run was good, 1 when it was too much or cut short.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct LoadArgs {
    /// Where requests go. With --model, an address alone means /v1/chat/completions.
    url: Uri,

    /// Ask this model for chat completions, streamed, and measure its tokens.
    #[arg(long, value_name = "NAME", help_heading = "Requests")]
    model: Option<String>,
    /// Tokens of each prompt, about.
    #[arg(
        long,
        default_value_t = 100,
        value_name = "N",
        help_heading = "Requests"
    )]
    prompt_tokens: u32,
    /// Most tokens of each answer.
    #[arg(
        long,
        default_value_t = 64,
        value_name = "N",
        help_heading = "Requests"
    )]
    max_tokens: u32,
    /// Take the lengths of prompts and answers from a trace, in its order. The formats are those of
    /// `penstock simulate`.
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    trace: Option<PathBuf>,
    /// Method. Default: POST with a body, GET without.
    #[arg(short = 'X', long, help_heading = "Requests")]
    method: Option<Method>,
    /// A header field, such as 'Authorization: Bearer KEY'. May be given several times.
    #[arg(
        short = 'H',
        long,
        value_name = "NAME:VALUE",
        help_heading = "Requests"
    )]
    header: Vec<String>,
    /// The body.
    #[arg(short, long, value_name = "TEXT", help_heading = "Requests")]
    data: Option<String>,
    /// A file with the body; of several, and of the lines of a .jsonl file, each in its turn.
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    body: Vec<PathBuf>,
    /// Version of HTTP: 1 or 2.
    #[arg(long, default_value = "1", value_name = "1|2", value_parser = ["1", "2"], help_heading = "Requests")]
    http: String,
    /// Make unary calls of gRPC (HTTP/2): the URL's path is /package.Service/Method, the body the
    /// encoded message without its frame.
    #[arg(long, help_heading = "Requests")]
    grpc: bool,
    /// Trust the authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    cacert: Option<PathBuf>,
    /// Do not verify certificates.
    #[arg(long, conflicts_with = "cacert", help_heading = "Requests")]
    insecure: bool,
    /// A request that is not answered this long after it was due has failed.
    #[arg(long, default_value = "60s", value_parser = units::parse_duration, value_name = "TIME", help_heading = "Requests")]
    timeout: Duration,

    /// Do not search: run once at this many requests a second, for --steady.
    #[arg(long, value_parser = rate, value_name = "RATE", conflicts_with_all = ["from", "to"], help_heading = "Load")]
    rate: Option<f64>,
    /// Requests a second to begin with.
    #[arg(long, default_value = "10", value_parser = rate, value_name = "RATE", help_heading = "Load")]
    from: f64,
    /// Never send more requests a second than this.
    #[arg(long, default_value = "1000000", value_parser = rate, value_name = "RATE", help_heading = "Load")]
    to: f64,
    /// How long each rate is tried; longer where answers take longer.
    #[arg(long, default_value = "5s", value_parser = units::parse_duration, value_name = "TIME", help_heading = "Load")]
    step: Duration,
    /// How long the run at the limit takes.
    #[arg(long, default_value = "30s", value_parser = units::parse_duration, value_name = "TIME", help_heading = "Load")]
    steady: Duration,
    /// Most connections. Over HTTP/2 another is opened for every 100 requests at once.
    #[arg(long, default_value_t = 1000, value_name = "N", help_heading = "Load")]
    connections: usize,
    /// Threads that send. Default: one per processor, at most 4.
    #[arg(long, value_name = "N", help_heading = "Load")]
    threads: Option<usize>,
    /// For the random times between requests.
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Load")]
    seed: u64,

    /// Share of the requests that may fail.
    #[arg(long, default_value = "1%", value_parser = percent, value_name = "PERCENT", help_heading = "Limit")]
    max_errors: f64,
    /// Time within which 99 of 100 answers must be whole.
    #[arg(long, value_parser = units::parse_duration, value_name = "TIME", help_heading = "Limit")]
    p99: Option<Duration>,
    /// Time within which 99 of 100 first tokens must come (first bytes, where there are no tokens).
    #[arg(long, value_parser = units::parse_duration, value_name = "TIME", help_heading = "Limit")]
    first_token: Option<Duration>,

    /// Print the report as JSON.
    #[arg(long, help_heading = "Report")]
    json: bool,
    /// Also write it, with plots, to this HTML file.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    html: Option<PathBuf>,
    /// Also print settings for the configuration file that follow from it.
    #[arg(long, conflicts_with = "json", help_heading = "Report")]
    apply: bool,
    /// Workers that served the load, for --apply.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), value_name = "N", help_heading = "Report")]
    workers: u32,
}

const EXAMPLES: &str = "\
Examples:
  penstock load http://127.0.0.1:8080 --model demo --first-token 1s
  penstock load http://127.0.0.1:8080/echo -d hello --rate 500 --steady 10s
  penstock load https://models.example.org/v1 --model demo -H 'Authorization: Bearer KEY' --html load.html
  penstock load http://127.0.0.1:8080/pkg.Service/Method --grpc --body message.bin";

impl LoadArgs {
    fn protocol(&self) -> Protocol {
        if self.grpc || self.http == "2" {
            Protocol::H2
        } else {
            Protocol::Http1
        }
    }

    fn settings(&self) -> Settings {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Settings {
            threads: self.threads.unwrap_or_else(|| cores.min(4)),
            connections: self.connections,
            timeout: self.timeout,
            seed: self.seed,
        }
    }

    fn rule(&self) -> Rule {
        Rule {
            max_errors: self.max_errors,
            p99: self.p99,
            first_token: self.first_token,
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        let second = Duration::from_secs(1);
        ensure!(self.step >= 2 * second, "--step must be at least 2s");
        ensure!(self.steady >= 2 * second, "--steady must be at least 2s");
        ensure!(!self.timeout.is_zero(), "--timeout must be above 0");
        ensure!(self.to >= self.from, "--to must be at least --from");
        let threads = self.threads.unwrap_or(1);
        ensure!((1..=256).contains(&threads), "--threads must be 1 to 256");
        ensure!(
            self.connections >= threads,
            "--connections must be at least --threads"
        );
        ensure!(
            self.prompt_tokens <= 10_000_000,
            "--prompt-tokens must be at most 10000000"
        );
        Ok(())
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    if (0.001..=1e7).contains(&rate) {
        Ok(rate)
    } else {
        Err("must be between 0.001 and 10000000 a second".to_owned())
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("must be a share between 0% and 100%".to_owned()),
    }
}

/// The clock of everything that is measured here.
#[allow(clippy::disallowed_methods, reason = "a load test measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Loads, and reports: whether the last rate was good.
///
/// # Errors
///
/// Options that do not fit together, nothing that could be loaded, or a file that cannot be written.
pub fn run(args: &LoadArgs) -> anyhow::Result<bool> {
    args.check()?;
    let requests = Arc::new(Requests::of(args)?);
    // Every connection takes one, and the usual limit is 1,024.
    let _ = penstock_control::driver::process::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let report = runtime.block_on(drive::load(args, &requests))?;
    let text = if args.json {
        report.json()?
    } else {
        report.text()
    };
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    if args.apply {
        out.write_all(proposal::text(&report, args.workers).as_bytes())?;
    }
    if let Some(path) = &args.html {
        write_html(path, &report)?;
    }
    Ok(report.is_good())
}

fn write_html(path: &Path, report: &Report) -> anyhow::Result<()> {
    std::fs::write(path, report.html()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_rates_are_checked() {
        assert_eq!(percent("1%"), Ok(0.01));
        assert_eq!(percent("0.5"), Ok(0.005));
        assert!(percent("101%").is_err() && percent("x").is_err());
        assert!(rate("0").is_err() && rate("NaN").is_err() && rate("12.5").is_ok());
    }
}
