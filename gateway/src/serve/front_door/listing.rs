//! The models that a client may use, and how soon each of them answers: from what the gateway knows. Nobody is
//! woken for it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    base::{dialect::Dialect, reason::Reason, refusal::Refusal},
    fleet::deployment::Standing,
    request::{door, request_key::RequestHead},
    route::{
        models::Known,
        table::{ServiceState, Table},
    },
};

/// What clients of the Anthropic API always send.
pub(super) const ANTHROPIC_VERSION: &str = "anthropic-version";

/// Models in a page of Anthropic's list, by default and at most.
const PAGE: usize = 20;
const PAGE_MAX: usize = 1000;

/// Whose models they are, as far as clients are told.
const OWNER: &str = "penstock";

/// What a client asks about models.
pub(super) struct Ask<'a> {
    pub(super) table: &'a Table,
    pub(super) head: &'a RequestHead<'a>,
    pub(super) dialect: Dialect,
    pub(super) query: &'a str,
}

/// How a model stands.
#[derive(Serialize)]
struct State {
    state: &'static str,
    /// Until it most likely answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_seconds: Option<f64>,
}

/// The services that have models.
pub(super) fn services(table: &Table) -> impl Iterator<Item = &Arc<ServiceState>> {
    let all = table.models().all();
    // Those of a service lie together.
    let of_services = all.chunk_by(|one, next| one.service == next.service);
    of_services.filter_map(|models| table.service_of(models.first()?))
}

/// The models that whoever sent this may use, each with its service.
pub(super) fn usable<'t>(
    table: &'t Table,
    head: &RequestHead<'_>,
) -> Vec<(&'t Arc<ServiceState>, &'t Known)> {
    let mut usable = Vec::new();
    let mut all = table.models().all();
    while let Some(first) = all.first() {
        let count = all
            .iter()
            .take_while(|known| known.service == first.service);
        let (of_service, rest) = all.split_at_checked(count.count()).unwrap_or_default();
        all = rest;
        let Some(service) = table.service_of(first) else {
            continue;
        };
        if let Ok(key) = key_of(service, head) {
            let is_for = |known: &&Known| {
                let key = key.as_ref();
                key.is_none_or(|key| key.is_for(&known.rules.name))
            };
            usable.extend(
                of_service
                    .iter()
                    .filter(is_for)
                    .map(|known| (service, known)),
            );
        }
    }
    usable
}

/// The key that lets a client in to a service; `None` where it needs none.
fn key_of(
    service: &ServiceState,
    head: &RequestHead<'_>,
) -> Result<Option<Arc<crate::request::request_key::NamedKey>>, Refusal> {
    let Some(access) = &service.access else {
        return Ok(None);
    };
    access.check_network(head)?;
    Ok(access.check_key(head, false)?.map(|let_in| let_in.key))
}

/// Whether whoever sent this has a key that is good for some model.
pub(super) fn has_key(table: &Table, head: &RequestHead<'_>) -> bool {
    services(table).any(|service| matches!(key_of(service, head), Ok(Some(_))))
}

/// Why whoever sent this may use no model at all.
pub(super) fn needs_key(table: &Table, head: &RequestHead<'_>) -> Option<Refusal> {
    let mut refused = services(table).filter_map(|service| key_of(service, head).err());
    refused.next()
}

impl Ask<'_> {
    /// All models. A client that may use none is told why.
    pub(super) fn all(&self) -> Result<Response<Bytes>, Refusal> {
        let usable = usable(self.table, self.head);
        if usable.is_empty()
            && let Some(refusal) = needs_key(self.table, self.head)
        {
            return Err(refusal);
        }
        match self.dialect {
            Dialect::Anthropic => self.page(&usable),
            _ => {
                let all: Vec<_> = usable.iter().map(|model| self.model(*model)).collect();
                Ok(answer(&json!({ "object": "list", "data": all })))
            }
        }
    }

    /// The model of this name, if the client may use it.
    pub(super) fn one(&self, id: &str) -> Option<Response<Bytes>> {
        let usable = usable(self.table, self.head);
        let mut usable = usable.into_iter();
        let model = usable.find(|(_, known)| *known.rules.name == *id)?;
        Some(answer(&self.model(model)))
    }

    /// A page of Anthropic's list.
    fn page(&self, usable: &[(&Arc<ServiceState>, &Known)]) -> Result<Response<Bytes>, Refusal> {
        let wrong = |param: &'static str, why: &'static str| {
            Refusal::new(Reason::BadRequest, why).about(param)
        };
        let limit = match self.param("limit") {
            None => PAGE,
            Some(limit) => limit
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_MAX).contains(limit))
                .ok_or_else(|| wrong("limit", "`limit` must be 1 to 1000"))?,
        };
        let place = |id: String| {
            usable
                .iter()
                .position(|(_, known)| *known.rules.name == *id)
        };
        let unknown = || wrong("after_id", "there is no model of this name in the list");
        let after = match self.param("after_id") {
            Some(id) => place(id).ok_or_else(unknown)? + 1,
            None => 0,
        };
        let (from, to) = match self.param("before_id") {
            Some(id) => {
                let before = place(id).ok_or_else(unknown)?;
                (after.max(before.saturating_sub(limit)), before)
            }
            None => (after, usable.len().min(after + limit)),
        };
        let is_backwards = self.param("before_id").is_some();
        let shown = usable.get(from..to).unwrap_or_default();
        let name = |model: Option<&(&Arc<ServiceState>, &Known)>| {
            model.map(|(_, known)| known.rules.name.to_string())
        };
        let has_more = match is_backwards {
            true => from > after,
            false => to < usable.len(),
        };
        Ok(answer(&json!({
            "data": shown.iter().map(|model| self.model(*model)).collect::<Vec<_>>(),
            "has_more": has_more,
            "first_id": name(shown.first()),
            "last_id": name(shown.last()),
        })))
    }

    fn param(&self, name: &str) -> Option<String> {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(key, _)| *key == name)?.1;
        door::decode(value, true)
    }

    /// A model, as the API has it.
    fn model(&self, (service, known): (&Arc<ServiceState>, &Known)) -> Value {
        let name = &*known.rules.name;
        let penstock = state(service);
        match self.dialect {
            Dialect::Anthropic => {
                let since = std::time::UNIX_EPOCH + Duration::from_secs(service.since);
                json!({
                    "type": "model",
                    "id": name,
                    "display_name": name,
                    "created_at": humantime::format_rfc3339_seconds(since).to_string(),
                    "penstock": penstock,
                })
            }
            _ => json!({
                "id": name,
                "object": "model",
                "created": service.since,
                "owned_by": OWNER,
                "penstock": penstock,
            }),
        }
    }
}

/// How the models of a service stand: as the best of its deployments that get requests.
fn state(service: &ServiceState) -> State {
    let shares = service.shares().filter(|(_, weight)| *weight > 0);
    let standing = shares.map(|(deployment, _)| deployment.standing()).min();
    let (state, eta) = match standing {
        Some(Standing::Ready) => ("ready", Some(Duration::ZERO)),
        Some(Standing::Starting(eta)) => ("starting", eta.0),
        Some(Standing::Asleep(eta)) => ("asleep", eta.0),
        Some(Standing::Cold(eta)) => ("cold", eta.0),
        Some(Standing::Failed) => ("failed", None),
        Some(Standing::Paused) | None => ("paused", None),
    };
    State {
        state,
        eta_seconds: eta.map(|eta| (eta.as_secs_f64() * 1000.0).round() / 1000.0),
    }
}

fn answer(body: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
