//! `penstock simulate --gpus`: several services on too few GPUs.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::SimulateArgs;
use crate::simulate::{
    sharing::{Asked, Machine, Shared, as_penstock_shares, in_order_of_arrival},
    trace::stamp_nanos,
};

/// First lines of the traces that can be read: when, how long, and for which service.
const HEADINGS: [&str; 2] = [
    "timestamp,service_seconds,service",
    "gmt_create,exec_time_seconds,checkpoint_model_version_id",
];

/// Replays the trace at every speed and start time, as Penstock shares and in order of arrival.
pub(super) fn run(args: &SimulateArgs, gpus: usize) -> anyhow::Result<()> {
    ensure!(gpus > 0, "--gpus must be above 0");
    ensure!(
        args.work.is_finite() && args.work > 0.0,
        "--work must be above 0"
    );
    let trace = read(&args.trace, args.requests)?;
    let mut rows = Vec::new();
    for &speed in &args.speed {
        let asked: Vec<Asked> = trace
            .iter()
            .map(|one| faster(one, speed, args.work))
            .collect();
        for &start in &args.start {
            let machine = Machine {
                gpus,
                start,
                give_way_after: args.give_way_after,
            };
            for (name, replay) in ORDERS {
                rows.push(Row {
                    speed,
                    start,
                    name,
                    shared: replay(&asked, machine),
                });
            }
        }
    }
    let text = if args.json {
        as_json(&rows)?
    } else {
        as_text(&rows)
    };
    Ok(anstream::stdout().write_all(text.as_bytes())?)
}

type Replay = fn(&[Asked], Machine) -> Shared;

const ORDERS: [(&str, Replay); 2] = [
    ("in order of arrival", in_order_of_arrival),
    ("Penstock", as_penstock_shares),
];

struct Row {
    speed: f64,
    start: Duration,
    name: &'static str,
    shared: Shared,
}

fn faster(one: &Asked, speed: f64, work: f64) -> Asked {
    Asked {
        at: one.at.div_f64(speed),
        takes: one.takes.mul_f64(work),
        ..*one
    }
}

fn as_text(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>6}  {:>6}  {:20}  {:>8}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9}\n",
        "SPEED", "START", "ORDER", "REQUESTS", "STARTS", "MEAN WAIT", "P50", "P95", "LONGEST"
    );
    for row in rows {
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        let share = |share| {
            row.shared
                .waits
                .percentile(share)
                .map_or_else(String::new, seconds)
        };
        let _ = writeln!(
            text,
            "{:>6}  {:>6}  {:20}  {:>8}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9}",
            format!("×{}", row.speed),
            humantime::format_duration(row.start).to_string(),
            row.name,
            row.shared.waits.count(),
            row.shared.starts,
            seconds(row.shared.waits.mean()),
            share(0.5),
            share(0.95),
            seconds(row.shared.longest),
        );
    }
    text
}

fn as_json(rows: &[Row]) -> anyhow::Result<String> {
    let rows = rows.iter().map(|row| {
        let share = |share| {
            let wait = row.shared.waits.percentile(share);
            wait.map(|wait| wait.as_secs_f64())
        };
        json!({
            "speed": row.speed,
            "start_seconds": row.start.as_secs_f64(),
            "order": row.name,
            "requests": row.shared.waits.count(),
            "starts": row.shared.starts,
            "mean_wait_seconds": row.shared.waits.mean().as_secs_f64(),
            "p50_wait_seconds": share(0.5),
            "p95_wait_seconds": share(0.95),
            "longest_wait_seconds": row.shared.longest.as_secs_f64(),
        })
    });
    Ok(serde_json::to_string_pretty(&rows.collect::<Vec<_>>())? + "\n")
}

/// The first requests of a trace.
fn read(path: &Path, most: Option<usize>) -> anyhow::Result<Vec<Asked>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let mut lines = BufReader::new(file).lines();
    let heading = lines.next().transpose()?.unwrap_or_default();
    if !HEADINGS.contains(&heading.trim().trim_start_matches('\u{feff}')) {
        bail!(
            "{shown}: line 1 must be `{}` (or `{}`): --gpus is for traces of several services",
            HEADINGS[0],
            HEADINGS[1]
        );
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut stamped: Vec<(u128, Asked)> = Vec::new();
    for (number, line) in lines.enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let rule = || format!("{shown}: line {}: must be like {}", number + 2, HEADINGS[0]);
        let mut fields = line.trim().split(',').map(str::trim);
        let (Some(at), Some(takes), Some(name), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            bail!(rule());
        };
        let at = stamp_nanos(at).with_context(rule)?;
        let takes: f64 = takes.parse().ok().with_context(rule)?;
        let takes = Duration::try_from_secs_f64(takes).ok().with_context(rule)?;
        let next = numbers.len();
        let service = *numbers.entry(name.to_owned()).or_insert(next);
        let at_zero = Asked {
            at: Duration::ZERO,
            service,
            takes,
        };
        stamped.push((at, at_zero));
    }
    stamped.sort_by_key(|(at, _)| *at);
    stamped.truncate(most.unwrap_or(usize::MAX));
    let first = stamped
        .first()
        .with_context(|| format!("{shown} holds no request"))?
        .0;
    let since = |at: u128| Duration::from_nanos(u64::try_from(at - first).unwrap_or(u64::MAX / 4));
    let asked = stamped.iter().map(|(at, asked)| Asked {
        at: since(*at),
        ..*asked
    });
    Ok(asked.collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_text(text: &str) -> Result<Vec<Asked>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace.csv");
        fs::write(&path, text).expect("it can be written");
        read(&path, None).map_err(|error| {
            let text = format!("{error:#}");
            text.replace(&path.display().to_string(), "FILE")
        })
    }

    #[test]
    fn a_trace_of_several_services_is_read_in_the_order_of_time() {
        let text = "gmt_create,exec_time_seconds,checkpoint_model_version_id\n\
                    2024-11-15 16:57:52,2.5,M1\n2024-11-15 16:57:50,32.0,M0\n\n2024-11-15 16:57:53,1,M1\n";
        let asked = read_text(text).expect("a trace");
        let services: Vec<usize> = asked.iter().map(|asked| asked.service).collect();
        assert_eq!(services, [1, 0, 0]);
        assert_eq!(asked[1].at, Duration::from_secs(2));
        assert_eq!(asked[1].takes, Duration::from_millis(2500));
        let seconds = read_text("timestamp,service_seconds,service\n1.5,2,a\n").expect("a trace");
        assert_eq!(seconds[0].at, Duration::ZERO);
    }

    #[test]
    fn what_is_no_such_trace_is_told_with_its_line() {
        let heading = "timestamp,service_seconds,service";
        for (text, expected) in [
            (
                "TIMESTAMP,ContextTokens,GeneratedTokens\n",
                "FILE: line 1 must be `timestamp,",
            ),
            (
                &format!("{heading}\n1,2\n"),
                "FILE: line 2: must be like timestamp,",
            ),
            (
                &format!("{heading}\n1,2,a\n1,x,b\n"),
                "FILE: line 3: must be like timestamp,",
            ),
            (&format!("{heading}\n"), "FILE holds no request"),
        ] {
            let error = read_text(text).expect_err("no trace");
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
