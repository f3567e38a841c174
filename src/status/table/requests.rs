//! Why a service is slow: what its requests did of late, and which are open.

use penstock_control::status::{
    DeploymentStatus, Percentiles, RecentStatus, RequestStatus, ServiceDetail,
};

use super::{BOLD, DIM, printable, styled};

/// From one column to the next.
const GAP: &str = "  ";

/// Longest method and path that are shown, so that a line with an id fits 100 columns.
const REQUEST_MAX: usize = 22;

/// Where the text of a column begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The sections about requests; empty when there were none.
pub(super) fn about(detail: &ServiceDetail) -> String {
    about_recent(&detail.service.deployments) + &about_open(detail)
}

fn about_recent(deployments: &[DeploymentStatus]) -> String {
    let told = |recent: &Option<RecentStatus>| recent.clone().filter(|recent| recent.requests > 0);
    let mut rows = Vec::new();
    let mut over: f64 = 0.0;
    for deployment in deployments {
        let Some(recent) = told(&deployment.recent) else {
            continue;
        };
        over = over.max(recent.seconds);
        rows.push(recent_row(deployment.name.clone(), &recent));
        for worker in &deployment.workers {
            if let Some(recent) = told(&worker.recent) {
                rows.push(recent_row(format!("  #{}", worker.slot), &recent));
            }
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let heads = [
        "NAME",
        "REQ/S",
        "ERRORS",
        "LEFT",
        "BYTE p50",
        "p95",
        "WHOLE p50",
        "p95",
    ];
    let mut sides = [Side::Right; 8];
    sides[0] = Side::Left;
    let title = format!("LAST {over:.0} s");
    let hint = "(a deployment's times begin with the request, a worker's when it got the request)";
    format!(
        "\n{} {}\n{}",
        styled(&title, BOLD),
        styled(hint, DIM),
        table(heads, sides, &rows)
    )
}

fn recent_row(name: String, recent: &RecentStatus) -> [String; 8] {
    let times = |of: Option<Percentiles>| match of {
        Some(Percentiles { p50, p95 }) => [duration(p50), duration(p95)],
        None => ["-".to_owned(), "-".to_owned()],
    };
    let [byte_p50, byte_p95] = times(recent.first_byte);
    let [whole_p50, whole_p95] = times(recent.whole);
    [
        name,
        format!("{:.1}", recent.requests_per_second),
        recent.errors.to_string(),
        recent.clients_left.to_string(),
        byte_p50,
        byte_p95,
        whole_p50,
        whole_p95,
    ]
}

fn about_open(detail: &ServiceDetail) -> String {
    let requests = &detail.requests;
    if requests.oldest.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = requests.oldest.iter().map(open_row).collect();
    let more = match requests.open.saturating_sub(rows.len()) {
        0 => String::new(),
        more => format!("  … and {more} younger ones\n"),
    };
    let title = format!("OPEN REQUESTS: {}", requests.open);
    let heads = ["AGE", "WAITS FOR", "WORKER", "CLIENT", "REQUEST", "ID"];
    let mut sides = [Side::Left; 6];
    sides[0] = Side::Right;
    let table = table(heads, sides, &rows);
    format!("\n{}\n{table}{more}", styled(&title, BOLD))
}

fn open_row(request: &RequestStatus) -> [String; 6] {
    let RequestStatus {
        id,
        method,
        path,
        client,
        deployment,
        worker,
        age,
        stage,
        ..
    } = request;
    let worker = worker.map(|slot| format!(" #{slot}")).unwrap_or_default();
    [
        duration(*age),
        stage.to_string(),
        format!("{deployment}{worker}"),
        client.clone(),
        cut(&printable(&format!("{method} {path}"))),
        printable(id),
    ]
}

fn cut(text: &str) -> String {
    if text.chars().count() <= REQUEST_MAX {
        return text.to_owned();
    }
    let kept = text.chars().take(REQUEST_MAX - 1);
    kept.chain(['…']).collect()
}

/// With about as many digits as matter.
fn duration(seconds: f64) -> String {
    if seconds < 0.1 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 100.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

/// Rows under heads, each column as wide as its longest text.
fn table<const COLUMNS: usize>(
    heads: [&str; COLUMNS],
    sides: [Side; COLUMNS],
    rows: &[[String; COLUMNS]],
) -> String {
    let width = |column: usize| {
        let texts = rows.iter().map(|row| row[column].chars().count());
        texts.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |cells: [&str; COLUMNS]| {
        let cell = |column: usize| {
            let (text, width) = (cells[column], widths[column]);
            match sides[column] {
                Side::Left => format!("{text:width$}"),
                Side::Right => format!("{text:>width$}"),
            }
        };
        let cells: [String; COLUMNS] = std::array::from_fn(cell);
        format!("{GAP}{}", cells.join(GAP)).trim_end().to_owned()
    };
    let mut text = styled(&line(heads), DIM) + "\n";
    for row in rows {
        text += &line(std::array::from_fn(|column| &*row[column]));
        text.push('\n');
    }
    text
}
