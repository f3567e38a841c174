//! Which fields a request has, of those that mean something to the gateway.

use std::ops::BitOr;

use http::{
    HeaderMap, HeaderName,
    header::{
        CONNECTION, CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
        UPGRADE,
    },
};

use super::{forwarded, hop_by_hop, own};

/// The fields that a request has, or groups of them. One walk over the names costs less than looking
/// for each of ours by itself; most requests have hardly any.
///
/// What is not named is not there. What is named may have been removed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Named(u16);

impl Named {
    pub(crate) const CONNECTION: Self = Self(1);
    pub(crate) const CONTENT_TYPE: Self = Self(1 << 1);
    pub(crate) const COOKIE: Self = Self(1 << 2);
    pub(crate) const GRPC_TIMEOUT: Self = Self(1 << 3);
    pub(crate) const HOST: Self = Self(1 << 4);
    pub(crate) const TE: Self = Self(1 << 5);
    pub(crate) const TRANSFER_ENCODING: Self = Self(1 << 6);
    pub(crate) const UPGRADE: Self = Self(1 << 7);
    /// `traceparent` or `tracestate`.
    pub(super) const TRACE: Self = Self(1 << 8);
    /// Fields that end at the gateway, beside those that `Connection` names.
    pub(super) const ENDS_HERE: Self = Self(1 << 9);
    /// What the client says about hops before it.
    pub(super) const CLAIMS: Self = Self(1 << 10);
    /// What only the gateway itself may say.
    pub(super) const OWN: Self = Self(1 << 11);

    /// Looks at every name.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers
            .keys()
            .map(Self::one)
            .fold(Self::default(), BitOr::bitor)
    }

    /// Whether the request may have one of these.
    pub(crate) fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    fn one(name: &HeaderName) -> Self {
        match *name {
            CONNECTION => Self::CONNECTION,
            CONTENT_TYPE => Self::CONTENT_TYPE,
            COOKIE => Self::COOKIE,
            HOST => Self::HOST,
            TE => Self::TE | Self::ENDS_HERE,
            TRANSFER_ENCODING => Self::TRANSFER_ENCODING | Self::ENDS_HERE,
            UPGRADE => Self::UPGRADE | Self::ENDS_HERE,
            EXPECT | PROXY_AUTHORIZATION => Self::ENDS_HERE,
            _ => Self::by_text(name),
        }
    }

    fn by_text(name: &HeaderName) -> Self {
        match name.as_str() {
            "grpc-timeout" => Self::GRPC_TIMEOUT,
            "traceparent" | "tracestate" => Self::TRACE,
            _ if hop_by_hop::ends_here(name) => Self::ENDS_HERE,
            _ if forwarded::is_claim(name) => Self::CLAIMS,
            _ if own::is_own(name) => Self::OWN,
            _ => Self::default(),
        }
    }
}

impl BitOr for Named {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&'static str]) -> Named {
        Named::of(
            &names
                .iter()
                .map(|name| (HeaderName::from_static(name), "x".parse().unwrap()))
                .collect(),
        )
    }

    #[test]
    fn an_ordinary_request_has_a_host_and_nothing_else_that_matters() {
        let ordinary = ["host", "user-agent", "accept", "authorization", "x-api-key"];
        assert_eq!(of(&ordinary), Named::HOST);
        assert_eq!(of(&[]), Named::default());
    }

    #[test]
    fn every_field_that_is_looked_for_is_named() {
        for (name, expected) in [
            ("connection", Named::CONNECTION),
            ("content-type", Named::CONTENT_TYPE),
            ("cookie", Named::COOKIE),
            ("grpc-timeout", Named::GRPC_TIMEOUT),
            ("te", Named::TE),
            ("te", Named::ENDS_HERE),
            ("transfer-encoding", Named::TRANSFER_ENCODING),
            ("transfer-encoding", Named::ENDS_HERE),
            ("upgrade", Named::UPGRADE),
            ("upgrade", Named::ENDS_HERE),
            ("expect", Named::ENDS_HERE),
            ("proxy-authorization", Named::ENDS_HERE),
            ("proxy-connection", Named::ENDS_HERE),
            ("keep-alive", Named::ENDS_HERE),
            ("http2-settings", Named::ENDS_HERE),
            ("content_length", Named::ENDS_HERE),
            ("transfer_encoding", Named::ENDS_HERE),
            ("traceparent", Named::TRACE),
            ("tracestate", Named::TRACE),
            ("x-real-ip", Named::CLAIMS),
            ("x_forwarded_for", Named::CLAIMS),
            ("x-forwarded-prefix", Named::CLAIMS),
            ("x-penstock-mirror", Named::OWN),
            ("x_penstock_reason", Named::OWN),
        ] {
            assert!(of(&["host", name]).has(expected), "{name}");
            assert!(!of(&["host", "accept"]).has(expected), "{name}");
        }
    }
}
