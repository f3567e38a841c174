//! `scaling` of a deployment.

use std::time::Duration;

use super::Check;
use crate::{ConcurrencyRule, DownPace, Rule, Scaling, UpPace, key_path::KeyPath, raw, units};

/// Target of the concurrency rule for workers without a small limit of their own; that of Knative.
const TARGET: f64 = 100.0;

/// A tenth of the default window, as in Knative.
const BURST_WINDOW: Duration = Duration::from_secs(6);

/// Load is reported every second, so a shorter window would often be empty.
const WINDOW_MIN: Duration = Duration::from_secs(1);

/// Control keeps samples for the whole window.
const WINDOW_MAX: Duration = Duration::from_secs(60 * 60);

/// Control keeps every change of the desired count for a whole period.
const PERIOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Scaling of a static deployment, which does not scale: it has as many workers as addresses.
pub(super) fn fixed(workers: usize) -> Scaling {
    let raw = raw::Scaling::default();
    let workers = u32::try_from(workers).unwrap_or(u32::MAX);
    Scaling {
        min: workers,
        max: workers,
        idle_timeout: raw.idle_timeout.0,
        rules: vec![default_rule(TARGET)],
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
    let max = raw.max.unwrap_or_else(|| raw.min.max(1));
    let wrong_min = check.problems.touches(&path.key("min"));
    if max < raw.min && !wrong_min {
        check.error(
            &path.key("max"),
            format!("must be at least min ({})", raw.min),
        );
    } else if max == 0 {
        check.error(&path.key("max"), "must be at least 1");
    }
    let target = max_concurrency.map_or(TARGET, |max| f64::from(max).min(TARGET));
    let rules = match raw.rules {
        None => vec![default_rule(target)],
        Some(rules) => {
            let paths = (0..).map(|index| path.key("rules").index(index));
            rules
                .into_iter()
                .zip(paths)
                .map(|(raw, path)| rule(check, &path, &raw, target))
                .collect()
        }
    };
    let (up_path, down_path) = (path.key("up"), path.key("down"));
    at_most(check, &up_path.key("period"), raw.up.period.0, PERIOD_MAX);
    at_most(
        check,
        &down_path.key("period"),
        raw.down.period.0,
        PERIOD_MAX,
    );
    at_most(
        check,
        &down_path.key("stable_for"),
        raw.down.stable_for.0,
        PERIOD_MAX,
    );
    Scaling {
        min: raw.min,
        max,
        idle_timeout: raw.idle_timeout.0,
        rules,
        up: up(&raw.up),
        down: down(&raw.down),
    }
}

fn default_rule(target: f64) -> Rule {
    Rule::Concurrency(ConcurrencyRule {
        target,
        window: raw::window().0,
        burst_window: BURST_WINDOW,
    })
}

fn rule(check: &mut Check<'_>, path: &KeyPath, raw: &raw::Rule, default_target: f64) -> Rule {
    let raw::Rule::Concurrency {
        target,
        window,
        burst_window,
    } = raw;
    let window = window.0;
    let burst_window = burst_window
        .as_ref()
        .map_or_else(|| BURST_WINDOW.min(window), |given| given.0);
    for (key, value) in [("window", window), ("burst_window", burst_window)] {
        if value < WINDOW_MIN {
            let rule = "must be at least 1s, because load is reported every second";
            check.error(&path.key(key), rule);
        }
    }
    at_most(check, &path.key("window"), window, WINDOW_MAX);
    if burst_window > window && !check.problems.touches(&path.key("window")) {
        let rule = format!(
            "must be at most window ({})",
            units::format_duration(window)
        );
        check.error(&path.key("burst_window"), rule);
    }
    Rule::Concurrency(ConcurrencyRule {
        target: target.unwrap_or(default_target),
        window,
        burst_window,
    })
}

fn at_most(check: &mut Check<'_>, path: &KeyPath, value: Duration, max: Duration) {
    if value > max {
        check.error(
            path,
            format!("must be at most {}", units::format_duration(max)),
        );
    }
}

fn up(raw: &raw::UpPace) -> UpPace {
    UpPace {
        percent: raw.percent,
        period: raw.period.0,
        burst_from_zero: raw.burst_from_zero,
    }
}

fn down(raw: &raw::DownPace) -> DownPace {
    DownPace {
        stable_for: raw.stable_for.0,
        step: raw.step,
        percent: raw.percent,
        period: raw.period.0,
    }
}
