//! The state as the console has it: the status, in a form of which the difference from one second to the
//! next is small.
//!
//! Lists of things with names become objects by name, ages become times since when, and what is null is
//! left out.

use serde_json::{Map, Value, json};

use crate::{
    history::{History, STEP_MS},
    status::{GpuGroupStatus, Status},
};

/// How much the beginning of something may seem to move before it is believed, in milliseconds: an age is
/// measured anew each time.
const JITTER_MS: u64 = 1_500;

/// Load of deployments, each by its service and its name.
pub(super) type Rates = Vec<(String, String, Value)>;

/// What the newest samples say, in numbers per second.
pub(super) fn rates(history: &History) -> Rates {
    let of = |(key, sample): (&crate::core::Key, &crate::history::Sample)| {
        let per_second = |count: u32| short(f64::from(count) * 1_000.0 / STEP_MS as f64);
        let seconds = |seconds: f32| (!seconds.is_nan()).then(|| short(f64::from(seconds)));
        let mut rates = json!({
            "requests": per_second(sample.requests),
            "errors": per_second(sample.errors),
            "wait": seconds(sample.wait),
            "first_byte": seconds(sample.first_byte_p95),
        });
        without_nulls(&mut rates);
        (key.service.to_string(), key.deployment.to_string(), rates)
    };
    history.newest().map(of).collect()
}

/// The state; `before` is the last one.
pub(super) fn state(status: &Status, rates: &Rates, before: Option<&Value>) -> Value {
    let mut state = serde_json::to_value(status).unwrap_or_default();
    without_nulls(&mut state);
    by_name(&mut state, "services", "name");
    let at_ms = now_ms();
    state["at_ms"] = at_ms.into();
    let Some(services) = state["services"].as_object_mut() else {
        return state;
    };
    for (name, service) in services.iter_mut() {
        let known = before.map(|before| &before["services"][name]["deployments"]);
        by_name(service, "deployments", "name");
        let Some(deployments) = service["deployments"].as_object_mut() else {
            continue;
        };
        for (name, deployment) in deployments.iter_mut() {
            let known = known.map(|known| &known[name]);
            by_name(deployment, "workers", "id");
            let workers = deployment["workers"].as_object_mut();
            for (id, worker) in workers.into_iter().flatten() {
                let known = known.map(|known| &known["workers"][id]["since_ms"]);
                since(worker, "age", "since_ms", at_ms, known);
            }
            if let Some(exit) = deployment.get_mut("last_exit") {
                let known = known.map(|known| &known["last_exit"]["at_ms"]);
                since(exit, "seconds_ago", "at_ms", at_ms, known);
            }
        }
    }
    for (service, deployment, rates) in rates {
        let deployments = services
            .get_mut(service)
            .map(|service| &mut service["deployments"]);
        if let Some(known) = deployments.and_then(|known| known.get_mut(deployment)) {
            known["rates"] = rates.clone();
        }
    }
    state
}

/// What somebody may know of a state who may know of those services alone of which `sees` says yes.
pub(super) fn part(state: &Value, sees: impl Fn(&str) -> bool) -> Value {
    let mut part = Map::new();
    for (name, value) in state.as_object().into_iter().flatten() {
        let value = match (name.as_str(), value) {
            ("services", Value::Object(services)) => {
                let seen = services.iter().filter(|(name, _)| sees(name));
                seen.map(|(name, service)| (name.clone(), service.clone()))
                    .collect()
            }
            ("gpus", gpus) => {
                let groups = serde_json::from_value::<Vec<GpuGroupStatus>>(gpus.clone());
                let mut groups = groups.unwrap_or_default();
                groups.retain_mut(|group| group.keep_only(&sees));
                json!(groups)
            }
            // Errors and certificates of the configuration are about all services.
            ("config", _) => continue,
            _ => value.clone(),
        };
        part.insert(name.clone(), value);
    }
    part.into()
}

