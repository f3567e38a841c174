//! The weights of a service as a table.

use anstyle::{AnsiColor, Style};
use penstock_control::status::{DeploymentWeight, WeightsChange, WeightsStatus};

use crate::status::{about_by_hand, about_rollout, printable};

const DIM: Style = Style::new().dimmed();
const CHANGING: Style = AnsiColor::Yellow.on_default();

const HEADS: [&str; 5] = ["DEPLOYMENT", "WEIGHT", "SHARE", "BEFORE", "FILE"];

/// The weights, and what a change has made of them, or would.
pub(super) fn weights(status: &WeightsStatus, is_dry: bool) -> String {
    let mut text = about_change(status.change.as_ref(), is_dry);
    if let Some(by_hand) = status.by_hand.as_ref().filter(|_| !is_dry) {
        let about = printable(&about_by_hand(&status.service, by_hand));
        text += &format!("{CHANGING}{about}{CHANGING:#}\n");
    }
    let rows: Vec<[String; 5]> = status
        .deployments
        .iter()
        .map(|deployment| row(deployment, status))
        .collect();
    let heads = HEADS.map(str::to_owned);
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let cells = rows
            .iter()
            .chain([&heads])
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    });
    let line = |cells| line(cells, &widths, status.change.is_some());
    text += &format!("{DIM}{}{DIM:#}\n", line(&heads));
    for (row, deployment) in rows.iter().zip(&status.deployments) {
        text += &(line(row) + "\n");
        if let Some(rollout) = &deployment.rollout {
            let (about, style) = about_rollout(rollout);
            text += &format!("  {style}{}{style:#}\n", printable(&about));
        }
    }
    text
}

/// What was done, or would be.
fn about_change(change: Option<&WeightsChange>, is_dry: bool) -> String {
    let Some(change) = change else {
        return match is_dry {
            true => "dry run: nothing would change\n".to_owned(),
            false => String::new(),
        };
    };
    let mut text = printable(&change.done);
    if is_dry {
        text = format!("dry run, nothing has changed; it would be: {text}");
    }
    text.push('\n');
    if let Some(why) = change.needs_force.as_ref().filter(|_| is_dry) {
        let why = printable(why);
        text += &format!("{CHANGING}it needs --force: {why}{CHANGING:#}\n");
    }
    text
}

fn row(deployment: &DeploymentWeight, status: &WeightsStatus) -> [String; 5] {
    let share = |weight: &dyn Fn(&DeploymentWeight) -> u32| {
        if deployment.paused {
            return "paused".to_owned();
        }
        let in_the_split = status
            .deployments
            .iter()
            .filter(|each| each.takes_traffic && !each.paused && each.tier == deployment.tier);
        let total: u64 = in_the_split.map(|each| u64::from(weight(each))).sum();
        if !deployment.takes_traffic || total == 0 {
            return "none".to_owned();
        }
        let percent = 100.0 * f64::from(weight(deployment)) / total as f64;
        // Two digits tell a canary of a hundredth of a percent from none.
        let percent = (percent * 100.0).round() / 100.0;
        match deployment.tier {
            0 => format!("{percent} %"),
            tier => format!("{percent} % of tier {tier}"),
        }
    };
    let before = status.change.as_ref().map(|change| &change.before);
    let had = |each: &DeploymentWeight| before.and_then(|before| before.get(&each.name)).copied();
    [
        deployment.name.clone(),
        deployment.weight.to_string(),
        share(&|each| each.weight),
        share(&|each| had(each).unwrap_or(0)),
        deployment.file_weight.to_string(),
    ]
}

fn line(cells: &[String; 5], widths: &[usize; 5], with_before: bool) -> String {
    let [name, weight, share, before, file] = cells;
    let [w0, w1, w2, w3, w4] = widths;
    let before = match with_before {
        true => format!("{before:>w3$}  "),
        false => String::new(),
    };
    format!("{name:w0$}  {weight:>w1$}  {share:>w2$}  {before}{file:>w4$}")
}

#[cfg(test)]
mod tests {
    use penstock_control::status::{ByHandStatus, RolloutStatus};

    use super::*;

