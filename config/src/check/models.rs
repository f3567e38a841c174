//! `[front_door]`, and `models` of services.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Check, service::Domain};
use crate::{FrontDoor, Model, Service, ServiceName, TokenUsage, key_path::KeyPath, raw, suggest};

/// First label of the front door's host, unless the user names hosts.
const LABEL: &str = "api";

/// Longest name of a model, in characters. Those of repositories have up to 96, with their owners.
const NAME_CHARS_MAX: usize = 200;

/// Most names of models that an error lists.
const NAMES_SHOWN: usize = 10;

/// The hosts of the front door.
pub(super) fn front_door(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::FrontDoor,
    domain: &Domain<'_>,
) -> Arc<FrontDoor> {
    let path = path.key("hosts");
    let takes_others = raw.hosts.is_none();
    let hosts: Vec<_> = match raw.hosts {
        Some(hosts) => hosts.into_iter().map(|host| host.0).collect(),
        None => vec![domain.host(LABEL)],
    };
    for (index, host) in hosts.iter().enumerate() {
        if hosts[..index].contains(host) {
            check.error(&path.index(index), "is listed twice");
        }
    }
    Arc::new(FrontDoor {
        hosts,
        takes_others,
    })
}

/// The models of a service.
pub(super) fn models(check: &mut Check<'_>, service: &KeyPath, raw: Vec<raw::Model>) -> Vec<Model> {
    let path = service.key("models");
    let models = raw.into_iter().enumerate();
    models
        .map(|(index, raw)| model(check, &path.index(index), raw))
        .collect()
}

fn model(check: &mut Check<'_>, path: &KeyPath, raw: raw::Model) -> Model {
    let raw = match raw {
        raw::Model::Plain(name) => {
            check_name(check, path, &name);
            return Model {
                upstream: name.clone(),
                name,
                strip: Vec::new(),
                set: BTreeMap::new(),
            };
        }
        raw::Model::Table(table) => table,
    };
    check_name(check, &path.key("name"), &raw.name);
    if let Some(upstream) = &raw.upstream {
        check_name(check, &path.key("upstream"), upstream);
    }
    let strip_path = path.key("strip");
    for (index, key) in raw.strip.iter().enumerate() {
        let path = strip_path.index(index);
        if key == "model" {
            check.error(&path, "must not be the model: `upstream` renames it");
        } else if raw.strip[..index].contains(key) {
            check.error(&path, "is listed twice");
        } else if raw.set.contains_key(key) {
            check.error(&path, "is in `set` too, which replaces what a client sends");
        }
    }
    if raw.set.contains_key("model") {
        let rule = "must not be set: `upstream` renames the model";
        check.error(&path.key("set").key("model"), rule);
    }
    Model {
        upstream: raw.upstream.unwrap_or_else(|| raw.name.clone()),
        name: raw.name,
        strip: raw.strip,
        set: raw.set,
    }
}

fn check_name(check: &mut Check<'_>, path: &KeyPath, name: &str) {
    let length = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) {
        let rule = format!("must have 1 to {NAME_CHARS_MAX} characters");
        check.error(path, rule);
    } else if name.trim() != name || name.chars().any(char::is_control) {
        let rule = "must have no control characters, and no spaces at its ends";
        check.error(path, rule);
    }
}

/// What is done to know tokens: workers are asked for them at the front door alone.
pub(super) fn token_usage(
    check: &mut Check<'_>,
    service: &KeyPath,
    raw: Option<TokenUsage>,
    models: &[Model],
) -> TokenUsage {
    let models_path = service.key("models");
    if raw == Some(TokenUsage::Ask) && models.is_empty() && !check.touches(&models_path) {
        let rule = format!(
            "is for requests at the front door, and the service has no models: `{models_path}`; \"read\" reads answers"
        );
        check.error(&service.key("token_usage"), rule);
    }
    raw.unwrap_or(match models.is_empty() {
        true => TokenUsage::Off,
        false => TokenUsage::Ask,
    })
}

