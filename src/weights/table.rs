//! The weights of a service as a table.

use anstyle::{AnsiColor, Style};
use penstock_control::status::{DeploymentWeight, WeightsStatus};

use crate::status::{about_by_hand, about_rollout, printable};

const DIM: Style = Style::new().dimmed();
const CHANGING: Style = AnsiColor::Yellow.on_default();

const HEADS: [&str; 4] = ["DEPLOYMENT", "WEIGHT", "SHARE", "FILE"];

pub(super) fn weights(status: &WeightsStatus) -> String {
    let mut text = String::new();
    if let Some(by_hand) = &status.by_hand {
        let about = printable(&about_by_hand(&status.service, by_hand));
        text += &format!("{CHANGING}{about}{CHANGING:#}\n");
    }
    let total: u64 = status.deployments.iter().map(in_the_split).sum();
    let rows: Vec<[String; 4]> = status
        .deployments
        .iter()
        .map(|deployment| row(deployment, total))
        .collect();
    let heads = HEADS.map(str::to_owned);
    let widths: [usize; 4] = std::array::from_fn(|column| {
        let cells = rows
            .iter()
            .chain([&heads])
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    });
    text += &format!("{DIM}{}{DIM:#}\n", line(&heads, &widths));
    for (row, deployment) in rows.iter().zip(&status.deployments) {
        text += &(line(row, &widths) + "\n");
        if let Some(rollout) = &deployment.rollout {
            let (about, style) = about_rollout(rollout);
            text += &format!("  {style}{}{style:#}\n", printable(&about));
        }
    }
    text
}

fn row(deployment: &DeploymentWeight, total: u64) -> [String; 4] {
    let share = if deployment.paused {
        "paused".to_owned()
    } else if deployment.takes_traffic && total > 0 {
        let percent = 100.0 * f64::from(deployment.weight) / total as f64;
        // Two digits tell a canary of a hundredth of a percent from none.
        format!("{} %", (percent * 100.0).round() / 100.0)
    } else {
        "none".to_owned()
    };
    [
        deployment.name.clone(),
        deployment.weight.to_string(),
        share,
        deployment.file_weight.to_string(),
    ]
}

fn in_the_split(deployment: &DeploymentWeight) -> u64 {
    if deployment.takes_traffic && !deployment.paused {
        u64::from(deployment.weight)
    } else {
        0
    }
}

fn line(cells: &[String; 4], widths: &[usize; 4]) -> String {
    let [name, weight, share, file] = cells;
    let [w0, w1, w2, w3] = widths;
    format!("{name:w0$}  {weight:>w1$}  {share:>w2$}  {file:>w3$}")
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
        };
        let text = anstream::adapter::strip_str(&weights(&status)).to_string();
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
        };
        let text = anstream::adapter::strip_str(&weights(&status)).to_string();
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
        };
        let text = anstream::adapter::strip_str(&weights(&status)).to_string();
        assert_eq!(
            text,
            "DEPLOYMENT  WEIGHT  SHARE  FILE\n\
             canary           1    5 %    50\n  \
             rollout: running, 5 % (step 2 of 3) since 1970-01-01T00:00:00Z: the interval is not over\n\
             stable          19   95 %    50\n"
        );
    }
}
