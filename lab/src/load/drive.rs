//! The course of a load test: which rates are run, one after the other.

use std::{
    io::{IsTerminal, Write},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use penstock_config::{Trust, units};

use super::{
    LoadArgs,
    endpoint::Endpoint,
    generator::Generator,
    report::{self, Report},
    requests::Requests,
    rule::Excess,
    run::{Ran, Second},
    search::{Next, Search},
};

/// Searches the limit, or keeps the rate that was asked for.
///
/// # Errors
///
/// Nothing is there to be loaded, or a file cannot be read.
pub(super) async fn load(args: &LoadArgs, requests: &Arc<Requests>) -> anyhow::Result<Report> {
    let trust = match &args.cacert {
        Some(path) => Trust::of_file(path).map_err(anyhow::Error::msg)?,
        None if args.insecure => Trust::Anybody,
        None => Trust::System,
    };
    let endpoint = Arc::new(Endpoint::of(&args.url, args.protocol(), &trust).await?);
    // A wrong address gets an error, not a report.
    let connected = endpoint.connect().await;
    connected.with_context(|| format!("cannot connect to {}", args.url))?;
    let mut generator = Generator::start(&endpoint, requests, &args.settings())?;
    let mut report = Report::of(args, requests.text());
    let mut search = match args.rate {
        Some(rate) => Search::steady_only(rate),
        None => Search::new(args.from, args.to),
    };
    let interrupted = watch_for_ctrl_c();
    let progress = Progress::new();
    let mut median = Duration::ZERO;
    loop {
        let (rate, length, is_steady) = match search.next() {
            Next::Step(rate) => (rate, length(args.step, rate, median), false),
            Next::Steady(rate) => (rate, length(args.steady, rate, median), true),
            Next::Done => break,
        };
        progress.begin(rate, length, is_steady);
        let each_second = |second: &Second| {
            progress.second(second);
            if interrupted.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let ran = generator.run(rate, length, each_second).await;
        median = median.max(ran.total.whole.at(0.5));
        let is_cut = ran.is_cut;
        let excess = args.rule().excess(&ran.observed()).filter(|_| !is_cut);
        progress.end(&ran, excess.as_ref());
        search.tell(excess.is_none());
        report.add(ran, excess, is_steady);
        // At a rate that was asked for, what comes of it is the result.
        if is_cut || args.rate.is_some() {
            break;
        }
    }
    Ok(report)
}

/// Tells when Ctrl-C was pressed. Pressed again it ends the program at once.
fn watch_for_ctrl_c() -> Arc<AtomicBool> {
    /// What a shell gives for a program that SIGINT ended.
    const INTERRUPTED: i32 = 130;
    let pressed = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&pressed);
    tokio::spawn(async move {
        // Where signals cannot be listened to, the first Ctrl-C ends the program anyway.
        while tokio::signal::ctrl_c().await.is_ok() {
            if tell.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
        }
    });
    pressed
}

/// To this a run is made longer at most.
const LENGTH_MAX: Duration = Duration::from_secs(120);

/// Fewer requests say nothing.
const REQUESTS_MIN: f64 = 10.0;

/// How long a run must be to be judged: it has some requests, and half of it is left when the first
/// answers, which take `median`, have ended.
fn length(asked: Duration, rate: f64, median: Duration) -> Duration {
    let for_requests = Duration::from_secs_f64(REQUESTS_MIN / rate);
    let needed = for_requests.max(median * 4).min(LENGTH_MAX);
    if needed <= asked {
        asked
    } else {
        Duration::from_secs_f64(needed.as_secs_f64().ceil())
    }
}

/// What a person sees meanwhile, on standard error.
struct Progress {
    is_terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    fn tell(&self, text: &str) {
        // Nobody has to read it.
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    fn begin(&self, rate: f64, length: Duration, is_steady: bool) {
        let what = if is_steady { "steady at" } else { "trying" };
        let rate = report::number(rate);
        let length = units::format_duration(length);
        self.tell(&format!("{what} {rate} requests/s for {length}"));
        if self.is_terminal {
            self.tell(report::SECOND_HEADING);
        }
    }

    fn second(&self, second: &Second) {
        if self.is_terminal {
            self.tell(&report::second_text(second));
        }
    }

    fn end(&self, ran: &Ran, excess: Option<&Excess>) {
        let verdict = match excess {
            _ if ran.is_cut => "ended early".to_owned(),
            Some(excess) => format!("too much: {excess}"),
            None => "good".to_owned(),
        };
        self.tell(&format!("  {verdict}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_long_enough_for_what_answers_take_and_for_some_requests() {
        let length = |rate, median| {
            length(
                Duration::from_secs(5),
                rate,
                Duration::from_secs_f64(median),
            )
            .as_secs()
        };
        assert_eq!(
            [length(10.0, 0.0), length(10.0, 1.25), length(10.0, 3.0)],
            [5, 5, 12]
        );
        assert_eq!([length(10.0, 1000.0), length(0.3, 0.0)], [120, 34]);
    }
}
