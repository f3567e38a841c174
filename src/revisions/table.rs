//! Revisions as a table.

use anstyle::{AnsiColor, Style};
use penstock_control::status::{DeploymentRevisions, RevisionStatus, RevisionsStatus};

use crate::status::{at, printable, since};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const CHANGING: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// What stands above the columns.
const HEADS: [&str; 5] = ["REVISION", "WORKERS", "SINCE", "BY", "DIFFERENCE"];

/// All deployments, one after the other.
pub(super) fn revisions(status: &RevisionsStatus) -> String {
    let service = &status.service;
    let each = status.deployments.iter();
    let each: Vec<String> = each.map(|deployment| about(service, deployment)).collect();
    each.join("\n")
}

fn about(service: &str, deployment: &DeploymentRevisions) -> String {
    let target = format!("{service}/{}", deployment.name);
    let mut text = format!("{BOLD}{target}{BOLD:#}\n");
    let mut note = |note: &str, style: Style| {
        text += &format!("  {style}{}{style:#}\n", printable(note));
    };
    if let Some(switched) = &deployment.switched {
        let number = switched.value;
        let reset = format!("penstock switch {target} --reset");
        note(
            &format!("revision {number} by hand{} ({reset})", since(switched)),
            CHANGING,
        );
    }
    if let Some(update) = &deployment.update {
        let style = if update.why.is_some() { BAD } else { CHANGING };
        note(&update.words, style);
    }
    if deployment.revisions.is_empty() {
        note(
            "its workers are given by address and have no revisions",
            DIM,
        );
        return text;
    }
    text + &table(&deployment.revisions)
}

fn table(revisions: &[RevisionStatus]) -> String {
    let rows: Vec<[String; 5]> = revisions.iter().map(row).collect();
    let mut widths = HEADS.map(|head| head.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |cells: &[String; 5]| {
        let [number, workers, time, by, difference] = cells;
        let [a, b, c, d, _] = widths;
        let line = format!("  {number:a$}  {workers:>b$}  {time:c$}  {by:d$}  {difference}");
        line.trim_end().to_owned()
    };
    let head = line(&HEADS.map(str::to_owned));
    let mut text = format!("{DIM}{head}{DIM:#}\n");
    for row in &rows {
        text += &(line(row) + "\n");
    }
    text
}

fn row(revision: &RevisionStatus) -> [String; 5] {
    let mark = if revision.in_force { " *" } else { "" };
    let who = match (&revision.by, &*revision.via) {
        (Some(by), via) => format!("{by} ({via})"),
        (None, via) => via.to_owned(),
    };
    let mut difference = revision.difference.join("; ");
    if let Some(reason) = &revision.reason {
        difference = format!("{reason}: {difference}");
    }
    [
        format!("{}{mark}", revision.number),
        revision.workers.to_string(),
        at(revision.at_ms),
        printable(&who),
        printable(difference.trim_end_matches(": ")),
    ]
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    #[test]
    fn revisions_stand_in_a_table_with_what_is_set_by_hand_above_it() {
        let status: RevisionsStatus = serde_json::from_value(json!({
            "service": "chat",
            "deployments": [
                {"name": "fixed", "in_force": null, "of_file": null, "switched": null, "scaled": null,
                 "update": null, "revisions": []},
                {"name": "stable", "in_force": 1, "of_file": 2, "scaled": null, "update": null,
                 "switched": {"value": 1, "since_ms": 5000, "by": "ann", "reason": "it is\nslow"},
                 "revisions": [
                    {"number": 2, "at_ms": 3000, "via": "api", "by": "bob", "reason": "new model",
                     "difference": ["command: --model changed", "env.TOKEN added"], "in_force": false, "workers": 0},
                    {"number": 1, "at_ms": 1000, "via": "start", "by": null, "reason": null,
                     "difference": [], "in_force": true, "workers": 12},
                 ]},
            ],
        }))
        .unwrap();
        let expected = "\
chat/fixed
  its workers are given by address and have no revisions

chat/stable
  revision 1 by hand since 1970-01-01T00:00:05Z by ann: it is\u{fffd}slow (penstock switch chat/stable --reset)
  REVISION  WORKERS  SINCE                 BY         DIFFERENCE
  2               0  1970-01-01T00:00:03Z  bob (api)  new model: command: --model changed; env.TOKEN added
  1 *            12  1970-01-01T00:00:01Z  start
";
        assert_eq!(strip_str(&revisions(&status)).to_string(), expected);
    }
}