/// Reports what is for the front door of a service that has no models there.
pub(super) fn check_stream(check: &mut Check<'_>, service: &KeyPath, checked: &Service) {
    let is_set = checked.queue.begin_stream_after.is_some();
    if is_set && checked.models.is_empty() && !check.touches(&service.key("models")) {
        let rule = format!(
            "is for requests at the front door, and the service has no models: `{}`",
            service.key("models")
        );
        check.error(&service.key("queue").key("begin_stream_after"), rule);
    }
}

/// Reports keys for models that the service does not have.
pub(super) fn check_keys(check: &mut Check<'_>, service: &KeyPath, checked: &Service) {
    let names: Vec<_> = checked.models.iter().map(|model| &*model.name).collect();
    for (key, settings) in &checked.access.api_keys {
        let path = service.key("api_keys").key(key).key("models");
        for (index, name) in settings.models.iter().flatten().enumerate() {
            let path = path.index(index);
            if names.contains(&&**name) {
                if settings
                    .models
                    .iter()
                    .flatten()
                    .take(index)
                    .any(|other| other == name)
                {
                    check.error(&path, "is listed twice");
                }
                continue;
            }
            if check.touches(&service.key("models")) {
                continue;
            }
            let rule = match suggest::similar(name, names.iter().copied()) {
                Some(similar) => {
                    format!("the service has no such model; did you mean \"{similar}\"?")
                }
                None if names.is_empty() => {
                    format!("the service has no models: `{}`", service.key("models"))
                }
                None => format!("the service has no such model; it has {}", listed(&names)),
            };
            check.error(&path, rule);
        }
    }
}

/// `"a", "b" and 3 more`.
fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_SHOWN);
    let shown: Vec<_> = shown.map(|name| format!("{name:?}")).collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Rules about all services: each model is in one of them, and the front door has its hosts to itself.
pub(super) fn check_together(
    check: &mut Check<'_>,
    root: &KeyPath,
    services: &BTreeMap<ServiceName, Arc<Service>>,
    front_door: &FrontDoor,
) {
    let services_path = root.key("services");
    let mut seen: HashMap<&str, KeyPath> = HashMap::new();
    let mut has_models = false;
    for service in services.values() {
        let path = services_path.key(service.name.as_str()).key("models");
        has_models = has_models || !service.models.is_empty() || check.touches(&path);
        for (index, model) in service.models.iter().enumerate() {
            let path = path.index(index);
            if let Some(first) = seen.get(&*model.name) {
                let (first, place) = (check.in_file(first), check.place(first));
                check.error(&path, format!("is the name of {first} too ({place})"));
            } else {
                seen.insert(&model.name, path);
            }
        }
    }
    let path = root.key("front_door");
    if has_models {
        check_hosts(check, &path.key("hosts"), services, front_door);
    } else if check.has(&path) {
        let rule = "leads nowhere: no service has `models`";
        check.error_without_value(&path, rule);
    }
}

fn check_hosts(
    check: &mut Check<'_>,
    path: &KeyPath,
    services: &BTreeMap<ServiceName, Arc<Service>>,
    front_door: &FrontDoor,
) {
    let all = services.values().flat_map(|service| {
        let of_deployments = service.deployments.values().map(|d| &d.host);
        let hosts = service.hosts.iter().chain(of_deployments);
        hosts.map(|host| (host.as_str(), &service.name))
    });
    let owners: HashMap<_, _> = all.collect();
    for (index, host) in front_door.hosts.iter().enumerate() {
        let Some(owner) = owners.get(&**host) else {
            continue;
        };
        if front_door.takes_others {
            let rule = format!(
                "must be there: the front door's own host, \"{host}\", leads to service \"{owner}\""
            );
            check.missing(path, &rule);
        } else {
            let rule = format!("leads to service \"{owner}\" already");
            check.error(&path.index(index), rule);
        }
    }
}
