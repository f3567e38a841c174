//! On which terms a listener takes connections.

use std::sync::Arc;

use http::HeaderValue;
use penstock_config::Listener;
use rustls::ServerConfig;

use crate::{base::networks::Networks, socket::tls};

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
