//! Tables that belong to no service.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ListenerTls, RedirectHttps,
    text::{ByteSize, HumanDuration, Network, PositiveDuration, SocketAddress},
};

/// An address the gateway accepts requests on: HTTP/1.1 and HTTP/2 on one port, with `tls` by HTTPS.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// IP address and port. Port 0 takes a free one.
    pub(crate) address: SocketAddress,
    /// Networks of the proxies in front of the gateway that tell the client's address by a PROXY protocol
    /// header, version 1 or 2, such as "10.0.0.0/8". Where there are some, connections from elsewhere and
    /// connections without such a header are closed. Default: none.
    #[serde(default)]
    pub(crate) proxy_protocol: ProxyProtocol,
    /// Serves HTTPS instead of HTTP. Default: none.
    #[serde(default)]
    pub(crate) tls: Option<ListenerTls>,
    /// Redirects every request to HTTPS: true for port 443, or the port that clients reach it at.
    /// Not for a listener with `tls`.
    #[serde(default)]
    pub(crate) redirect_https: RedirectHttps,
}

/// Whose PROXY protocol headers are believed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ProxyProtocol {
    /// `false`: nobody's.
    Switch(bool),
    /// Those from these networks.
    From(Vec<Network>),
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self::From(Vec::new())
    }
}

/// Settings of the gateway that belong to no service.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gateway {
    /// Threads that carry requests. Default: the number of cores.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) threads: Option<u32>,
    /// Longest wait for requests in flight at shutdown.
    pub(crate) drain_timeout: HumanDuration,
    /// Networks of proxies in front of the gateway whose X-Forwarded-*, Forwarded and X-Request-Id
    /// are believed, such as "10.0.0.0/8".
    pub(crate) trusted_proxies: Vec<Network>,
    /// Whether clients are told the cause of an error that the gateway answers: addresses of workers,
    /// names of programs, what a failed worker wrote, and the hosts there are. For development.
    pub(crate) error_details: bool,
    /// Limits of a request's head and of a connection.
    pub(crate) limits: Limits,
    /// One line per request: "off", "text" or "json" to standard output, or a table. Default: text to
    /// standard output, or to the file `access.log` in the folder of worker_logs where that is a
    /// terminal.
    pub(crate) access_log: Option<AccessLog>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            threads: None,
            drain_timeout: HumanDuration(Duration::from_secs(30)),
            trusted_proxies: Vec::new(),
            error_details: false,
            limits: Limits::default(),
            access_log: None,
        }
    }
}

/// Limits of a request's head and of a connection.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// From the first byte of a connection or request until its head is complete.
    pub(crate) header_timeout: PositiveDuration,
    /// Longest request head, request line included. 8KiB to 16MiB.
    pub(crate) max_header_bytes: ByteSize,
    /// Most header fields of a request.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max_headers: u32,
    /// How long a client's connection may stay without a request.
    pub(crate) idle_timeout: PositiveDuration,
    /// Most concurrent streams of one HTTP/2 connection.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_streams: u32,
    /// First bits of an IPv6 address by which clients are told apart in limits, in `fair_by` and in
    /// hashes: one client usually has all addresses of a /64.
    #[schemars(range(min = 32, max = 128))]
    pub(crate) ipv6_prefix: u8,
    /// Most connections of clients at once; then those that are idle for longest are closed for new ones.
    /// Default: as many as the limit of open files has room for, when each needs one more to a worker.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) max_connections: Option<u32>,
    /// Most of them from one address, or one IPv6 network of `ipv6_prefix`. Those of `trusted_proxies`
    /// are not counted. Default: half of `max_connections`.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) max_connections_per_address: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: PositiveDuration(Duration::from_secs(10)),
            max_header_bytes: ByteSize(64 << 10),
            max_headers: 100,
            idle_timeout: PositiveDuration(Duration::from_secs(75)),
            max_streams: 100,
            ipv6_prefix: 64,
            max_connections: None,
            max_connections_per_address: None,
        }
    }
}

/// The access log.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum AccessLog {
    /// None, or to standard output.
    Choice(AccessLogChoice),
    /// In detail.
    Table(AccessLogTable),
}

/// Whether and how the access log is written to standard output.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AccessLogChoice {
    Off,
    Text,
    Json,
}

/// An access log in detail.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessLogTable {
    /// Form of a line.
    #[serde(default = "json")]
    pub(crate) format: LogFormat,
    /// The file, which only its owner may read. Lines are appended; opened again on SIGHUP. Default:
    /// standard output.
    #[schemars(length(min = 1))]
    #[serde(default)]
    pub(crate) path: Option<PathBuf>,
    /// Whether lines hold the query of the URL, in which there may be keys and what users typed.
    #[serde(default)]
    pub(crate) query: bool,
}

/// A log file is read by machines more often than by people.
fn json() -> LogFormat {
    LogFormat::Json
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Where the output of workers goes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorkerLogs {
    /// Folder of the log files.
    #[schemars(length(min = 1))]
    pub(crate) directory: PathBuf,
    /// Size at which a file is rotated. At least 4KiB.
    pub(crate) max_size: ByteSize,
    /// Rotated files kept for each place of a worker.
    #[schemars(range(max = 1000))]
    pub(crate) keep: u32,
}

impl Default for WorkerLogs {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("penstock-logs"),
            max_size: ByteSize(16 << 20),
            keep: 3,
        }
    }
}
