//! On which terms connections are taken and requests served: those of a listener, and those of all.

use std::sync::Arc;

use http::HeaderValue;
use penstock_config::{GatewaySettings, Listener, RequestLimits};
use rustls::ServerConfig;

use crate::{
    base::networks::Networks,
    socket::{crowd::Most, tls},
};

/// What holds for the connections of a listener that come from now on; a reload replaces it whole.
pub(crate) struct Terms {
    /// Proxies whose connections begin with a PROXY protocol header. Where there are some, no other
    /// connections are taken.
    pub(crate) proxies: Networks,
    /// How they are secured; `None`: they are not.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// The port of HTTPS that requests are sent to; `None`: they are served.
    pub(crate) redirect: Option<u16>,
    /// What is said about HTTPS in every answer.
    pub(crate) hsts: Option<HeaderValue>,
}

impl Terms {
    /// Those of a listener.
    pub(crate) fn of(listener: &Listener) -> Self {
        let tls = listener.tls.as_ref();
        let hsts = tls.and_then(|tls| tls.hsts);
        Self {
            proxies: Networks::new(&listener.proxy_protocol),
            tls: tls.map(tls::server_config),
            redirect: listener.redirect_https,
            hsts: hsts.map(|hsts| {
                let text = format!("max-age={}", hsts.as_secs());
                HeaderValue::try_from(text).expect("digits are fine in a header")
            }),
        }
    }
}

/// Settings of the gateway that connections and requests look at; a reload replaces them whole.
pub(crate) struct Settings {
    /// Limits of a request's head and of a connection.
    pub(crate) limits: RequestLimits,
    /// Most connections of clients.
    pub(crate) most: Most,
    /// Whose forwarding headers are believed.
    pub(crate) trusted: Networks,
    /// Whether clients are told what only the operator needs to know.
    pub(crate) error_details: bool,
}

impl Settings {
    /// Those of a configuration.
    pub(crate) fn new(settings: &GatewaySettings) -> Self {
        Self {
            limits: settings.limits,
            most: Most::of(&settings.limits),
            trusted: Networks::new(&settings.trusted_proxies),
            error_details: settings.error_details,
        }
    }
}
