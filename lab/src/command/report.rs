//! The HTML report: one file, no scripts, nothing loaded from elsewhere.

use std::{fmt::Write, time::Duration};

use crate::simulate::{Instant, Outcome};
use penstock_config::units;

use super::{Run, table};
use crate::html::{
    page::{self, Page, escape},
    plot::{Kind, Plot, Series},
};

/// Points of a curve: more than a screen shows makes the file large and nothing clearer.
const POINTS_MAX: usize = 600;

/// What the report says about where it comes from.
pub(super) struct Origin<'o> {
    /// File name of the trace.
    pub(super) trace: &'o str,
    /// The command that made it.
    pub(super) command: &'o str,
}

/// The report of all runs.
pub(super) fn html(origin: &Origin<'_>, runs: &[Run], slo: Duration) -> String {
    let mut page = Page::new(&format!("penstock simulate: {}", origin.trace));
    let _ = write!(
        page.body,
        "<p class=\"origin\"><code>{}</code></p>",
        escape(origin.command)
    );
    let groups: Vec<&[Run]> = runs
        .chunk_by(|a, b| a.speed == b.speed && a.start == b.start)
        .collect();
    if groups.len() > 1 {
        page.body.push_str(&overview(&groups, slo));
    }
    for (number, group) in groups.iter().enumerate() {
        page.body
            .push_str(&case(number, group, groups.len() == 1, slo));
    }
    page.finish()
}

/// What is different about a case.
fn name(group: &[Run]) -> String {
    group.first().map_or_else(String::new, |run| {
        let start = units::format_duration(run.start);
        format!("Rate ×{}, workers start in {start}", run.speed)
    })
}

/// All cases side by side, each leading to its own part of the page.
fn overview(groups: &[&[Run]], slo: Duration) -> String {
    let over = units::format_duration(slo);
    let mut text =
        format!("<h2>Cost against requests that waited over {over}</h2><nav class=\"wide\">");
    for (number, group) in groups.iter().enumerate() {
        let title = name(group);
        let plot = frontier(title, group, slo);
        let _ = write!(text, "<a href=\"#case{number}\">{plot}</a>");
    }
    text.push_str("</nav>");
    text
}

/// Everything about one case. `open`: whether the courses of its runs are to be seen at once.
fn case(number: usize, group: &[Run], open: bool, slo: Duration) -> String {
    let title = escape(&name(group));
    let mut text = format!("<h2 id=\"case{number}\">{title}</h2>");
    text.push_str(&summary(group, slo));
    text.push_str("<div class=\"wide\">");
    let over = units::format_duration(slo);
    let title = format!("Cost against requests that waited over {over}");
    text.push_str(&frontier(title, group, slo));
    if let Some(first) = group.first() {
        text.push_str(&arrivals(&first.outcome));
    }
    text.push_str("</div>");
    for run in group {
        text.push_str(&course(&run.outcome, open));
    }
    text
}

fn summary(group: &[Run], slo: Duration) -> String {
    let lines: Vec<Vec<String>> = group
        .iter()
        .map(|run| table::row(run, slo).into_iter().collect())
        .collect();
    page::table(&table::heading(slo), &lines)
}

/// What each scaler cost, against whom it let wait: down and to the left is better.
fn frontier(title: String, group: &[Run], slo: Duration) -> String {
    let points = group.iter().enumerate().map(|(index, run)| Series {
        label: run.outcome.scaler.clone(),
        colour: index,
        kind: Kind::Dot,
        points: vec![(
            run.outcome.worker_seconds / 3600.0,
            run.outcome.waits.share_above(slo) * 100.0,
        )],
    });
    Plot {
        title,
        height: 320.0,
        x: "GPU-hours".to_owned(),
        y: "%".to_owned(),
        series: points.collect(),
    }
    .svg()
}

fn arrivals(outcome: &Outcome) -> String {
    let arrivals = curve(outcome, "arrivals", 0, Kind::Area, |instant| {
        f64::from(instant.arrivals)
    });
    over_time("Arrivals per second", "", vec![arrivals])
}

/// A plot of curves over the minutes of a run, as SVG.
fn over_time(title: &str, unit: &str, series: Vec<Series>) -> String {
    Plot {
        title: title.to_owned(),
        height: 240.0,
        x: "minutes".to_owned(),
        y: unit.to_owned(),
        series,
    }
    .svg()
}

/// The course of one run; `open`: whether it is to be seen at once.
fn course(outcome: &Outcome, open: bool) -> String {
    let workers = vec![
        curve(outcome, "ready and starting", 3, Kind::Area, |instant| {
            f64::from(instant.ready) + f64::from(instant.starting)
        }),
        curve(outcome, "ready", 2, Kind::Area, |instant| {
            f64::from(instant.ready)
        }),
        curve(outcome, "desired", 1, Kind::Step, |instant| {
            f64::from(instant.desired)
        }),
    ];
    let requests = vec![
        curve(outcome, "all", 0, Kind::Area, |instant| {
            f64::from(instant.current)
        }),
        curve(outcome, "queued", 1, Kind::Area, |instant| {
            f64::from(instant.queued)
        }),
    ];
    let waits = vec![curve(outcome, "longest wait", 4, Kind::Step, |instant| {
        instant.longest_wait.as_secs_f64()
    })];
    let open = if open { " open" } else { "" };
    format!(
        "<details{open}><summary>{}</summary><div class=\"row\">{}{}{}</div></details>",
        escape(&outcome.scaler),
        over_time("Workers", "", workers),
        over_time("Requests in flight and queued", "", requests),
        over_time("Longest wait", "s", waits)
    )
}

/// One value over time, thinned: of neighbours that share a point the largest counts.
fn curve(
    outcome: &Outcome,
    label: &str,
    colour: usize,
    kind: Kind,
    value: impl Fn(&Instant) -> f64,
) -> Series {
    let together = outcome.course.len().div_ceil(POINTS_MAX).max(1);
    let points = outcome.course.chunks(together).map(|instants| {
        let minutes = instants[0].at.as_secs_f64() / 60.0;
        (minutes, instants.iter().map(&value).fold(0.0, f64::max))
    });
    Series {
        label: label.to_owned(),
        colour,
        kind,
        points: points.collect(),
    }
}
