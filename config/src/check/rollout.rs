//! `rollout` of a deployment.

use super::{Check, split::Deployments};
use crate::{Rollout, Split, key_path::KeyPath, raw};

/// The settings of one deployment.
pub(super) fn rollout(
    check: &mut Check<'_>,
    deployment: &KeyPath,
    raw: raw::Rollout,
    takes_traffic: bool,
) -> Rollout {
    let path = deployment.key("rollout");
    let weight = deployment.key("weight");
    if check.has(&weight) {
        let rule = "is what `rollout` decides; leave one of them out";
        check.error(&weight, rule);
    }
    if !takes_traffic {
        let rule = "contradicts `rollout`, which gives the deployment traffic";
        check.error(&deployment.key("takes_traffic"), rule);
    }
    let steps = path.key("steps");
    for (index, pair) in raw.steps.windows(2).enumerate() {
        if pair[1] <= pair[0] {
            let rule = format!("must be more than the step before it ({})", pair[0]);
            check.error(&steps.index(index + 1), rule);
        }
    }
    Rollout {
        steps: raw.steps,
        interval: raw.interval.0,
        min_requests: raw.min_requests,
        max_error_rate: raw.max_error_rate,
        max_p95_ratio: raw.max_p95_ratio,
        confidence: raw.confidence,
    }
}

/// What a rollout needs of the rest of its service.
pub(super) fn check_together(
    check: &mut Check<'_>,
    service: &KeyPath,
    split: Split,
    deployments: &Deployments,
) {
    let path = service.key("deployments");
    let rolling = |name| path.key(name).key("rollout");
    let mut names = deployments.values().filter(|d| d.rollout.is_some());
    let Some(first) = names.next() else { return };
    let first_path = rolling(first.name.as_str());
    for other in names {
        let rule = format!(
            "deployment \"{}\" has one already ({}); only one at a time can be compared with the rest",
            first.name,
            check.place(&first_path)
        );
        check.error(&rolling(other.name.as_str()), rule);
    }
    if split != Split::Weights && !check.touches(&service.key("split")) {
        check.error(&first_path, "is only for `split = \"weights\"`");
    }
    let rolling_tier = first.tier;
    let siblings = deployments.values().filter(|d| d.rollout.is_none());
    let mut siblings = siblings.filter(|d| d.tier == rolling_tier);
    if !siblings.any(|d| d.takes_traffic && d.weight > 0) && !check.touches(&path) {
        let rule = match deployments.values().any(|d| d.tier != rolling_tier) {
            true => {
                "there is no other deployment of its tier that takes traffic and could be compared with"
            }
            false => "there is no other deployment that takes traffic and could be compared with",
        };
        check.error(&first_path, rule);
    }
}
