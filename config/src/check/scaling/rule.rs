//! `scaling.rules`.

use std::time::Duration;

use super::{Check, PERIOD_MAX, at_most, forecast, step};
use crate::{
    BacklogRule, ConcurrencyRule, QueueWaitRule, Rule, ScheduleRule, TargetTrackingRule,
    key_path::KeyPath, raw, units,
};

/// Two reports, and short against the time that a worker takes to start. In simulations 6 s, as in
/// Knative, let more requests wait and saved nothing.
const BURST_WINDOW: Duration = Duration::from_secs(2);

/// Load is reported every second, so a shorter window would often be empty.
pub(super) const WINDOW_MIN: Duration = Duration::from_secs(1);

/// Control keeps samples for the whole window.
pub(super) const WINDOW_MAX: Duration = Duration::from_secs(60 * 60);

/// The rule that stands in when there is none.
pub(super) fn default(target: f64) -> Rule {
    Rule::Concurrency(ConcurrencyRule {
        target,
        window: raw::window().0,
        burst_window: BURST_WINDOW,
        clear_within: None,
        anticipate: raw::anticipate(),
        headroom: raw::headroom(),
    })
}

/// `default_target`: requests that one worker should have where the rule does not say. `bounds`: the
/// deployment's `min` and `max`.
pub(super) fn rule(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: &raw::Rule,
    default_target: f64,
    bounds: (u32, u32),
) -> Rule {
    match raw {
        raw::Rule::Concurrency {
            target,
            window,
            burst_window,
            clear_within,
            anticipate,
            headroom,
        } => {
            let rule = ConcurrencyRule {
                target: target.unwrap_or(default_target),
                window: window.0,
                burst_window: burst_window
                    .as_ref()
                    .map_or_else(|| BURST_WINDOW.min(window.0), |given| given.0),
                clear_within: clear_within.as_ref().map(|given| given.0),
                anticipate: *anticipate,
                headroom: *headroom,
            };
            concurrency(check, path, &rule);
            Rule::Concurrency(rule)
        }
        raw::Rule::TargetTracking {
            metric,
            target,
            scale_out_cooldown,
            scale_in_cooldown,
            disable_scale_in,
        } => {
            let rule = TargetTrackingRule {
                metric: metric.0.clone(),
                target: *target,
                scale_out_cooldown: scale_out_cooldown.0,
                scale_in_cooldown: scale_in_cooldown.0,
                disable_scale_in: *disable_scale_in,
            };
            target_tracking(check, path, &rule);
            Rule::TargetTracking(rule)
        }
        raw::Rule::Step { .. } => Rule::Step(step::step(check, path, raw)),
        raw::Rule::Schedule { .. } => Rule::Schedule(schedule(check, path, raw, bounds)),
        raw::Rule::QueueWait { target } => Rule::QueueWait(QueueWaitRule {
            target: target.0,
            concurrency: default_target,
        }),
        raw::Rule::Backlog { target } => Rule::Backlog(BacklogRule { target: *target }),
        raw::Rule::Forecast { .. } => {
            Rule::Forecast(forecast::forecast(check, path, raw, default_target))
        }
    }
}

fn concurrency(check: &mut Check<'_>, path: &KeyPath, rule: &ConcurrencyRule) {
    let ConcurrencyRule {
        window,
        burst_window,
        ..
    } = *rule;
    for (key, value) in [("window", window), ("burst_window", burst_window)] {
        if value < WINDOW_MIN {
            let rule = "must be at least 1s, because load is reported every second";
            check.error(&path.key(key), rule);
        }
    }
    at_most(check, &path.key("window"), window, WINDOW_MAX);
    if let Some(clear_within) = rule.clear_within {
        at_most(check, &path.key("clear_within"), clear_within, PERIOD_MAX);
    }
    if burst_window > window && !check.touches(&path.key("window")) {
        let rule = format!(
            "must be at most window ({})",
            units::format_duration(window)
        );
        check.error(&path.key("burst_window"), rule);
    }
}

fn target_tracking(check: &mut Check<'_>, path: &KeyPath, rule: &TargetTrackingRule) {
    if !rule.metric.is_shared() {
        let text = "is not shared by the workers, so that no number of them follows from it; \
                    it can be used in a rule of type \"step\"";
        check.error(&path.key("metric"), text);
    }
    for (key, value) in [
        ("scale_out_cooldown", rule.scale_out_cooldown),
        ("scale_in_cooldown", rule.scale_in_cooldown),
    ] {
        at_most(check, &path.key(key), value, PERIOD_MAX);
    }
}

/// Must be given a [`raw::Rule::Schedule`].
fn schedule(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: &raw::Rule,
    bounds: (u32, u32),
) -> ScheduleRule {
    let raw::Rule::Schedule {
        cron,
        time_zone,
        duration,
        min,
        max,
    } = raw
    else {
        unreachable!("only schedule rules are checked here");
    };
    let rule = ScheduleRule {
        cron: cron.0.clone(),
        time_zone: time_zone.0.clone(),
        duration: duration.0,
        min: *min,
        max: *max,
    };
    // Years from 1970: whatever comes at all has come by then.
    if rule.next_after(0).is_none() {
        check.error(&path.key("cron"), "never comes");
    }
    schedule_bounds(check, path, &rule, bounds);
    rule
}

fn schedule_bounds(check: &mut Check<'_>, path: &KeyPath, rule: &ScheduleRule, bounds: (u32, u32)) {
    let (min, max) = (rule.min.unwrap_or(bounds.0), rule.max.unwrap_or(bounds.1));
    match (rule.min, rule.max) {
        (None, None) => check.error_without_value(path, "must have `min`, `max` or both"),
        (Some(_), None) if min > max => {
            let text = format!("must be at most max ({max}), or there must be a `max` here too");
            check.error(&path.key("min"), text);
        }
        (None, Some(_)) if min > max => {
            let text = format!("must be at least min ({min}), or there must be a `min` here too");
            check.error(&path.key("max"), text);
        }
        (Some(_), Some(_)) if min > max => {
            check.error(&path.key("max"), format!("must be at least min ({min})"));
        }
        _ => {}
    }
}
