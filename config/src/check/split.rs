//! `split`, `sticky` and `match` of a service, and which of its deployments take traffic.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use super::{Check, request_key::one_source, service};
use crate::{
    Deployment, DeploymentName, KeySource, MatchRule, Split, Sticky, WhenCold,
    key_path::{KeyPath, Segment},
    raw,
};

/// What a rule may ask of a request.
const CONDITIONS: [&str; 4] = ["headers", "cookies", "path", "methods"];

/// The deployments of a service by name.
pub(super) type Deployments = BTreeMap<DeploymentName, Arc<Deployment>>;

pub(super) fn split(split: raw::Split) -> Split {
    match split {
        raw::Split::Weights => Split::Weights,
        raw::Split::Workers => Split::Workers,
        raw::Split::RoundRobin => Split::RoundRobin,
        raw::Split::LeastConnections => Split::LeastConnections,
        raw::Split::Random => Split::Random,
        raw::Split::Hash => Split::Hash,
    }
}

pub(super) fn when_cold(when_cold: raw::WhenCold) -> WhenCold {
    match when_cold {
        raw::WhenCold::Hold => WhenCold::Hold,
        raw::WhenCold::Spill => WhenCold::Spill,
    }
}

pub(super) fn sticky(
    check: &mut Check<'_>,
    service: &KeyPath,
    raw: Option<raw::Sticky>,
    split: Split,
) -> Option<Sticky> {
    let raw = raw?;
    let path = service.key("sticky");
    if split != Split::Weights {
        check.error(&path, "is only for `split = \"weights\"`");
    }
    let cookie_is_wrong = check.touches(&path.key("cookie"));
    if raw.max_age.is_some() && raw.cookie.is_none() && !cookie_is_wrong {
        check.error(&path.key("max_age"), "is only for a cookie");
    }
    let sources = [
        ("cookie", raw.cookie.map(|name| KeySource::Cookie(name.0))),
        ("header", raw.header.map(|name| KeySource::Header(name.0))),
    ];
    Some(Sticky {
        by: one_source(check, &path, sources),
        max_age: raw.max_age.map(|age| age.0),
    })
}

pub(super) fn matches(
    check: &mut Check<'_>,
    service: &KeyPath,
    raw: Vec<raw::MatchRule>,
    paths: &[String],
    deployments: &Deployments,
) -> Vec<MatchRule> {
    let path = service.key("match");
    let paths = (!check.touches(&service.key("paths"))).then_some(paths);
    let mut rules: Vec<MatchRule> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let here = path.index(index);
        let rule = match_rule(check, &here, raw, paths, deployments);
        let same = |other: &MatchRule| {
            MatchRule {
                to: rule.to.clone(),
                ..other.clone()
            } == rule
        };
        // Of a rule that is wrong there may be more than is left.
        let is_sure = |place: &usize| {
            let rule = path.index(*place);
            !CONDITIONS.iter().any(|key| check.touches(&rule.key(key)))
        };
        let mut earlier = (0..rules.len()).filter(is_sure);
        let first = earlier.find(|place| same(&rules[*place]));
        if let Some(first) = first.filter(|_| is_sure(&index)) {
            let first = check.in_file(&path.index(first));
            let first = first.segments().last().map(|place| match place {
                Segment::Index(place) => *place,
                Segment::Key(_) => 0,
            });
            let first = first.unwrap_or_default();
            let rule =
                format!("never counts: match[{first}] fits the same requests and comes first");
            check.error_without_value(&here, rule);
        }
        rules.push(rule);
    }
    rules
}

