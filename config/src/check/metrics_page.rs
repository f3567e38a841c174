//! `metrics` of a deployment.

use std::time::Duration;

use super::{
    Check,
    process::placeholder::{self, Filled},
};
use crate::{MetricsPage, key_path::KeyPath, raw, units};

/// More often than load is reported there is nobody to look at it.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// A value counts for three intervals, and after a quarter of an hour it says nothing about now.
const INTERVAL_MAX: Duration = Duration::from_secs(5 * 60);

/// A page takes milliseconds; a worker that takes this long for it is not well.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn metrics_page(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::MetricsPage,
    is_static: bool,
) -> MetricsPage {
    if is_static && check.has(path) {
        let rule = "a static deployment has the workers it is given; `metrics` is for rules of \
                    `scaling`, which is for `process`";
        check.error_without_value(path, rule);
    }
    placeholder::check(check, &path.key("path"), &raw.path.0, Filled::Nobody);
    let interval = raw.interval.0;
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        check.error(&path.key("interval"), "must be 1s to 5m");
    }
    let timeout = raw
        .timeout
        .map_or_else(|| TIMEOUT.min(interval), |given| given.0);
    if timeout > interval && !check.touches(&path.key("interval")) {
        let interval = units::format_duration(interval);
        let rule = format!("must be at most interval ({interval})");
        check.error(&path.key("timeout"), rule);
    }
    MetricsPage {
        path: raw.path.0,
        interval,
        timeout,
    }
}
