//! Who may use a service: networks that clients may come from, and API keys.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

mod api_keys;

use http::Method;
use penstock_config::{Access as Settings, DeploymentHosts};

use crate::{
    base::{networks::Networks, reason::Reason, refusal::Refusal},
    request::request_key::RequestHead,
};

pub(crate) use api_keys::LetIn;
use api_keys::{ApiKeys, Sent};

/// A service's rule about who may use it.
pub(crate) struct Access {
    /// Empty: everybody who is not in `deny`.
    allow: Networks,
    deny: Networks,
    keys: Option<ApiKeys>,
    /// What the deployments' own hosts need instead.
    host_keys: Option<ApiKeys>,
    pass_api_key: bool,
    pass_preflight: bool,
}

impl Access {
    /// The rule that these settings make; `None` when everybody may use the service.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let keys = ApiKeys::new(&settings.api_keys);
        let host_keys = match &settings.deployment_hosts {
            DeploymentHosts::Key(hashes) => Some(ApiKeys::of_hosts(hashes)),
            DeploymentHosts::Open | DeploymentHosts::Closed => None,
        };
        let is_open = settings.allow.is_empty()
            && settings.deny.is_empty()
            && keys.is_none()
            && host_keys.is_none();
        (!is_open).then(|| Self {
            allow: Networks::new(&settings.allow),
            deny: Networks::new(&settings.deny),
            keys,
            host_keys,
            pass_api_key: settings.pass_api_key,
            pass_preflight: settings.pass_preflight,
        })
    }

    /// Lets a client in by its address, or refuses it.
    pub(crate) fn check_network(&self, head: &RequestHead<'_>) -> Result<(), Refusal> {
        if self.allow.is_empty() && self.deny.is_empty() {
            return Ok(());
        }
        let client = head.client_address();
        let is_allowed = self.allow.is_empty() || self.allow.contains(client);
        if !is_allowed || self.deny.contains(client) {
            return Err(Refusal::new(
                Reason::Forbidden,
                format!("{client} may not use this service"),
            ));
        }
        Ok(())
    }

    /// The API key that a request carries; `None` when the service wants none of it. The fields that held
    /// it do not go to the worker, unless the service says otherwise. A host that names a deployment
    /// (`is_direct`) may need a key of its own.
    pub(crate) fn check_key(
        &self,
        head: &RequestHead<'_>,
        is_direct: bool,
    ) -> Result<Option<LetIn>, Refusal> {
        let host_keys = self.host_keys.as_ref().filter(|_| is_direct);
        let Some(keys) = host_keys.or(self.keys.as_ref()) else {
            return Ok(None);
        };
        let detail = match keys.find(head) {
            Sent::Valid(mut let_in) => {
                if self.pass_api_key {
                    let_in.carriers = [None; 2];
                }
                return Ok(Some(let_in));
            }
            Sent::Nothing if self.pass_preflight && is_preflight(head) => return Ok(None),
            Sent::Invalid => "the API key is not valid",
            Sent::Nothing => {
                "this service needs an API key, as `Authorization: Bearer KEY` or `x-api-key: KEY`"
            }
        };
        Err(Refusal::new(Reason::Unauthenticated, detail))
    }

    /// The fields that hold a key of the service or of its deployments' hosts, whoever sent it and from where.
    pub(crate) fn keys_in(&self, head: &RequestHead<'_>) -> [Option<&'static str>; 2] {
        let carriers = |keys: &Option<ApiKeys>| match keys.as_ref().map(|keys| keys.find(head)) {
            Some(Sent::Valid(let_in)) => let_in.carriers,
            _ => [None; 2],
        };
        let [first, second] = carriers(&self.keys);
        let [of_hosts, second_of_hosts] = carriers(&self.host_keys);
        [first.or(of_hosts), second.or(second_of_hosts)]
    }
}

/// Whether a browser asks if it may send a request (`CORS-preflight` of the Fetch standard), which it
/// always does without credentials.
fn is_preflight(head: &RequestHead<'_>) -> bool {
    *head.method() == Method::OPTIONS
        && head.has("origin")
        && head.has("access-control-request-method")
}

#[cfg(test)]
mod tests;
