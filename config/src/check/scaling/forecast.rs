//! Rules of type `forecast`.

use std::time::Duration;

use super::{Check, at_most};
use crate::{ForecastRule, Rule, key_path::KeyPath, raw};

/// Whatever takes longer to start is not a matter of minutes and patterns any more; a schedule is.
const AHEAD_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// Must be given a [`raw::Rule::Forecast`].
pub(super) fn forecast(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: &raw::Rule,
    default_target: f64,
) -> ForecastRule {
    let raw::Rule::Forecast {
        target,
        headroom,
        daily,
        weekly,
        slope,
        time_zone,
        ahead,
    } = raw
    else {
        unreachable!("only forecast rules are checked here");
    };
    if !(*daily || *weekly || *slope) {
        check.error_without_value(path, "must have `daily`, `weekly` or `slope`");
    }
    let ahead = ahead.as_ref().map(|given| given.0);
    if let Some(ahead) = ahead {
        at_most(check, &path.key("ahead"), ahead, AHEAD_MAX);
    }
    ForecastRule {
        target: target.unwrap_or(default_target),
        headroom: *headroom,
        daily: *daily,
        weekly: *weekly,
        slope: *slope,
        time_zone: time_zone.0.clone(),
        ahead,
    }
}

/// There is one load to be foreseen.
pub(super) fn at_most_one(check: &mut Check<'_>, path: &KeyPath, rules: &[Rule]) {
    let forecasts = (0..).zip(rules);
    let forecasts = forecasts.filter(|(_, rule)| matches!(rule, Rule::Forecast(_)));
    for (index, _) in forecasts.skip(1) {
        let path = path.key("rules").index(index);
        check.error_without_value(&path, "must be the only rule of type \"forecast\"");
    }
}
