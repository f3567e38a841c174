//! Rows of services, deployments and workers, in columns.

mod class_and_mirror;

use std::time::Duration;

use anstyle::Style;
use penstock_control::status::{
    ByHandStatus, DeploymentStatus, OverflowStatus, OverrideStatus, PausedStatus, RolloutStatus,
    ServiceStatus, WorkerStatus,
};

use self::class_and_mirror::{about_classes, about_mirror, about_tokens};
use super::{BAD, BOLD, CHANGING, DIM, GOOD, at, printable, styled};
use crate::pause;

/// From one column to the next.
const GAP: usize = 2;

/// What stands above the columns.
const HEADS: [&str; 5] = ["NAME", "STATE", "IN-FLIGHT", "QUEUED", "DETAILS"];

/// Where notes begin: a little to the right of their subject.
const NOTE_INDENT: usize = 6;

/// Rows that have been added, in their order.
#[derive(Default)]
pub(super) struct Rows(Vec<Row>);

enum Row {
    Columns { cells: [String; 5], style: Style },
    Note { text: String, style: Style },
}

impl Rows {
    /// With every number behind the last decision if `detailed`.
    pub(super) fn add_service(&mut self, service: &ServiceStatus, detailed: bool) {
        let sum = |of: fn(&DeploymentStatus) -> u32| {
            service.deployments.iter().map(of).sum::<u32>().to_string()
        };
        let mut details: Vec<&str> = service.hosts.iter().map(String::as_str).collect();
        if !detailed {
            details.truncate(1);
        }
        let mut details = details.join(" ");
        if service.removed {
            details += ", removed";
        }
        let name = service.name.clone();
        let cells = [
            name,
            String::new(),
            sum(|d| d.in_flight),
            sum(|d| d.queued),
            details,
        ];
        self.0.push(Row::Columns { cells, style: BOLD });
        if detailed && service.display_name != service.name {
            self.note(&service.display_name, DIM);
        }
        if detailed {
            let settings = service.settings.iter();
            settings.for_each(|setting| self.note(setting, DIM));
        }
        if let Some(by_hand) = &service.by_hand {
            self.note(&about_by_hand(&service.name, by_hand), CHANGING);
        }
        self.note_pause(&service.name, service.paused.as_ref());
        if !service.classes.is_empty() {
            self.note(&about_classes(&service.classes), Style::new());
        }
        if let Some(mirror) = &service.mirror {
            self.note(&about_mirror(mirror), Style::new());
        }
        let tokens = service.tokens.iter().map(about_tokens);
        tokens.for_each(|text| self.note(&text, DIM));
        let is_divided = service.deployments.len() > 1;
        if let Some(cost) = service.cost.as_ref().filter(|_| is_divided || !detailed) {
            self.note(&cost.to_string(), DIM);
        }
        for deployment in &service.deployments {
            self.add_deployment(&service.name, deployment, detailed);
        }
    }

    /// Says that something is paused, and how to resume it.
    fn note_pause(&mut self, target: &str, paused: Option<&PausedStatus>) {
        if let Some(paused) = paused {
            let about = pause::about(paused);
            self.note(
                &format!("paused{about} (penstock resume {target})"),
                CHANGING,
            );
        }
    }

