//! Settings that are written as text and have a form of their own. Each is a type, so that its rule
//! is the same wherever it is used; in the schema it is a `format`, by which `structure` finds the
//! rule again.

mod host;
mod http;
mod key_hash;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use croner::Cron;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Metric, ServiceName, scaling::schedule, units};

/// The format of names of services and deployments.
const NAME_FORMAT: &str = "penstock-name";

/// Schema of the keys of `services` and `deployments`.
pub(crate) fn name_schema() -> Schema {
    json_schema!({
        "type": "string",
        "format": NAME_FORMAT,
        "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
        "maxLength": 30
    })
}

/// Schema of a name somewhere else than as a key.
pub(crate) fn schema_of_names(_: &mut SchemaGenerator) -> Schema {
    name_schema()
}

/// Schema of keys that are names of headers.
pub(crate) fn header_name_schema() -> Schema {
    HeaderName::json_schema(&mut SchemaGenerator::default())
}

/// Schema of keys that are names of cookies.
pub(crate) fn cookie_name_schema() -> Schema {
    CookieName::json_schema(&mut SchemaGenerator::default())
}

macro_rules! text_types {
    ($($(#[$doc:meta])* $name:ident($inner:ty): $format:literal, $pattern:literal, $parse:path, $show:path;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            #[serde(try_from = "String", into = "String")]
            pub(crate) struct $name(pub(crate) $inner);

            impl TryFrom<String> for $name {
                type Error = String;
                fn try_from(text: String) -> Result<Self, String> {
                    $parse(&text).map(Self)
                }
            }

            impl From<$name> for String {
                fn from(value: $name) -> Self {
                    $show(&value.0)
                }
            }

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
                fn inline_schema() -> bool {
                    true
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({ "type": "string", "format": $format, "pattern": $pattern })
                }
            }
        )*

        /// Whether a text has the format, by the same function that reads it later.
        pub(crate) fn check_format(format: &str, text: &str) -> Result<(), String> {
            match format {
                $($format => $parse(text).map(drop),)*
                super::WorkerPart::FORMAT => super::WorkerPart::parse(text).map(drop),
                ByteSize::FORMAT => units::parse_size(text).map(drop),
                NAME_FORMAT => ServiceName::try_from(text).map(drop).map_err(|e| e.to_string()),
                // Formats of schemars itself, of numbers.
                _ => Ok(()),
            }
        }
    };
}

text_types! {
    /// A duration that may be zero.
    HumanDuration(Duration): "penstock-duration",
        r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$", units::parse_duration, show_duration;
    /// A duration above zero.
    PositiveDuration(Duration): "penstock-duration-above-zero",
        r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$", parse_positive_duration, show_duration;
    /// IP address and port.
    SocketAddress(SocketAddr): "penstock-socket-address",
        r"^[0-9a-fA-F.:\[\]]+:\d+$", parse_socket_address, ToString::to_string;
    /// IP address and prefix length.
    Network((IpAddr, u8)): "penstock-network",
        r"^[0-9a-fA-F.:]+(/\d+)?$", parse_network, show_network;
    /// `host:port`, or a URL without a path.
    WorkerAddress(host::WorkerUrl): "penstock-worker-address",
        r"^[^:/]+:\d+$|^\[[0-9a-fA-F.:]+\]:\d+$|^[Hh][Tt][Tt][Pp][Ss]://([^:/]+|\[[0-9a-fA-F.:]+\])(:\d+)?/?$",
        host::parse_worker, host::show_worker;
    /// Host of a URL, lower case, without port; or a wildcard.
    HostName(String): "penstock-host",
        r"^(\*\.)?[^/*]+$", host::parse_host, Clone::clone;
    /// One part of a host name, lower case.
    DnsLabel(String): "penstock-dns-label",
        r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$", host::parse_label, Clone::clone;
    /// Host name without port, lower case.
    DnsName(String): "penstock-dns-name",
        r"^[A-Za-z0-9.-]+$", host::parse_name, Clone::clone;
    /// When a schedule begins.
    CronText(Box<Cron>): "penstock-cron",
        r"^\S+( +\S+){4}$", schedule::parse_cron, schedule::show_cron;
    /// Name of a time zone.
    TimeZoneName(TimeZone): "penstock-time-zone",
        r"^[A-Za-z0-9_+/-]+$", schedule::parse_time_zone, schedule::show_time_zone;
    /// Name of a scaling metric.
    MetricName(Metric): "penstock-metric",
        r"^[a-z0-9_]+$|^worker:[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})?$", Metric::parse, ToString::to_string;
    /// Path of a URL.
    UrlPath(String): "penstock-url-path",
        r"^/[^\s#]*$", host::parse_path, Clone::clone;
    /// Name of a header, lower case.
    HeaderName(String): "penstock-header-name",
        r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", http::parse_header_name, Clone::clone;
    /// Name of a cookie.
    CookieName(String): "penstock-cookie-name",
        r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", http::parse_cookie_name, Clone::clone;
    /// Name of a query parameter, as it stands in URLs.
    QueryName(String): "penstock-query-name",
        r"^[^&=#\s]+$", http::parse_query_name, Clone::clone;
    /// HTTP method, in capitals.
    Method(String): "penstock-method",
        r"^[!#$%&'*+.^_`|~0-9A-Z-]+$", http::parse_method, Clone::clone;
    /// SHA-256 of an API key.
    KeyHash([u8; 32]): "penstock-key-hash",
        r"^[0-9A-Fa-f]{64}$", key_hash::parse, key_hash::show;
}

