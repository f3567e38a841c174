//! `scaling` of a deployment.

mod forecast;
mod rule;
mod step;

use std::time::Duration;

use super::Check;
use crate::{DownPace, Rule, Scaling, ScalingMode, UpPace, key_path::KeyPath, raw, units};

/// Target of the concurrency rule for workers without a small limit of their own; that of Knative.
const TARGET: f64 = 100.0;

/// Control keeps every change of the desired count for a whole period.
const PERIOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Scaling of a static deployment, which does not scale: it has as many workers as addresses.
pub(super) fn fixed(workers: usize) -> Scaling {
    let raw = raw::Scaling::default();
    let workers = u32::try_from(workers).unwrap_or(u32::MAX);
    Scaling {
        mode: ScalingMode::Act,
        min: workers,
        max: workers,
        idle_timeout: raw.idle_timeout.0,
        rules: vec![rule::default(TARGET)],
        up: up(&raw.up),
        down: down(&raw.down),
    }
}

pub(super) fn scaling(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::Scaling,
    max_concurrency: Option<u32>,
) -> Scaling {
    let max = max(check, path, &raw);
    let target = max_concurrency.map_or(TARGET, |max| f64::from(max).min(TARGET));
    let rules = rules(check, path, raw.rules, target, (raw.min, max));
    let (up_path, down_path) = (path.key("up"), path.key("down"));
    at_most(check, &up_path.key("period"), raw.up.period.0, PERIOD_MAX);
    at_most(
        check,
        &down_path.key("period"),
        raw.down.period.0,
        PERIOD_MAX,
    );
    if let Some(stable_for) = &raw.down.stable_for {
        at_most(
            check,
            &down_path.key("stable_for"),
            stable_for.0,
            PERIOD_MAX,
        );
    }
    Scaling {
        mode: match raw.mode {
            raw::ScalingMode::Act => ScalingMode::Act,
            raw::ScalingMode::Advise => ScalingMode::Advise,
        },
        min: raw.min,
        max,
        idle_timeout: raw.idle_timeout.0,
        rules,
        up: up(&raw.up),
        down: down(&raw.down),
    }
}

/// Most workers; without a setting `min`, and at least one.
fn max(check: &mut Check<'_>, path: &KeyPath, raw: &raw::Scaling) -> u32 {
    let max = raw.max.unwrap_or_else(|| raw.min.max(1));
    let wrong_min = check.touches(&path.key("min"));
    if max < raw.min && !wrong_min {
        check.error(
            &path.key("max"),
            format!("must be at least min ({})", raw.min),
        );
    } else if max == 0 {
        check.error(&path.key("max"), "must be at least 1");
    }
    max
}

/// The rules, with the concurrency rule where they do not say how many workers there should be.
fn rules(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: Option<Vec<raw::Rule>>,
    target: f64,
    bounds: (u32, u32),
) -> Vec<Rule> {
    let mut rules = match raw {
        None => vec![rule::default(target)],
        Some(rules) => {
            let paths = (0..).map(|index| path.key("rules").index(index));
            rules
                .into_iter()
                .zip(paths)
                .map(|(raw, path)| rule::rule(check, &path, &raw, target, bounds))
                .collect()
        }
    };
    forecast::at_most_one(check, path, &rules);
    if rules.iter().all(needs_another) {
        rules.push(rule::default(target));
    }
    rules
}

/// Bounds alone say nothing about how many there should be between them. What workers say is late
/// and may be missing: it corrects what the gateway counts. A forecast only asks for more.
fn needs_another(rule: &Rule) -> bool {
    matches!(rule, Rule::Schedule(_) | Rule::Forecast(_)) || rule.worker_metric().is_some()
}

fn up(raw: &raw::UpPace) -> UpPace {
    UpPace {
        percent: raw.percent.unwrap_or(UpPace::NO_LIMIT),
        period: raw.period.0,
        burst_from_zero: raw.burst_from_zero,
    }
}

fn down(raw: &raw::DownPace) -> DownPace {
    DownPace {
        stable_for: raw.stable_for.as_ref().map(|given| given.0),
        step: raw.step.unwrap_or(DownPace::NO_LIMIT),
        percent: raw.percent,
        period: raw.period.0,
    }
}

fn at_most(check: &mut Check<'_>, path: &KeyPath, value: Duration, max: Duration) {
    if value > max {
        check.error(
            path,
            format!("must be at most {}", units::format_duration(max)),
        );
    }
}