    fn add_deployment(&mut self, service: &str, deployment: &DeploymentStatus, detailed: bool) {
        let DeploymentStatus {
            name,
            phase,
            in_flight,
            queued,
            ..
        } = deployment;
        let details = about_deployment(deployment, detailed);
        let cells = [
            format!("  {name}"),
            phase.to_string(),
            in_flight.to_string(),
            queued.to_string(),
            details,
        ];
        self.0.push(Row::Columns {
            cells,
            style: style_of(phase),
        });
        // Of a pause more is known than its reason.
        let is_paused = *phase == "paused";
        self.note_pause(&format!("{service}/{name}"), deployment.paused.as_ref());
        if deployment.troubles.is_empty()
            && let Some(reason) = deployment.phase_reason.as_ref().filter(|_| !is_paused)
        {
            self.note(reason, style_of(phase));
        }
        for trouble in &deployment.troubles {
            self.note(trouble, BAD);
        }
        if let Some(exits) = about_exits(deployment) {
            self.note(&exits, CHANGING);
        }
        let target = format!("{service}/{name}");
        if let Some(switched) = &deployment.switched {
            let of_file = format!("(penstock switch {target} --reset)");
            let text = format!(
                "revision {} by hand{} {of_file}",
                switched.value,
                since(switched)
            );
            self.note(&text, CHANGING);
        }
        if let Some(scaled) = &deployment.scaled {
            let s = if scaled.value == 1 { "" } else { "s" };
            let workers = format!("{} worker{s} by hand{}", scaled.value, since(scaled));
            self.note(
                &format!("{workers} (penstock scale {target} --auto)"),
                CHANGING,
            );
        }
        // One that has stopped is among the troubles.
        if let Some(update) = deployment.update.as_ref().filter(|one| one.why.is_none()) {
            self.note(&update.words, CHANGING);
        }
        if let Some(rollout) = &deployment.rollout {
            let (text, style) = about_rollout(rollout);
            self.note(&text, style);
        }
        if let Some(overflow) = deployment.overflow.as_ref().and_then(about_overflow) {
            self.note(&overflow, Style::new());
        }
        if let Some(cost) = deployment.cost.as_ref().filter(|_| detailed) {
            self.note(&cost.to_string(), DIM);
        }
        if !is_paused && deployment.scaled.is_none() {
            self.note(&deployment.reason_text, DIM);
        }
        if let Some(advice) = &deployment.advice {
            let would = format!("advice: {} workers: {}", advice.workers, advice.reason_text);
            self.note(&would, CHANGING);
        }
        if let Some(host) = deployment.host.as_ref().filter(|_| detailed) {
            let needs = match deployment.host_needs_key {
                true => ", which asks for the key of `deployment_hosts`",
                false => "",
            };
            self.note(&format!("own host: {host}{needs}"), DIM);
        }
        if detailed {
            deployment
                .wishes
                .iter()
                .for_each(|wish| self.note(&format!("wish: {wish}"), DIM));
            deployment
                .clamps
                .iter()
                .for_each(|clamp| self.note(&format!("limit: {clamp}"), DIM));
        }
        deployment
            .workers
            .iter()
            .for_each(|worker| self.add_worker(worker));
    }

    fn add_worker(&mut self, worker: &WorkerStatus) {
        let mut details = worker.address.clone().unwrap_or_default();
        details += &format!("  {}", age(worker.age));
        if let Some(revision) = worker.revision {
            details += &format!(", revision {revision}");
        }
        if worker.outdated {
            details += ", outdated";
        }
        let mut state = worker.state.replace('_', " ");
        let mut style = style_of(&worker.state);
        if worker.ejected {
            state += ", ejected";
            style = BAD;
        }
        let name = format!("    #{}", worker.slot);
        let cells = [
            name,
            state,
            worker.in_flight.to_string(),
            String::new(),
            details,
        ];
        self.0.push(Row::Columns { cells, style });
        if let Some(progress) = &worker.progress {
            self.note(progress, CHANGING);
        }
        if let Some(failure) = &worker.probe_failure {
            self.note(failure, BAD);
        }
        if let Some(failure) = &worker.metrics_failure {
            self.note(&format!("its metrics cannot be read: {failure}"), BAD);
        }
    }

    fn note(&mut self, text: &str, style: Style) {
        self.0.push(Row::Note {
            text: printable(text),
            style,
        });
    }

