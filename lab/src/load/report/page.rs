//! The report as a page: one file, no scripts, nothing loaded from elsewhere.

use std::fmt::Write;

use super::{Judged, Report, columns, ms, number, rows};
use crate::html::{
    page::{Page, escape, table},
    plot::{Kind, Plot, Series},
};
use crate::load::run::Second;

const PERCENTILES: [&str; 6] = ["p50", "p90", "p95", "p99", "p99.9", "max"];

/// The page.
pub(super) fn html(report: &Report) -> String {
    let mut page = Page::new(&format!("penstock load: {}", report.requests));
    let _ = write!(
        page.body,
        "<p>{}</p><p class=\"origin\">{} · {}</p>",
        escape(&report.headline()),
        escape(&report.url),
        escape(&report.rule.to_string())
    );
    if let Some(main) = report.main_run() {
        let _ = write!(
            page.body,
            "<h2>At {} requests a second</h2>{}{}",
            number(main.ran.rate),
            percentiles(main),
            course(main)
        );
    }
    let _ = write!(page.body, "<h2>All rates</h2>{}", rates(report));
    page.finish()
}

fn percentiles(run: &Judged) -> String {
    let heading: Vec<_> = std::iter::once("").chain(PERCENTILES).collect();
    let lines = rows(&run.ran).into_iter().filter_map(|(name, times)| {
        let found = times.summary()?;
        let cells = columns(&found).map(ms);
        Some(std::iter::once(name.to_owned()).chain(cells).collect())
    });
    table(&heading, &lines.collect::<Vec<_>>())
}

fn rates(report: &Report) -> String {
    let heading = [
        "requests/s",
        "requests",
        "result",
        "failed",
        "p50",
        "p99",
        "first token p99",
    ];
    let lines = report.runs.iter().map(|run| {
        let total = &run.ran.total;
        let time = |found: Option<f64>| found.map_or_else(String::new, ms);
        let whole = total.whole.summary();
        vec![
            number(run.ran.rate),
            run.ran.due.to_string(),
            run.verdict(),
            total.failed().to_string(),
            time(whole.map(|found| found.p50_ms)),
            time(whole.map(|found| found.p99_ms)),
            time(total.first_token.summary().map(|found| found.p99_ms)),
        ]
    });
    table(&heading, &lines.collect::<Vec<_>>())
}

/// The seconds of a run.
fn course(run: &Judged) -> String {
    let seconds = &run.ran.seconds;
    let curve = |label: &str, colour, value: fn(&Second) -> Option<f64>| Series {
        label: label.to_owned(),
        colour,
        kind: Kind::Step,
        points: seconds
            .iter()
            .filter_map(|second| Some((second.since.as_secs_f64(), value(second)?)))
            .collect(),
    };
    let plot = |title: &str, unit: &str, series| {
        Plot {
            title: title.to_owned(),
            height: 240.0,
            x: "seconds".to_owned(),
            y: unit.to_owned(),
            series,
        }
        .svg()
    };
    let mut plots = vec![
        plot(
            "Requests",
            "a second",
            vec![
                curve("due", 0, |second| Some(second.due as f64)),
                curve("good", 2, |second| Some(second.good as f64)),
                curve("failed", 1, |second| Some(second.failed as f64)),
            ],
        ),
        plot(
            "Time to the whole answer",
            "ms",
            vec![
                curve("p50", 0, |second| second.whole.map(|found| found.p50_ms)),
                curve("p99", 1, |second| second.whole.map(|found| found.p99_ms)),
            ],
        ),
        plot(
            "In flight",
            "",
            vec![curve("in flight", 4, |second| {
                Some(second.in_flight as f64)
            })],
        ),
    ];
    if run.ran.total.tokens > 0 {
        plots.push(plot(
            "Time to the first token",
            "ms",
            vec![
                curve("p50", 0, |second| {
                    second.first_token.map(|found| found.p50_ms)
                }),
                curve("p99", 1, |second| {
                    second.first_token.map(|found| found.p99_ms)
                }),
            ],
        ));
        plots.push(plot(
            "Tokens",
            "a second",
            vec![curve("tokens", 5, |second| Some(second.tokens as f64))],
        ));
    }
    format!("<div class=\"wide\">{}</div>", plots.concat())
}
