//! Rules of type `step`.

use std::time::Duration;

use super::{
    Check, PERIOD_MAX, at_most,
    rule::{WINDOW_MAX, WINDOW_MIN},
};
use crate::{Adjustment, Metric, Statistic, Step, StepRule, key_path::KeyPath, raw};

/// Must be given a [`raw::Rule::Step`].
pub(super) fn step(check: &mut Check<'_>, path: &KeyPath, raw: &raw::Rule) -> StepRule {
    let raw::Rule::Step {
        metric,
        threshold,
        statistic,
        period,
        datapoints,
        adjustment,
        min_adjustment,
        steps,
        cooldown,
    } = raw
    else {
        unreachable!("only step rules are checked here");
    };
    check_period(check, &path.key("period"), period.0);
    at_most(check, &path.key("cooldown"), cooldown.0, PERIOD_MAX);
    let adjustment = match adjustment {
        raw::Adjustment::Change => Adjustment::Change,
        raw::Adjustment::Percent => Adjustment::Percent,
        raw::Adjustment::Exact => Adjustment::Exact,
    };
    if min_adjustment.is_some() && adjustment != Adjustment::Percent {
        let rule = "is only for adjustment = \"percent\"";
        check.error(&path.key("min_adjustment"), rule);
    }
    StepRule {
        metric: metric.0.clone(),
        threshold: *threshold,
        statistic: statistic_of(check, &path.key("statistic"), &metric.0, *statistic),
        period: period.0,
        datapoints: *datapoints,
        adjustment,
        min_adjustment: min_adjustment.unwrap_or(1),
        steps: intervals(check, &path.key("steps"), steps, adjustment),
        cooldown: cooldown.0,
    }
}

fn check_period(check: &mut Check<'_>, path: &KeyPath, period: Duration) {
    if period < WINDOW_MIN {
        let rule = "must be at least 1s, because load is reported every second";
        check.error(path, rule);
    }
    at_most(check, path, period, WINDOW_MAX);
}

fn statistic_of(
    check: &mut Check<'_>,
    path: &KeyPath,
    metric: &Metric,
    given: Option<raw::Statistic>,
) -> Statistic {
    let counted = *metric == Metric::NoCapacityRequests;
    let statistic = match given {
        None if counted => Statistic::Sum,
        None | Some(raw::Statistic::Average) => Statistic::Average,
        Some(raw::Statistic::Maximum) => Statistic::Maximum,
        Some(raw::Statistic::Minimum) => Statistic::Minimum,
        Some(raw::Statistic::Sum) => Statistic::Sum,
    };
    if counted != (statistic == Statistic::Sum) {
        check.error(
            path,
            "must be \"sum\" for no_capacity_requests, and for nothing else",
        );
    } else if *metric == Metric::QueueWaitP95 && statistic != Statistic::Average {
        check.error(path, "must be \"average\" for queue_wait_p95");
    }
    statistic
}

/// The steps in rising order. Overlaps and gaps are errors: what should be done there?
fn intervals(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: &[raw::Step],
    adjustment: Adjustment,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for (place, raw::Step { from, to, by }) in raw.iter().enumerate() {
        let path = path.index(place);
        let step = Step {
            from: *from,
            to: *to,
            by: *by,
        };
        if from.zip(*to).is_some_and(|(from, to)| from >= to) {
            check.error(&path.key("to"), "must be more than from");
        } else if !step.is_above() && to.is_none_or(|to| to > 0.0) {
            let rule = "must be on one side of the threshold: from = 0 or more, or to = 0 or less";
            check.error_without_value(&path, rule);
        } else if adjustment == Adjustment::Exact && *by < 1 {
            let rule = "must be at least 1; to zero workers leads only idle_timeout";
            check.error(&path.key("by"), rule);
        } else {
            steps.push((path, step));
        }
    }
    // A step that is wrong may be the one that fills a gap.
    let is_whole = !check.touches(path);
    steps.sort_by(|(_, a), (_, b)| lower(a).total_cmp(&lower(b)));
    for pair in steps.windows(2) {
        let [(_, before), (path, after)] = pair else {
            continue;
        };
        meet(check, path, before, after, is_whole);
    }
    if steps.len() == raw.len() && is_whole {
        open_ends(check, path, &steps);
    }
    steps.into_iter().map(|(_, step)| step).collect()
}

fn lower(step: &Step) -> f64 {
    step.from.unwrap_or(f64::NEG_INFINITY)
}

fn upper(step: &Step) -> f64 {
    step.to.unwrap_or(f64::INFINITY)
}

/// Two neighbours meet, unless the threshold lies between them: there nothing is to be done.
fn meet(check: &mut Check<'_>, path: &KeyPath, before: &Step, after: &Step, is_whole: bool) {
    let (end, start) = (upper(before), lower(after));
    if start < end {
        let rule = format!("overlaps the step before it, which ends at {end}");
        check.error_without_value(path, rule);
    } else if start > end && is_whole && before.is_above() == after.is_above() {
        let rule = format!("leaves a gap after the step before it, which ends at {end}");
        check.error_without_value(path, rule);
    }
}

/// However far a value is from the threshold, there is something to do.
fn open_ends(check: &mut Check<'_>, path: &KeyPath, steps: &[(KeyPath, Step)]) {
    let (Some((_, first)), Some((_, last))) = (steps.first(), steps.last()) else {
        return;
    };
    if last.is_above() && last.to.is_some() {
        check.error_without_value(path, "the highest step must have no `to`");
    }
    if !first.is_above() && first.from.is_some() {
        check.error_without_value(path, "the lowest step must have no `from`");
    }
}
