//! `queue` of a service.

use super::{Check, request_key::request_key};
use crate::{Access, Queue, Service, key_path::KeyPath, raw};

pub(super) fn queue(
    check: &mut Check<'_>,
    service: &KeyPath,
    raw: raw::Queue,
    access: &Access,
) -> Queue {
    let path = service.key("queue");
    let classes_path = path.key("classes");
    let header_path = path.key("class_header");
    let classes_are_wrong = check.touches(&classes_path);
    if raw.classes.is_empty() && raw.class_header.is_some() && !classes_are_wrong {
        let rule = "there are no classes it could name: `classes = { batch = \"30s\" }`";
        check.error(&header_path, rule);
    }
    let keys_path = service.key("api_keys");
    let used = raw.class_header.is_some()
        || access.api_keys.values().any(|key| key.class.is_some())
        || check.touches(&header_path)
        || check.touches(&keys_path);
    if !raw.classes.is_empty() && !used {
        let rule = "no request would have a class: set `class_header`, or `class` of an API key";
        check.error_without_value(&classes_path, rule);
    }
    let fair_by = raw.fair_by.map(|key| {
        let path = path.key("fair_by");
        request_key(check, &path, key, &keys_path, Some(access))
    });
    Queue {
        max_requests: raw.max_requests as usize,
        max_wait: raw.max_wait.0,
        shed_early: raw.shed_early,
        headers: raw.headers,
        begin_stream_after: raw.begin_stream_after.map(|after| after.0),
        classes: raw
            .classes
            .into_iter()
            .map(|(name, delay)| (name, delay.0))
            .collect(),
        class_header: raw.class_header.map(|name| name.0),
        fair_by,
    }
}

/// The class of each API key is one of the queue's.
pub(super) fn check_classes(check: &mut Check<'_>, path: &KeyPath, service: &Service) {
    let classes = &service.queue.classes;
    let known = || classes.keys().map(String::as_str);
    for (name, key) in &service.access.api_keys {
        let Some(class) = &key.class else { continue };
        if classes.contains_key(class) || check.touches(&path.key("queue")) {
            continue;
        }
        let rule = match crate::suggest::similar(class, known()) {
            Some(similar) => format!("there is no such class; did you mean \"{similar}\"?"),
            None if classes.is_empty() => format!(
                "there are no classes: [{}] classes = {{ {class} = \"30s\" }}",
                path.key("queue")
            ),
            None => {
                let known: Vec<_> = known().map(|name| format!("\"{name}\"")).collect();
                format!("there is no such class; there is {}", known.join(", "))
            }
        };
        check.error(&path.key("api_keys").key(name).key("class"), rule);
    }
}

/// A queue without places wakes nobody.
pub(super) fn check_waking(check: &mut Check<'_>, path: &KeyPath, service: &Service) {
    let asleep = service
        .deployments
        .values()
        .find(|deployment| deployment.scaling.min == 0 && !deployment.source.is_fixed());
    if let (0, Some(deployment)) = (service.queue.max_requests, asleep) {
        let rule = format!(
            "must be at least 1: with `min = 0`, deployment \"{}\" needs a waiting request to wake it",
            deployment.name
        );
        check.error(&path.key("queue").key("max_requests"), rule);
    }
}
