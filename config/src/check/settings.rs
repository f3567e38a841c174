//! Tables that belong to no service.

use std::{collections::HashSet, net::SocketAddr, thread};

use super::{Check, service::Domain};
use crate::{
    AccessLog, Admin, GatewaySettings, Gpus, Listener, LogFormat, RequestLimits, WorkerLogs,
    key_path::KeyPath, raw, units,
};

/// A request head must fit hyper's read buffer, which takes no less than 8 KiB; more than 16 MiB
/// for each connection is an attack.
const HEADER_BYTES: std::ops::RangeInclusive<u64> = 8 << 10..=16 << 20;

/// A log file that is rotated after fewer bytes holds too little to be of use.
const LOG_BYTES_MIN: u64 = 4 << 10;

/// Room that `{deployment}--{service}` and two dots may take of the 253 characters of a DNS name.
const NAME_ROOM: usize = 30 + 2 + 30 + 2;

pub(super) fn check_domain(check: &mut Check<'_>, root: &KeyPath, domain: &Domain<'_>) {
    let max = 253 - NAME_ROOM;
    if domain.region.len() + domain.name.len() > max {
        let rule = format!("must be at most {max} characters long together with `region`");
        check.error(&root.key("domain"), rule);
    }
}

pub(super) fn listeners(
    check: &mut Check<'_>,
    path: &KeyPath,
    listeners: &[raw::Listener],
) -> Vec<Listener> {
    if listeners.is_empty() {
        let rule = "there must be at least one: [[listeners]] with address = \"127.0.0.1:8080\"";
        check.missing(path, rule);
    }
    let mut seen = HashSet::new();
    for (index, listener) in listeners.iter().enumerate() {
        let address = listener.address.0;
        if address.port() != 0 && !seen.insert(address) {
            check.error(
                &path.index(index).key("address"),
                "is the address of another listener too",
            );
        }
    }
    listeners
        .iter()
        .map(|listener| Listener {
            address: listener.address.0,
            proxy_protocol: listener.proxy_protocol,
        })
        .collect()
}

pub(super) fn admin(
    check: &mut Check<'_>,
    path: &KeyPath,
    admin: raw::Admin,
    listeners: &[Listener],
) -> Admin {
    let address: SocketAddr = admin.address.0;
    if address.port() != 0 && listeners.iter().any(|listener| listener.address == address) {
        check.error(&path.key("address"), "is the address of a listener too");
    }
    Admin {
        address,
        state: check.absolute(path, &admin.state),
    }
}

pub(super) fn gateway(
    check: &mut Check<'_>,
    path: &KeyPath,
    gateway: raw::Gateway,
) -> GatewaySettings {
    let limits = gateway.limits;
    let max_header_bytes = limits.max_header_bytes.0;
    if !HEADER_BYTES.contains(&max_header_bytes) {
        let [min, max] = [HEADER_BYTES.start(), HEADER_BYTES.end()].map(|b| units::format_size(*b));
        let rule = format!("must be at least {min} and at most {max}");
        check.error(&path.key("limits").key("max_header_bytes"), rule);
    }
    GatewaySettings {
        threads: gateway
            .threads
            .map_or_else(cores, |threads| threads as usize),
        drain_timeout: gateway.drain_timeout.0,
        limits: RequestLimits {
            header_timeout: limits.header_timeout.0,
            // Cannot saturate: it is in range, or there is an error.
            max_header_bytes: usize::try_from(max_header_bytes).unwrap_or(usize::MAX),
            max_headers: limits.max_headers as usize,
            idle_timeout: limits.idle_timeout.0,
            max_streams: limits.max_streams,
        },
        error_details: gateway.error_details,
        access_log: access_log(check, path, gateway.access_log),
        trusted_proxies: gateway
            .trusted_proxies
            .into_iter()
            .map(|network| network.0)
            .collect(),
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn access_log(check: &Check<'_>, path: &KeyPath, log: raw::AccessLog) -> AccessLog {
    match log {
        raw::AccessLog::Choice(raw::AccessLogChoice::Off) => AccessLog::Off,
        raw::AccessLog::Choice(raw::AccessLogChoice::Text) => AccessLog::Stdout(LogFormat::Text),
        raw::AccessLog::Choice(raw::AccessLogChoice::Json) => AccessLog::Stdout(LogFormat::Json),
        raw::AccessLog::File(file) => {
            let format = match file.format {
                raw::LogFormat::Text => LogFormat::Text,
                raw::LogFormat::Json => LogFormat::Json,
            };
            AccessLog::File(check.absolute(path, &file.path), format)
        }
    }
}

pub(super) fn gpus(check: &mut Check<'_>, path: &KeyPath, gpus: raw::Gpus) -> Gpus {
    let Some(devices) = gpus.devices else {
        return Gpus::Detect;
    };
    let path = path.key("devices");
    let mut seen = HashSet::new();
    for (index, device) in devices.iter().enumerate() {
        let well_formed = !device.is_empty()
            && device
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_/:.".contains(&b));
        if !well_formed {
            check.error(&path.index(index), "must be the index or UUID of one GPU");
        } else if !seen.insert(device) {
            check.error(&path.index(index), "is listed twice");
        }
    }
    Gpus::Devices(devices)
}

pub(super) fn worker_logs(
    check: &mut Check<'_>,
    path: &KeyPath,
    logs: raw::WorkerLogs,
) -> WorkerLogs {
    if logs.max_size.0 < LOG_BYTES_MIN {
        let rule = format!("must be at least {}", units::format_size(LOG_BYTES_MIN));
        check.error(&path.key("max_size"), rule);
    }
    WorkerLogs {
        directory: check.absolute(path, &logs.directory),
        max_bytes: logs.max_size.0,
        keep: logs.keep,
    }
}