/// For a plain [`Duration`] in a type that file and program share: written as a [`PositiveDuration`].
pub(crate) mod above_zero {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::PositiveDuration;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        PositiveDuration(*value).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Ok(PositiveDuration::deserialize(from)?.0)
    }
}

/// The same where there may be none.
pub(crate) mod above_zero_if_any {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::PositiveDuration;

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(PositiveDuration).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<PositiveDuration>::deserialize(from)?.map(|duration| duration.0))
    }
}

/// For a plain [`Duration`] that may be zero: written as a [`HumanDuration`].
pub(crate) mod human {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::HumanDuration;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        HumanDuration(*value).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Ok(HumanDuration::deserialize(from)?.0)
    }
}

fn show_duration(duration: &Duration) -> String {
    units::format_duration(*duration)
}

fn parse_positive_duration(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

fn parse_socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        if text.starts_with(':') {
            format!("must be an IP address and a port; for all addresses write \"0.0.0.0{text}\"")
        } else {
            "must be an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\""
                .to_owned()
        }
    })
}

fn parse_network(text: &str) -> Result<(IpAddr, u8), String> {
    let rule = "must be a network such as \"10.0.0.0/8\", or one IP address";
    let (address, prefix) = text
        .split_once('/')
        .map_or((text, None), |(a, p)| (a, Some(p)));
    let address: IpAddr = address.parse().map_err(|_| rule)?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|prefix| *prefix <= bits)
            .ok_or(rule)?,
    };
    let network = first_address(address, prefix);
    if network != address {
        return Err(format!(
            "has bits set beyond its prefix; write \"{network}/{prefix}\""
        ));
    }
    Ok((address, prefix))
}

/// The address with all bits after the prefix cleared.
pub(crate) fn first_address(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

fn show_network((address, prefix): &(IpAddr, u8)) -> String {
    format!("{address}/{prefix}")
}

/// A size: text with a unit, or a whole number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TextOrNumber", into = "String")]
pub(crate) struct ByteSize(pub(crate) u64);

impl ByteSize {
    const FORMAT: &str = "penstock-size";
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(u64),
}

impl TryFrom<TextOrNumber> for ByteSize {
    type Error = String;
    fn try_from(value: TextOrNumber) -> Result<Self, String> {
        match value {
            TextOrNumber::Text(text) => units::parse_size(&text).map(Self),
            TextOrNumber::Number(bytes) => Ok(Self(bytes)),
        }
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        units::format_size(size.0)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "format": Self::FORMAT,
            "pattern": r"^\d+([KMGT]?B|[KMGT]iB)?$",
            "minimum": 0
        })
    }
}
