//! `update` of a deployment.

use super::Check;
use crate::{Update, key_path::KeyPath, raw};

/// The settings of one deployment.
pub(super) fn update(
    check: &mut Check<'_>,
    deployment: &KeyPath,
    raw: Option<raw::Update>,
    is_fixed: bool,
) -> Update {
    let path = deployment.key("update");
    let Some(raw) = raw else {
        return Update::default();
    };
    if is_fixed {
        let rule = "a static deployment has the workers it is given; `update` is for `process` and `container`";
        check.error(&path, rule);
    }
    let pace = match raw {
        raw::Update::Word(raw::UpdateWord::Recreate) => return Update::Recreate,
        raw::Update::Pace(pace) => pace,
    };
    let (surge, unavailable) = (pace.max_surge.0, pace.max_unavailable.0);
    if surge.is_nothing() && unavailable.is_nothing() {
        let rule = "max_surge and max_unavailable must not both be 0: no worker could ever be replaced; \
                    give max_unavailable, or write \"recreate\"";
        check.error(&path, rule);
    }
    Update::Rolling {
        max_surge: surge,
        max_unavailable: unavailable,
    }
}
