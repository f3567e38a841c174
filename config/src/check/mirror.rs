//! `mirror` of a service.

use super::{
    Check,
    split::{self, Deployments},
};
use crate::{Deployment, MatchRule, Mirror, Source, key_path::KeyPath, raw};

/// Smallest buffer: below, a body that comes in large pieces could not be copied at all.
const BUFFER_BYTES_MIN: u64 = 16 << 10;

/// Largest buffer: there can be as many as `max_in_flight` of them.
const BUFFER_BYTES_MAX: u64 = 1 << 30;

pub(super) fn mirror(
    check: &mut Check<'_>,
    service: &KeyPath,
    raw: Option<raw::Mirror>,
    deployments: &Deployments,
    matches: &[MatchRule],
) -> Option<Mirror> {
    let raw = raw?;
    let path = service.key("mirror");
    split::known(check, &path.key("to"), &raw.to, deployments);
    let by_split = |d: &Deployment| d.takes_traffic && (d.weight > 0 || d.rollout.is_some());
    let by_rule = |d: &Deployment| matches.iter().any(|rule| rule.to == d.name);
    let originals = deployments
        .values()
        .any(|d| d.name != raw.to && (by_split(d) || by_rule(d)));
    if deployments.contains_key(&raw.to)
        && !originals
        && !check.touches(&service.key("deployments"))
    {
        let rule = "there is nothing to copy: no other deployment takes traffic";
        check.error(&path.key("to"), rule);
    }
    if !(BUFFER_BYTES_MIN..=BUFFER_BYTES_MAX).contains(&raw.buffer.0) {
        check.error(&path.key("buffer"), "must be 16KiB to 1GiB");
    }
    let is_static = |to: &Deployment| matches!(to.source, Source::Static(_));
    if raw.scales && deployments.get(&raw.to).is_some_and(|to| is_static(to)) {
        let rule = format!("deployment \"{}\" is static, which does not scale", raw.to);
        check.error(&path.key("scales"), rule);
    }
    Some(Mirror {
        to: raw.to,
        percent: raw.percent,
        max_in_flight: raw.max_in_flight,
        buffer_bytes: raw.buffer.0,
        timeout: raw.timeout.0,
        wakes: raw.wakes,
        scales: raw.scales,
    })
}
