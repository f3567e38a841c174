//! The status as a table: one row per service, deployment and worker.

mod gpus;
mod requests;
mod rows;

use std::time::{Duration, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use penstock_control::{
    status::{ConfigStatus, DeploymentStatus, ServiceDetail, ServiceStatus, Status},
    store::JournalEntry,
};

use self::rows::Rows;
pub(crate) use self::rows::{about_by_hand, about_rollout, since};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const CHANGING: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Deployments with something wrong that are named above the table; the others are counted.
const TROUBLES_MAX: usize = 10;

/// All services.
pub(super) fn overview(status: &Status) -> String {
    let mut text = about_config(status);
    if status.services.is_empty() {
        return text + "no services\n";
    }
    text += &troubles(status.services.iter());
    let mut rows = Rows::default();
    status
        .services
        .iter()
        .for_each(|service| rows.add_service(service, false));
    text += &rows.render();
    text + &gpus::about(&status.gpus)
}

/// What is wrong comes first: the worst of each deployment, in a line.
fn troubles<'a>(services: impl Iterator<Item = &'a ServiceStatus>) -> String {
    let of_service = |service: &'a ServiceStatus| {
        let deployments = service.deployments.iter();
        deployments.filter_map(move |deployment| {
            let worst = deployment.troubles.first()?;
            let DeploymentStatus { name, phase, .. } = deployment;
            Some(format!("{}/{name} is {phase}: {worst}", service.name))
        })
    };
    let lines: Vec<String> = services.flat_map(of_service).collect();
    let mut text = String::new();
    for line in lines.iter().take(TROUBLES_MAX) {
        text += &format!("{}\n", styled(&printable(line), BAD));
    }
    if lines.len() > TROUBLES_MAX {
        let more = format!("… and {} more deployments", lines.len() - TROUBLES_MAX);
        text += &format!("{}\n", styled(&more, BAD));
    }
    if !lines.is_empty() {
        text.push('\n');
    }
    text
}

/// One service with its journal.
pub(super) fn detail(status: &Status, detail: &ServiceDetail) -> String {
    let mut text = about_config(status);
    let mut rows = Rows::default();
    rows.add_service(&detail.service, true);
    text += &rows.render();
    text += &requests::about(detail);
    if !detail.journal.is_empty() {
        text += &format!("\n{}\n", styled("LATEST", BOLD));
    }
    // The newest last, as in a log.
    text.extend(detail.journal.iter().rev().map(journal_line));
    text
}

fn about_config(status: &Status) -> String {
    let ConfigStatus {
        loaded_at_ms,
        last_error,
        certificates,
        ..
    } = &status.config;
    let mut text = String::new();
    if let Some(failure) = &status.state_failure {
        text += &format!("{}\n\n", styled(&printable(failure), BAD.bold()));
    }
    for certificate in certificates {
        if let Some(warning) = &certificate.warning {
            let about = format!("certificate {}: {warning}", printable(&certificate.file));
            text += &format!("{}\n", styled(&about, BAD.bold()));
        }
    }
    if let Some(error) = last_error {
        let title = "The new configuration was refused; the one before stays in force:";
        text += &format!("{}\n", styled(title, BAD.bold()));
        text.extend(
            error
                .lines()
                .map(|line| format!("  {}\n", styled(&printable(line), BAD))),
        );
        text.push('\n');
    }
    let gateway = match status.gateway_generation {
        None => styled(", no gateway reports", BAD),
        Some(generation) if generation == status.generation => String::new(),
        Some(generation) => styled(&format!(", gateway still at {generation}"), CHANGING),
    };
    text += &format!(
        "configuration of {}, generation {}{gateway}\n\n",
        at(*loaded_at_ms),
        status.generation
    );
    text
}

fn journal_line(entry: &JournalEntry) -> String {
    let JournalEntry {
        at_ms,
        deployment,
        kind,
        text,
        ..
    } = entry;
    let (kind, text) = (printable(kind), printable(text));
    let about = if deployment.is_empty() {
        "*"
    } else {
        deployment
    };
    format!("{}  {about}  {}  {text}\n", at(*at_ms), styled(&kind, BOLD))
}

/// UTC: the logs have the same.
pub(crate) fn at(ms: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    // humantime has no words for years above 9999.
    match time.filter(|_| ms < 253_402_300_800_000) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => "?".to_owned(),
    }
}

fn style_of(state: &str) -> Style {
    match state {
        "ready" | "warm" => GOOD,
        "failed" | "degraded" | "waiting" | "not_ready" => BAD,
        "cold" | "asleep" => DIM,
        _ => CHANGING,
    }
}

fn styled(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}

/// Without what would move the cursor or worse: some texts are the words of a worker.
pub(crate) fn printable(text: &str) -> String {
    let replace = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.trim_end().chars().map(replace).collect()
}

#[cfg(test)]
mod tests;