/// `paths`: those of the service, if they are right.
fn match_rule(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::MatchRule,
    paths: Option<&[String]>,
    deployments: &Deployments,
) -> MatchRule {
    known(check, &path.key("to"), &raw.to, deployments);
    let headers = values(check, &path.key("headers"), raw.headers, Named::Header);
    let cookies = values(check, &path.key("cookies"), raw.cookies, Named::Cookie);
    let prefix = raw.path.map(|path| path.0);
    if let Some(prefix) = &prefix {
        check_prefix(check, &path.key("path"), prefix, paths);
    }
    let rule = MatchRule {
        to: raw.to,
        headers,
        cookies,
        path: prefix,
        methods: raw.methods.into_iter().flatten().map(|m| m.0).collect(),
    };
    let empty = rule.headers.is_empty()
        && rule.cookies.is_empty()
        && rule.path.is_none()
        && rule.methods.is_empty();
    // One that is wrong is one all the same, and so may be an unknown key.
    let is_other = |way: &[Segment]| match way {
        [] => false,
        [Segment::Key(key), ..] => key != "to",
        [Segment::Index(_), ..] => true,
    };
    if empty && !check.any_below(path, is_other) {
        let rule = format!("must have at least one of {}", super::listed(&CONDITIONS));
        check.error_without_value(path, rule);
    }
    rule
}

/// That a deployment which is named somewhere exists.
pub(super) fn known(
    check: &mut Check<'_>,
    path: &KeyPath,
    name: &DeploymentName,
    deployments: &Deployments,
) {
    if deployments.contains_key(name) {
        return;
    }
    let names = || deployments.keys().map(DeploymentName::as_str);
    let similar = crate::suggest::similar(name.as_str(), names());
    let rule = match similar {
        Some(similar) => format!("there is no such deployment; did you mean \"{similar}\"?"),
        None => {
            let quoted: Vec<_> = names().map(|name| format!("\"{name}\"")).collect();
            format!(
                "there is no such deployment; there is {}",
                quoted.join(", ")
            )
        }
    };
    // Without any deployment there is an error already.
    if !deployments.is_empty() {
        check.error(path, rule);
    }
}

#[derive(Clone, Copy)]
enum Named {
    Header,
    Cookie,
}

/// The values that headers or cookies must have, with `None` for any.
fn values(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: BTreeMap<String, String>,
    named: Named,
) -> Vec<(String, Option<String>)> {
    let mut values = BTreeMap::new();
    for (name, value) in raw {
        let path = path.key(&name);
        // What a client can send: a header's value is given without the spaces around it, and a
        // cookie's ends at a semicolon.
        let clean = http::HeaderValue::try_from(&value).is_ok() && value.trim() == value;
        if !clean || matches!(named, Named::Cookie) && value.contains(';') {
            check.error(&path, "is a value that no request can have");
        }
        let name = match named {
            Named::Header => name.to_ascii_lowercase(),
            Named::Cookie => name,
        };
        match values.entry(name) {
            btree_map::Entry::Vacant(free) => {
                free.insert((value != "*").then_some(value));
            }
            btree_map::Entry::Occupied(_) => {
                check.error(&path, "is listed twice: names of headers have no case");
            }
        }
    }
    values.into_iter().collect()
}

/// That the path of a rule can be the path of a request to the service.
fn check_prefix(check: &mut Check<'_>, path: &KeyPath, prefix: &str, paths: Option<&[String]>) {
    if let Err(rule) = service::check_prefix(prefix) {
        check.error(path, rule);
        return;
    }
    let within = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(service::without_slash(outer));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let meets = |own: &String| within(own, prefix) || within(prefix, own);
    if paths.is_some_and(|paths| !paths.iter().any(meets)) {
        check.error(path, "never fits: it is outside of the service's `paths`");
    }
}

/// Rules about all deployments together.
pub(super) fn check_together(check: &mut Check<'_>, path: &KeyPath, deployments: &Deployments) {
    let takes_traffic = |d: &Arc<Deployment>| d.takes_traffic && d.weight > 0;
    if !deployments.values().any(takes_traffic) {
        // A deployment or a setting that is wrong might have been the one that takes traffic.
        let unsure = check.any_below(path, |way| match way {
            [_] => true,
            [_, Segment::Key(key), ..] => {
                ["weight", "takes_traffic", "rollout"].contains(&key.as_str())
            }
            _ => false,
        });
        if !unsure {
            let rule = if deployments
                .values()
                .all(|deployment| deployment.weight == 0)
            {
                "at least one deployment must have a weight above 0"
            } else {
                "at least one deployment with a weight above 0 must have `takes_traffic = true`"
            };
            check.error_without_value(path, rule);
        }
    }
}