    fn deployment(name: &str, weight: u32, takes_traffic: bool) -> DeploymentWeight {
        DeploymentWeight {
            name: name.to_owned(),
            weight,
            file_weight: 50,
            takes_traffic,
            tier: 0,
            paused: false,
            rollout: None,
        }
    }

    #[test]
    fn shares_are_of_those_that_take_traffic_and_an_override_is_said_plainly() {
        let status = WeightsStatus {
            service: "chat".to_owned(),
            by_hand: Some(ByHandStatus {
                since_ms: 0,
                by: Some("ann".to_owned()),
                reason: Some("trying v2".to_owned()),
                file_changed: true,
            }),
            deployments: vec![
                deployment("canary", 1, true),
                deployment("shadow", 7, false),
                deployment("stable", 2, true),
            ],
            can_roll_back: true,
            change: None,
        };
        let text = anstream::adapter::strip_str(&weights(&status, false)).to_string();
        assert_eq!(
            text,
            "weights set by hand since 1970-01-01T00:00:00Z by ann: trying v2; they override the file, \
             whose weights have changed since (penstock weights chat --reset)\n\
             DEPLOYMENT  WEIGHT    SHARE  FILE\n\
             canary           1  33.33 %    50\n\
             shadow           7     none    50\n\
             stable           2  66.67 %    50\n"
        );
    }

    #[test]
    fn the_share_of_a_paused_deployment_is_with_the_others() {
        let mut canary = deployment("canary", 10, true);
        canary.paused = true;
        let status = WeightsStatus {
            service: "chat".to_owned(),
            by_hand: None,
            deployments: vec![canary, deployment("stable", 90, true)],
            can_roll_back: false,
            change: None,
        };
        let text = anstream::adapter::strip_str(&weights(&status, false)).to_string();
        assert_eq!(
            text,
            "DEPLOYMENT  WEIGHT   SHARE  FILE\n\
             canary          10  paused    50\n\
             stable          90   100 %    50\n"
        );
    }

    #[test]
    fn a_rollout_says_how_far_it_is_and_why_not_further() {
        let rollout = RolloutStatus {
            state: "running".into(),
            since_ms: 0,
            share: 5,
            steps: vec![1, 5, 25],
            taken: 2,
            why: Some("the interval is not over".to_owned()),
            seen: None,
        };
        let mut canary = deployment("canary", 1, true);
        canary.rollout = Some(rollout);
        let status = WeightsStatus {
            service: "chat".to_owned(),
            by_hand: None,
            deployments: vec![canary, deployment("stable", 19, true)],
            can_roll_back: true,
            change: None,
        };
        let text = anstream::adapter::strip_str(&weights(&status, false)).to_string();
        assert_eq!(
            text,
            "DEPLOYMENT  WEIGHT  SHARE  FILE\n\
             canary           1    5 %    50\n  \
             rollout: running, 5 % (step 2 of 3) since 1970-01-01T00:00:00Z: the interval is not over\n\
             stable          19   95 %    50\n"
        );
    }

    #[test]
    fn a_change_shows_before_and_after_and_a_dry_run_says_that_it_is_one() {
        let change = WeightsChange {
            done: "weights rolled back".to_owned(),
            before: [("canary".to_owned(), 0), ("stable".to_owned(), 1)].into(),
            needs_force: Some("canary would get more".to_owned()),
        };
        let status = WeightsStatus {
            service: "chat".to_owned(),
            by_hand: None,
            deployments: vec![
                deployment("canary", 50, true),
                deployment("stable", 50, true),
            ],
            can_roll_back: true,
            change: Some(change),
        };
        let table = "DEPLOYMENT  WEIGHT  SHARE  BEFORE  FILE\n\
                     canary          50   50 %     0 %    50\n\
                     stable          50   50 %   100 %    50\n";
        let shown = |is_dry| anstream::adapter::strip_str(&weights(&status, is_dry)).to_string();
        assert_eq!(shown(false), format!("weights rolled back\n{table}"));
        assert_eq!(
            shown(true),
            format!(
                "dry run, nothing has changed; it would be: weights rolled back\n\
                 it needs --force: canary would get more\n{table}"
            )
        );
    }
}
