//! What a load test says in the end: as text, as JSON, and as a page with plots.

mod json;
mod page;

use std::fmt::Write;

use super::{
    LoadArgs,
    rule::{Excess, Rule},
    run::{Ran, Second},
    tally::{Summary, Times},
};
use penstock_config::units::format_duration;

/// Everything that was measured.
pub(super) struct Report {
    url: String,
    requests: String,
    rule: Rule,
    threads: usize,
    runs: Vec<Judged>,
}

/// A run and what the rule says of it.
pub(super) struct Judged {
    pub(super) ran: Ran,
    pub(super) excess: Option<Excess>,
    /// Whether it is the run at the limit, or at the rate that was asked for.
    pub(super) is_steady: bool,
}

impl Judged {
    fn is_good(&self) -> bool {
        self.excess.is_none() && !self.ran.is_cut
    }

    fn verdict(&self) -> String {
        match &self.excess {
            _ if self.ran.is_cut => "ended early".to_owned(),
            Some(excess) => excess.to_string(),
            None => "good".to_owned(),
        }
    }
}

impl Report {
    pub(super) fn of(args: &LoadArgs, requests: String) -> Self {
        Self {
            url: args.url.to_string(),
            requests,
            rule: args.rule(),
            threads: args.settings().threads,
            runs: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, ran: Ran, excess: Option<Excess>, is_steady: bool) {
        self.runs.push(Judged {
            ran,
            excess,
            is_steady,
        });
    }

    /// The run that tells most: the last steady one, or the best there is.
    pub(super) fn main_run(&self) -> Option<&Judged> {
        let steady = self.runs.iter().rev().find(|run| run.is_steady);
        let good = || {
            let good = self.runs.iter().filter(|run| run.is_good());
            good.max_by(|one, other| one.ran.rate.total_cmp(&other.ran.rate))
        };
        steady.or_else(good).or_else(|| self.runs.last())
    }

    /// Whether the run that tells most was good.
    pub(super) fn is_good(&self) -> bool {
        self.main_run().is_some_and(Judged::is_good)
    }

    /// The highest rate that was good in a steady run.
    fn limit(&self) -> Option<f64> {
        let steady = self.main_run()?;
        (steady.is_steady && steady.is_good()).then_some(steady.ran.rate)
    }

    /// The lowest rate above the main run's that was too much, and why.
    fn too_much(&self) -> Option<(f64, &Excess)> {
        let rate = self.main_run()?.ran.rate;
        let bad = self.runs.iter().filter(|run| run.ran.rate > rate);
        let bad = bad.filter_map(|run| Some((run.ran.rate, run.excess.as_ref()?)));
        bad.min_by(|one, other| one.0.total_cmp(&other.0))
    }

    /// The result in a sentence.
    fn headline(&self) -> String {
        let Some(main) = self.main_run() else {
            return "Nothing was measured.".to_owned();
        };
        let rate = number(main.ran.rate);
        if !main.is_good() {
            return format!("At {rate} requests/s: {}.", main.verdict());
        }
        match self.too_much() {
            Some((bad, excess @ Excess::Generator { .. })) => format!(
                "At least {rate} requests/s; what the service can take beyond that is not known, for at {} {excess}.",
                number(bad)
            ),
            Some((bad, excess)) => format!(
                "The limit is {rate} requests/s; at {} {excess}.",
                number(bad)
            ),
            None => format!("{rate} requests/s were good, and no higher rate was tried."),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.headline());
        let _ = writeln!(text, "rule       {}", self.rule);
        let _ = writeln!(text, "requests   {} at {}", self.requests, self.url);
        if let Some(main) = self.main_run() {
            text.push_str(&run_text(&main.ran, self.threads));
            let _ = writeln!(text, "\n{}", self.line(&main.ran));
        }
        text
    }

    /// One line to paste into a chat or a table.
    fn line(&self, ran: &Ran) -> String {
        let whole = ran.total.whole.summary();
        let (p50, p99) = whole.map_or((0.0, 0.0), |whole| (whole.p50_ms, whole.p99_ms));
        let mut line = format!(
            "penstock load: {} · {} requests/s · p50 {} · p99 {} · {} of {} failed",
            self.requests,
            number(ran.rate),
            ms(p50),
            ms(p99),
            ran.total.failed(),
            ran.due,
        );
        if let Some(first) = ran.total.first_token.summary() {
            let _ = write!(
                line,
                " · first token p50 {} p99 {} · {} tokens/s",
                ms(first.p50_ms),
                ms(first.p99_ms),
                number(ran.tokens_per_second())
            );
        }
        line
    }

    /// For programs.
    ///
    /// # Errors
    ///
    /// None that are known: it is plain data.
    pub(super) fn json(&self) -> anyhow::Result<String> {
        json::text(self)
    }

    /// A page with plots.
    pub(super) fn html(&self) -> String {
        page::html(self)
    }
}

/// What was measured in a run.
fn run_text(ran: &Ran, threads: usize) -> String {
    let mut text = String::new();
    let total = &ran.total;
    let _ = writeln!(
        text,
        "run        {} requests in {}, {} good, {} failed",
        ran.due,
        format_duration(ran.length),
        total.good,
        total.failed()
    );
    if total.failed() > 0 {
        let _ = writeln!(text, "failures   {}", total.failures_text());
    }
    let seconds = ran.length.as_secs_f64();
    let _ = write!(
        text,
        "on average {} in flight, {} of bodies a second",
        number(ran.mean_in_flight()),
        bytes(total.bytes as f64 / seconds)
    );
    if total.tokens > 0 {
        let _ = write!(
            text,
            ", {} tokens a second",
            number(ran.tokens_per_second())
        );
    }
    let _ = writeln!(
        text,
        "\ngenerator  {:.1} processors busy, {threads} threads, p99 {:.1?} late\n",
        ran.cpu,
        total.behind.at(0.99)
    );
    let _ = writeln!(
        text,
        "{:16}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "p50", "p90", "p95", "p99", "p99.9", "max"
    );
    for (name, times) in rows(ran) {
        if let Some(found) = times.summary() {
            let _ = write!(text, "{name:16}");
            for value in columns(&found) {
                let _ = write!(text, "{:>10}", ms(value));
            }
            text.push('\n');
        }
    }
    text
}

/// The measures of time, each with its name.
fn rows(ran: &Ran) -> [(&'static str, &Times); 4] {
    [
        ("whole answer", &ran.total.whole),
        ("first byte", &ran.total.first_byte),
        ("first token", &ran.total.first_token),
        ("between tokens", &ran.total.between_tokens),
    ]
}

fn columns(found: &Summary) -> [f64; 6] {
    [
        found.p50_ms,
        found.p90_ms,
        found.p95_ms,
        found.p99_ms,
        found.p999_ms,
        found.max_ms,
    ]
}

/// What stands above the lines of [`second_text`].
pub(super) const SECOND_HEADING: &str =
    "       due      good    failed in flight       p50       p99  first p99  tokens/s";

/// A second, in a line.
pub(super) fn second_text(second: &Second) -> String {
    let time = |found: Option<Summary>, of: fn(&Summary) -> f64| {
        found.map_or_else(|| "-".to_owned(), |found| ms(of(&found)))
    };
    format!(
        "{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>11}{:>10}",
        second.due,
        second.good,
        second.failed,
        second.in_flight,
        time(second.whole, |found| found.p50_ms),
        time(second.whole, |found| found.p99_ms),
        time(second.first_token, |found| found.p99_ms),
        second.tokens
    )
}

/// A number in three digits or more, as people write it: `0.25`, `12.5`, `1240`.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        value if value < 1.0 => 3,
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Milliseconds with a unit that fits.
pub(super) fn ms(value: f64) -> String {
    if value < 1000.0 {
        format!("{}ms", number(value))
    } else {
        format!("{}s", number(value / 1000.0))
    }
}

fn bytes(value: f64) -> String {
    let mut value = value;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return format!("{} {unit}", number(value));
        }
        value /= 1024.0;
    }
    format!("{} GiB", number(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        let texts = [0.0, 0.25, 1.5, 12.34, 100.0, 1239.6].map(number);
        assert_eq!(texts, ["0", "0.25", "1.5", "12.3", "100", "1240"]);
        assert_eq!((ms(12.34), ms(1500.0)), ("12.3ms".into(), "1.5s".into()));
        assert_eq!(bytes(3.0 * 1024.0 * 1024.0), "3 MiB");
    }
}
