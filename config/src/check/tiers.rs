//! `overflow_after` of a service, and `tier` of its deployments.

use std::time::Duration;

use super::{Check, split::Deployments};
use crate::{
    Service, WhenCold,
    key_path::{KeyPath, Segment},
    raw::text::HumanDuration,
};

/// How long a request waits in one tier unless the service says otherwise: longer than the pauses of a busy
/// worker, shorter than anybody's patience.
const OVERFLOW_AFTER: Duration = Duration::from_secs(2);

/// When requests go to the next tier; `None` where there is but one.
pub(super) fn overflow_after(
    check: &mut Check<'_>,
    service: &KeyPath,
    raw: Option<HumanDuration>,
    deployments: &Deployments,
) -> Option<Duration> {
    let mut tiers = deployments.values().map(|deployment| deployment.tier);
    let first = tiers.next();
    let has_several = tiers.any(|tier| Some(tier) != first);
    let path = service.key("overflow_after");
    let is_sure = !check.touches(&service.key("deployments"));
    if raw.is_some() && !has_several && is_sure {
        let rule = "is only for deployments of several tiers: give those that take what the others cannot `tier = 1`";
        check.error(&path, rule);
    }
    has_several.then(|| raw.map_or(OVERFLOW_AFTER, |raw| raw.0))
}

/// Rules about the tiers of a service's deployments. `path`: of these.
pub(super) fn check_together(check: &mut Check<'_>, path: &KeyPath, service: &Service) {
    let lowest = service.deployments.values().map(|one| one.tier).min();
    let is_unsure = |way: &[Segment]| match way {
        [_] => true,
        [_, Segment::Key(key), ..] => key == "tier",
        _ => false,
    };
    let named = service.deployments.iter().find(|(_, one)| one.tier > 0);
    if let (Some(1..), Some((name, _))) = (lowest, named)
        && !check.any_below(path, is_unsure)
    {
        let rule = "must be 0 for at least one deployment of the service: that is where its requests go first";
        check.error(&path.key(name.as_str()).key("tier"), rule);
    }
    for (name, deployment) in &service.deployments {
        let mut same = service.deployments.iter();
        let has_sibling = same.any(|(other, one)| other != name && one.tier == deployment.tier);
        let spills = deployment.when_cold == WhenCold::Spill;
        if spills && !has_sibling && !check.touches(path) {
            let rule = match service.deployments.len() {
                1 => "there is no other deployment to spill to",
                _ => {
                    "there is no other deployment of its tier to spill to; what a tier cannot serve soon goes to the next one in any case"
                }
            };
            check.error(&path.key(name.as_str()).key("when_cold"), rule);
        }
    }
}