/// Replaces an age in seconds by the time since when, which stays what it is `known` to be unless it moved.
fn since(of: &mut Value, age: &str, name: &str, at_ms: u64, known: Option<&Value>) {
    let Some(Value::Number(age)) = of.as_object_mut().and_then(|of| of.remove(age)) else {
        return;
    };
    let began = at_ms.saturating_sub((age.as_f64().unwrap_or_default() * 1_000.0) as u64);
    let known = known.and_then(Value::as_u64);
    let began = known
        .filter(|known| known.abs_diff(began) < JITTER_MS)
        .unwrap_or(began);
    of[name] = began.into();
}

/// Makes of a list of objects an object of them, by what each has under `key`.
fn by_name(of: &mut Value, list: &str, key: &str) {
    let Some(Value::Array(items)) = of.get_mut(list).map(Value::take) else {
        return;
    };
    let named = |item: Value| Some((item[key].as_str()?.to_owned(), item));
    of[list] = Value::Object(items.into_iter().filter_map(named).collect());
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let all: Map<String, Value> = std::mem::take(members);
            members.extend(all.into_iter().filter(|(_, member)| !member.is_null()));
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// Three figures: nobody reads more, and what has not changed by as much need not be sent.
fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let unit = 10_f64.powf(2.0 - value.abs().log10().floor());
    (value * unit).round() / unit
}

#[allow(clippy::disallowed_methods, reason = "when the state was read")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(age: f64) -> Status {
        let worker = json!({
            "id": "w1", "slot": 0, "state": "ready", "address": null, "in_flight": 0,
            "age": age, "outdated": false, "probe_failure": null,
        });
        let mut deployment = json!({
            "name": "main", "host": null, "weight": 1, "file_weight": 1, "rollout": null,
            "removed": false, "phase": "warm", "phase_reason": null, "no_room": null,
            "last_exit": { "seconds_ago": age, "reason": "exit status 1" }, "workers": [worker],
        });
        let rest = json!({
            "desired": 1, "min": 0, "max": 1, "in_flight": 0, "queued": 0, "reason": "steady",
            "reason_text": "", "wishes": [], "clamps": [], "start_estimate": null,
        });
        let members = deployment.as_object_mut().unwrap();
        members.extend(rest.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "generation": 3,
            "gateway_generation": null,
            "config": { "hash": "", "loaded_at_ms": 1, "last_error": null },
            "services": [{
                "name": "chat", "display_name": "<b>", "hosts": [], "removed": false,
                "by_hand": null, "deployments": [deployment],
            }],
        }))
        .unwrap()
    }

    #[test]
    fn things_are_found_by_name_and_what_only_grows_older_does_not_change() {
        let rates = vec![(
            "chat".to_owned(),
            "main".to_owned(),
            json!({ "requests": 1.5 }),
        )];
        let first = state(&status(100.0), &rates, None);
        let main = &first["services"]["chat"]["deployments"]["main"];
        assert_eq!(main["rates"]["requests"], 1.5);
        assert!(main["workers"]["w1"]["since_ms"].is_u64());
        assert!(main["workers"]["w1"].get("age").is_none());
        assert!(main.get("host").is_none(), "{main}");
        // The clock that this reads has hardly moved: a later age within the jitter is the same beginning.
        let mut second = state(&status(100.9), &rates, Some(&first));
        second["at_ms"] = first["at_ms"].clone();
        assert_eq!(first, second);
        let other = state(&status(3.0), &rates, Some(&first));
        assert_ne!(first["services"], other["services"]);
    }

    #[test]
    fn three_figures_are_kept() {
        for (value, wanted) in [
            (0.0, 0.0),
            (1234.0, 1230.0),
            (0.012_345, 0.0123),
            (9.999, 10.0),
        ] {
            assert!(
                (short(value) - wanted).abs() < 1e-9,
                "{value}: {}",
                short(value)
            );
        }
    }
}