    /// The table with its head.
    pub(super) fn render(&self) -> String {
        let widths = self.widths();
        let head = line(&HEADS.map(str::to_owned), &widths, None);
        let mut text = styled(&head, DIM) + "\n";
        for row in &self.0 {
            match row {
                Row::Columns { cells, style } => text += &line(cells, &widths, Some(*style)),
                Row::Note { text: note, style } => {
                    text += &format!("{:NOTE_INDENT$}{}", "", styled(note, *style));
                }
            }
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> [usize; 5] {
        let mut widths = HEADS.map(str::len);
        for row in &self.0 {
            let Row::Columns { cells, .. } = row else {
                continue;
            };
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.chars().count().max(*width);
            }
        }
        widths
    }
}

/// The style is that of the name of a service, of the state of anything else.
fn line(cells: &[String; 5], widths: &[usize; 5], style: Option<Style>) -> String {
    let [name, state, in_flight, queued, details] = cells;
    let [name_width, state_width, in_flight_width, queued_width, _] = widths;
    let (name, state) = (
        format!("{name:name_width$}"),
        format!("{state:state_width$}"),
    );
    let (name, state) = match style {
        Some(style) if style == BOLD => (styled(&name, style), state),
        Some(style) => (name, styled(&state, style)),
        None => (name, state),
    };
    format!(
        "{name}{:GAP$}{state}{:GAP$}{in_flight:>in_flight_width$}{:GAP$}{queued:>queued_width$}{:GAP$}{details}",
        "", "", "", ""
    )
}

fn about_deployment(deployment: &DeploymentStatus, detailed: bool) -> String {
    let DeploymentStatus {
        desired,
        min,
        max,
        weight,
        file_weight,
        ..
    } = deployment;
    let ready = deployment
        .workers
        .iter()
        .filter(|worker| worker.state == "ready")
        .count();
    let mut details = format!("{ready} ready, {desired} desired ({min}–{max})");
    if let Some(revision) = deployment.revision {
        details += &format!(", revision {revision}");
    }
    if deployment.removed {
        details += ", removed";
    }
    if deployment.tier > 0 {
        details += &format!(", tier {}", deployment.tier);
    }
    if weight != file_weight {
        details += &format!(", weight {weight} (file: {file_weight})");
    } else if detailed {
        details += &format!(", weight {weight}");
    }
    if let Some(seconds) = deployment.start_estimate.filter(|_| detailed) {
        details += &format!(", starts in {seconds:.1} s");
    }
    details
}

/// What went from one tier to another, if anything did.
fn about_overflow(overflow: &OverflowStatus) -> Option<String> {
    let OverflowStatus {
        taken,
        percent,
        away,
    } = overflow;
    let s = |count: u64| if count == 1 { "" } else { "s" };
    let mut parts = Vec::new();
    if *taken > 0 {
        parts.push(format!(
            "took {taken} request{} that lower tiers could not serve in time ({percent:.1} % of all)",
            s(*taken)
        ));
    }
    if *away > 0 {
        let s = s(u64::from(*away));
        parts.push(format!("{away} request{s} served by higher tiers now"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// That workers ended by themselves, if any did.
fn about_exits(deployment: &DeploymentStatus) -> Option<String> {
    let last = deployment.last_exit.as_ref()?;
    let times = match deployment.restarts {
        1 => "1 worker has".to_owned(),
        more => format!("{more} workers have"),
    };
    let ago = age(last.seconds_ago);
    let reason = &last.reason;
    Some(format!(
        "{times} ended unasked, the last {ago} ago: {reason}"
    ))
}

/// That the file's weights are not in force, who says so, and what can be done.
pub(crate) fn about_by_hand(service: &str, by_hand: &ByHandStatus) -> String {
    let ByHandStatus {
        since_ms,
        by,
        reason,
        file_changed,
    } = by_hand;
    let mut text = format!("weights set by hand since {}", at(*since_ms));
    if let Some(by) = by {
        text += &format!(" by {by}");
    }
    if let Some(reason) = reason {
        text += &format!(": {reason}");
    }
    text += "; they override the file";
    if *file_changed {
        text += ", whose weights have changed since";
    }
    text + &format!(" (penstock weights {service} --reset)")
}

/// Since when, by whom and why something was set by hand.
pub(crate) fn since(set: &OverrideStatus) -> String {
    let mut text = format!(" since {}", at(set.since_ms));
    if let Some(by) = &set.by {
        text += &format!(" by {by}");
    }
    if let Some(reason) = &set.reason {
        text += &format!(": {reason}");
    }
    text
}

/// How far a rollout has come, and why not further.
pub(crate) fn about_rollout(rollout: &RolloutStatus) -> (String, Style) {
    let RolloutStatus {
        state,
        since_ms,
        share,
        steps,
        taken,
        why,
        seen,
    } = rollout;
    let since = at(*since_ms);
    let all = steps.len();
    let (mut text, style) = match &**state {
        "rolled_back" => (format!("rollout: rolled back to 0 % at {since}"), BAD),
        "done" => (format!("rollout: done, {share} % since {since}"), GOOD),
        state => {
            let step = format!("step {taken} of {all}");
            let text = format!("rollout: {state}, {share} % ({step}) since {since}");
            (text, CHANGING)
        }
    };
    if let Some(why) = why {
        text += &format!(": {why}");
    }
    if let Some(seen) = seen.as_ref().filter(|_| **state != *"done") {
        text += &format!("; in this step {seen}");
    }
    (text, style)
}

fn style_of(state: &str) -> Style {
    match state {
        "ready" | "warm" => GOOD,
        "failed" | "degraded" | "waiting" | "not_ready" => BAD,
        "cold" => DIM,
        _ => CHANGING,
    }
}

/// The two largest units will do.
fn age(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.floor()).unwrap_or_default();
    let text = humantime::format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
