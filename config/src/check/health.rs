//! `ejection` and `retries` of a service.

use std::collections::HashSet;

use super::Check;
use crate::{Ejection, Retries, key_path::KeyPath, raw, units};

/// Bodies are kept in memory, for every request that may be retried.
const RETRY_BUFFER_MAX: u64 = 64 << 20;

pub(super) fn ejection(check: &mut Check<'_>, path: &KeyPath, raw: &raw::Ejection) -> Ejection {
    let (first, longest) = (raw.first.0, raw.longest.0);
    if longest < first && !check.touches(&path.key("first")) {
        let rule = format!(
            "must be at least `first` ({})",
            units::format_duration(first)
        );
        check.error(&path.key("longest"), rule);
    }
    Ejection {
        failures: raw.failures,
        first,
        longest,
        max_ejected_percent: raw.max_ejected_percent,
    }
}

pub(super) fn retries(check: &mut Check<'_>, path: &KeyPath, raw: raw::Retries) -> Retries {
    let statuses_path = path.key("statuses");
    let mut seen = HashSet::new();
    for (index, status) in raw.statuses.iter().enumerate() {
        if !seen.insert(*status) {
            check.error(&statuses_path.index(index), "is listed twice");
        }
    }
    if raw.buffer.0 > RETRY_BUFFER_MAX {
        let rule = format!("must be at most {}", units::format_size(RETRY_BUFFER_MAX));
        check.error(&path.key("buffer"), rule);
    }
    Retries {
        attempts: raw.attempts,
        any_method: raw.any_method,
        statuses: raw.statuses,
        buffer_bytes: raw.buffer.0,
        budget_percent: raw.budget_percent,
        budget_per_second: raw.budget_per_second,
    }
}
