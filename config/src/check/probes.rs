//! `probes` of a deployment.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Check,
    process::{
        check_command,
        placeholder::{self, Filled},
    },
};
use crate::{Probe, ProbeKind, Probes, Protocol, Source, key_path::KeyPath, raw};

/// A fresh worker is asked at once, and then every 100 ms: a delay before the first `startup` or
/// `ready` probe would be added to every cold start.
const START_DELAY: Duration = Duration::ZERO;

/// Liveness matters only to workers that run already; the second keeps a failing worker from being
/// judged in the instant it got ready.
const LIVE_DELAY: Duration = Duration::from_secs(1);

pub(super) fn probes(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::Probes,
    source: &Source,
    protocol: Protocol,
) -> Probes {
    if matches!(source, Source::Container(_)) {
        refuse_commands(check, path, &raw);
    }
    let asks_nothing = raw.ready.as_ref().is_some_and(is_off);
    let mut one = |name, raw: Option<raw::Probe>, delay| {
        raw.and_then(|raw| probe(check, &path.key(name), raw, delay))
    };
    let startup = one("startup", raw.startup, START_DELAY);
    let ready = raw.ready.filter(|_| !asks_nothing);
    let ready = one("ready", ready, START_DELAY);
    let live = one("live", raw.live, LIVE_DELAY);
    let ready = ready.or_else(|| (!asks_nothing).then(|| default_ready(source, protocol)));
    Probes {
        startup,
        ready,
        live,
    }
}

/// A command would run beside the container and not in it.
fn refuse_commands(check: &mut Check<'_>, path: &KeyPath, raw: &raw::Probes) {
    for (name, probe) in [
        ("startup", &raw.startup),
        ("ready", &raw.ready),
        ("live", &raw.live),
    ] {
        if probe.as_ref().is_some_and(|probe| probe.exec.is_some()) {
            let rule = "is not for containers: it would run on this machine and not in the \
                        container; ask by `http`, `tcp` or `grpc`";
            check.error_without_value(&path.key(name).key("exec"), rule);
        }
    }
}

/// `ready = { tcp = false }`.
fn is_off(raw: &raw::Probe) -> bool {
    raw.tcp == Some(false) && raw.http.is_none() && raw.exec.is_none() && raw.grpc.is_none()
}

/// A worker that listens is ready, if nobody says otherwise; a process that speaks HTTP may say that it is
/// still loading.
fn default_ready(source: &Source, protocol: Protocol) -> Probe {
    let raw = raw::Probe::default();
    Probe {
        kind: match (source, protocol) {
            (Source::Process(_) | Source::Container(_), Protocol::Http1) => ProbeKind::Loaded,
            _ => ProbeKind::Tcp,
        },
        initial_delay: START_DELAY,
        timeout: raw.timeout.0,
        period: raw.period.0,
        failures: raw.failures,
    }
}

/// `None` when there is an error.
fn probe(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::Probe,
    initial_delay: Duration,
) -> Option<Probe> {
    let given = [
        ("http", raw.http.is_some()),
        ("tcp", raw.tcp.is_some()),
        ("exec", raw.exec.is_some()),
        ("grpc", raw.grpc.is_some()),
    ];
    check.exactly_one(path, &given);
    if raw.tcp == Some(false) {
        check.error(
            &path.key("tcp"),
            "must be true; leave it out for another kind of probe",
        );
    }
    let http_is_wrong = check.touches(&path.key("http"));
    if !raw.headers.is_empty() && raw.http.is_none() && !http_is_wrong {
        check.error_without_value(&path.key("headers"), "headers are for `http` probes");
    }
    let headers = headers(check, &path.key("headers"), raw.headers);
    if let Some(http) = &raw.http {
        placeholder::check(check, &path.key("http"), &http.0, Filled::Nobody);
    }
    let kind = match (raw.http, raw.exec, raw.grpc) {
        (Some(http), _, _) => ProbeKind::Http {
            path: http.0,
            headers,
        },
        (_, Some(exec), _) => {
            let path = path.key("exec");
            check_command(check, &path, &exec);
            ProbeKind::Exec(check.program(&path, exec))
        }
        (_, _, Some(grpc)) => ProbeKind::Grpc(grpc),
        _ => ProbeKind::Tcp,
    };
    Some(Probe {
        kind,
        initial_delay: raw.initial_delay.map_or(initial_delay, |delay| delay.0),
        timeout: raw.timeout.0,
        period: raw.period.0,
        failures: raw.failures,
    })
}

pub(super) fn headers(
    check: &mut Check<'_>,
    path: &KeyPath,
    headers: BTreeMap<String, String>,
) -> Vec<(String, String)> {
    for (name, value) in &headers {
        let path = path.key(name);
        if http::HeaderName::try_from(name).is_err() {
            check.error_without_value(&path, "must have the name of an HTTP header");
        } else if http::HeaderValue::try_from(value).is_err() {
            check.error_without_value(&path, "must have a value that is allowed in an HTTP header");
        }
    }
    headers.into_iter().collect()
}
