//! The `backlog` rule: workers in proportion to the requests there are now.
//!
//! Not averaged, so that it is the quickest of all; the patience of `down` is what keeps it steady.

use penstock_config::BacklogRule;

use super::{
    rules::View,
    wish::{Basis, Wish, workers_for},
};

pub(super) fn wish(rule: &BacklogRule, view: View<'_>) -> Wish {
    let current = view.seen.current;
    Wish {
        rule: "backlog",
        workers: workers_for(f64::from(current), rule.target),
        shrinks: true,
        basis: Basis::Backlog {
            current,
            target: rule.target,
        },
    }
}
