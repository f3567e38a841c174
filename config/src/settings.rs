//! The whole checked configuration, and the settings that belong to no service.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use crate::{Admin, Certificate, Containers, Gpus, ListenerTls, Service, ServiceName};

/// A whole configuration that cannot be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Second part of every service's host name.
    pub region: String,
    /// Last part of every service's host name.
    pub domain: String,
    /// Addresses the gateway accepts on; never empty, no address twice (but for port 0).
    pub listeners: Vec<Listener>,
    /// API and metrics.
    pub admin: Admin,
    /// Settings of the data plane.
    pub gateway: GatewaySettings,
    /// The GPUs that workers may be given.
    pub gpus: Gpus,
    /// The engine that runs containers.
    pub containers: Containers,
    /// Where the output of workers goes.
    pub worker_logs: WorkerLogs,
    /// The services by name. Empty only when the file includes others.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
}

impl Config {
    /// The certificates of all listeners.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        let all = self
            .listeners
            .iter()
            .filter_map(|listener| listener.tls.as_ref());
        all.flat_map(|tls| &tls.certificates)
    }
}

/// An address the gateway accepts on.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// IP address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Networks (address and prefix length) of the proxies whose connections begin with a PROXY protocol
    /// header, version 1 or 2, that tells the client's address. Empty: no connection begins with one.
    pub proxy_protocol: Vec<(IpAddr, u8)>,
    /// HTTPS with these certificates; `None`: HTTP without TLS.
    pub tls: Option<ListenerTls>,
    /// The port that requests are redirected to, by HTTPS; `None`: they are served.
    pub redirect_https: Option<u16>,
}

/// Settings of the data plane that belong to no service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Worker threads, at least 1. The number of cores when the user gave none.
    pub threads: usize,
    /// Longest wait for requests in flight at shutdown.
    pub drain_timeout: Duration,
    /// Limits of a request's head and of a connection.
    pub limits: RequestLimits,
    /// The access log.
    pub access_log: AccessLog,
    /// Networks whose `X-Forwarded-*`, `Forwarded` and `x-request-id` are believed: address and prefix length.
    pub trusted_proxies: Vec<(IpAddr, u8)>,
    /// Whether clients are told what only the operator needs to know of an error.
    pub error_details: bool,
}

/// Limits of a request's head and of a downstream connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// From the first byte of a connection or request until its head is complete.
    pub header_timeout: Duration,
    /// Longest request head in bytes, request line included.
    pub max_header_bytes: usize,
    /// Most header fields.
    pub max_headers: usize,
    /// How long a downstream connection may stay without a request.
    pub idle_timeout: Duration,
    /// Most concurrent streams of one HTTP/2 connection.
    pub max_streams: u32,
    /// First bits of an IPv6 address by which clients are told apart, 32 to 128.
    pub ipv6_prefix: u8,
    /// Most connections of clients at once; `None`: as many as the descriptor limit has room for.
    pub max_connections: Option<usize>,
    /// Most of them from one address; `None`: half of all.
    pub max_connections_per_address: Option<usize>,
}

/// The access log: one line per request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it is written.
    pub to: AccessLogTo,
    /// Form of a line.
    pub format: LogFormat,
    /// Whether lines hold the query of the URL.
    pub query: bool,
}

/// Where the access log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTo {
    /// None is written.
    Nowhere,
    /// The user has not said it: to standard output, or to this file (absolute path) where that is a
    /// terminal.
    Unasked(PathBuf),
    /// To standard output.
    Stdout,
    /// Appended to a file, absolute path; opened again on SIGHUP.
    File(PathBuf),
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where the output of workers goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLogs {
    /// Folder of the log files, absolute.
    pub directory: PathBuf,
    /// Size in bytes at which a file is rotated.
    pub max_bytes: u64,
    /// Rotated files kept per worker slot.
    pub keep: u32,
}
