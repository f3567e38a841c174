//! Rules that send requests of a certain kind to one deployment.

use penstock_config::MatchRule;

use crate::{request::request_key::RequestHead, route::hosts_and_paths};

/// Whether a request fits everything that the rule gives.
pub(super) fn fits(rule: &MatchRule, head: &RequestHead<'_>) -> bool {
    let method = head.method().as_str();
    let is = |wanted: &Option<String>, value: &[u8]| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.as_bytes() == value)
    };
    (rule.methods.is_empty() || rule.methods.iter().any(|wanted| wanted == method))
        && (rule.path.as_ref()).is_none_or(|prefix| hosts_and_paths::is_below(head.path(), prefix))
        && (rule.headers.iter())
            .all(|(name, wanted)| head.headers(name).any(|value| is(wanted, value)))
        && (rule.cookies.iter())
            .all(|(name, wanted)| head.cookie(name).is_some_and(|value| is(wanted, value)))
}
