//! The HTML report: one file, no scripts, nothing loaded from elsewhere.

mod page;
mod plot;

use std::{fmt::Write, time::Duration};

use penstock_config::units;
use penstock_control::simulate::{Instant, Outcome};

use self::{
    page::{Page, escape},
    plot::{Kind, Plot, Series},
};
use super::{Run, table};

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
    for group in runs.chunk_by(|a, b| a.speed == b.speed && a.start == b.start) {
        let Some(first) = group.first() else { continue };
        let _ = write!(
            page.body,
            "<h2>Rate ×{}, workers start in {}</h2>",
            first.speed,
            units::format_duration(first.start)
        );
        page.body.push_str(&summary(group, slo));
        page.body.push_str("<div class=\"wide\">");
        page.body.push_str(&frontier(group, slo));
        page.body.push_str(&arrivals(&first.outcome));
        page.body.push_str("</div>");
        for run in group {
            page.body.push_str(&course(&run.outcome));
        }
    }
    page.finish()
}

fn summary(group: &[Run], slo: Duration) -> String {
    let mut text = String::from("<table><thead><tr>");
    for heading in table::heading(slo) {
        let _ = write!(text, "<th>{}</th>", escape(&heading));
    }
    text.push_str("</tr></thead><tbody>");
    for run in group {
        text.push_str("<tr>");
        for cell in table::row(run, slo) {
            let _ = write!(text, "<td>{}</td>", escape(&cell));
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table>");
    text
}

/// What each scaler cost, against whom it let wait: down and to the left is better.
fn frontier(group: &[Run], slo: Duration) -> String {
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
        title: format!(
            "Cost against requests that waited over {}",
            units::format_duration(slo)
        ),
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
        x: "minutes".to_owned(),
        y: unit.to_owned(),
        series,
    }
    .svg()
}

/// The course of one run.
fn course(outcome: &Outcome) -> String {
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
    format!(
        "<section><h3>{}</h3><div class=\"row\">{}{}{}</div></section>",
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
