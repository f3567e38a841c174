//! Tables that belong to no service.

use std::{collections::HashSet, net::IpAddr, thread};

use super::{Check, service::Domain, tls};
use crate::{
    AccessLog, AccessLogTo, GatewaySettings, Listener, LogFormat, RequestLimits, WorkerLogs,
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
        .enumerate()
        .map(|(index, listener)| {
            let path = path.index(index);
            Listener {
                address: listener.address.0,
                proxy_protocol: proxy_protocol(check, &path, &listener.proxy_protocol),
                tls: tls::listener(check, &path, listener),
                redirect_https: tls::redirect(check, &path, listener),
            }
        })
        .collect()
}

/// Whoever may write PROXY headers may claim to be any client, so nobody is believed by default.
fn proxy_protocol(
    check: &mut Check<'_>,
    listener: &KeyPath,
    proxies: &raw::ProxyProtocol,
) -> Vec<(IpAddr, u8)> {
    match proxies {
        raw::ProxyProtocol::Switch(false) => Vec::new(),
        raw::ProxyProtocol::Switch(true) => {
            let rule = "must name the proxies whose headers are believed: [\"10.0.0.0/8\"]";
            check.error(&listener.key("proxy_protocol"), rule);
            Vec::new()
        }
        raw::ProxyProtocol::From(networks) => networks.iter().map(|network| network.0).collect(),
    }
}

pub(super) fn gateway(
    check: &mut Check<'_>,
    path: &KeyPath,
    gateway: raw::Gateway,
    logs: &WorkerLogs,
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
            ipv6_prefix: limits.ipv6_prefix,
            max_connections: limits.max_connections.map(|most| most as usize),
            max_connections_per_address: limits
                .max_connections_per_address
                .map(|most| most as usize),
        },
        error_details: gateway.error_details,
        access_log: access_log(check, path, gateway.access_log, logs),
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

/// Name of the access log in the folder of the workers' logs, when the user has not said where it goes.
const ACCESS_LOG: &str = "access.log";

fn access_log(
    check: &Check<'_>,
    path: &KeyPath,
    log: Option<raw::AccessLog>,
    logs: &WorkerLogs,
) -> AccessLog {
    let stdout = |format| AccessLog {
        to: AccessLogTo::Stdout,
        format,
        query: false,
    };
    match log {
        None => AccessLog {
            to: AccessLogTo::Unasked(logs.directory.join(ACCESS_LOG)),
            ..stdout(LogFormat::Text)
        },
        Some(raw::AccessLog::Choice(raw::AccessLogChoice::Off)) => AccessLog {
            to: AccessLogTo::Nowhere,
            ..stdout(LogFormat::Text)
        },
        Some(raw::AccessLog::Choice(raw::AccessLogChoice::Text)) => stdout(LogFormat::Text),
        Some(raw::AccessLog::Choice(raw::AccessLogChoice::Json)) => stdout(LogFormat::Json),
        Some(raw::AccessLog::Table(table)) => AccessLog {
            to: match table.path {
                Some(file) => AccessLogTo::File(check.absolute(path, &file)),
                None => AccessLogTo::Stdout,
            },
            format: match table.format {
                raw::LogFormat::Text => LogFormat::Text,
                raw::LogFormat::Json => LogFormat::Json,
            },
            query: table.query,
        },
    }
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
