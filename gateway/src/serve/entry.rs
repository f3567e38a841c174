//! Whether a request is let in, and for which deployment: the same whatever speaks HTTP.

use std::sync::Arc;

use http::Method;

use super::{destination::Destination, failure::too_large};
use crate::{
    base::{grpc, reason::Reason, refusal::Refusal},
    count::{clients::ClientId, tokens::Watch},
    fleet::{deployment::DeploymentState, pick_by::PickBy},
    request::{
        api::Api,
        redirect,
        request_key::{NamedKey, RequestHead},
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
};

/// Sends a client to HTTPS where the listener wants that, unless it came by HTTPS to a trusted proxy.
pub(super) fn check_scheme(
    connection: &Connection,
    host: &[u8],
    head: &RequestHead<'_>,
) -> Result<(), Refusal> {
    match connection.terms.redirect {
        Some(port) if !head.is_https() => {
            let host = str::from_utf8(host).unwrap_or_default();
            Err(redirect::refusal(port, host, head.target()))
        }
        _ => Ok(()),
    }
}

/// What a request is for, and the names of the fields that held the key which let it in.
pub(super) type Entered = (
    (Destination, Arc<DeploymentState>),
    [Option<&'static str>; 2],
);

/// Lets the request in to what it is for, and counts it there from now on. Its body is at least `size` bytes long.
pub(super) fn enter(
    exchange: &mut Exchange,
    destination: Destination,
    head: &RequestHead<'_>,
    size: u64,
) -> Result<Entered, Refusal> {
    if let Some(names) = &destination.service.reads
        && *head.method() == Method::POST
        && let Some(api) = Api::of(head.path())
    {
        let model = destination.model().map(|model| &*model.name);
        exchange.is_read_by(Watch::new(api, names, model));
    }
    let (deployment, carriers) = match let_in(exchange, &destination, head, size) {
        Ok(let_in) => let_in,
        Err(refusal) => {
            exchange.is_turned_away(destination.service);
            return Err(refusal);
        }
    };
    exchange.enter(&deployment, (head.method().as_str(), head.path_bytes()));
    exchange.limit(
        destination.service.spec.timeouts.total,
        head.grpc_timeout().and_then(grpc::parse_timeout),
    );
    Ok(((destination, deployment), carriers))
}

/// Whether the service wants this request, and for which of its deployments. Limits come last: what is
/// refused for other reasons uses up nothing.
fn let_in(
    exchange: &mut Exchange,
    destination: &Destination,
    head: &RequestHead<'_>,
    size: u64,
) -> Result<(Arc<DeploymentState>, [Option<&'static str>; 2]), Refusal> {
    let service = &destination.service;
    let mut carriers = [None; 2];
    if let Some(access) = &service.access {
        access.check_network(head)?;
        if let Some(let_in) = access.check_key(head, destination.is_direct())? {
            check_model(&let_in.key, destination)?;
            exchange.api_key = Some(let_in.key);
            carriers = let_in.carriers;
        }
    }
    check_length(size, service.spec.max_body_bytes)?;
    let key = exchange.api_key.clone();
    let head = head.of_key(key.as_deref());
    if let Some(limits) = &service.limits {
        let held = limits.take(&head, exchange.started())?;
        exchange.holds(held);
    }
    exchange.client = ClientId::of(&head);
    exchange.is_direct = destination.is_direct();
    exchange.pick_by = PickBy::of(&head, &service.spec);
    exchange.is_of_class(service.classes.of(&head, &service.spec));
    destination
        .choose(&head, exchange)
        .map(|deployment| (deployment, carriers))
}

/// Whether a key is for the model that was asked for. One that is for certain models is of no use where models
/// are not looked at.
fn check_model(key: &NamedKey, destination: &Destination) -> Result<(), Refusal> {
    match destination.model() {
        None if key.models.is_some() => Err(Refusal::new(
            Reason::Forbidden,
            "this API key is for certain models: it lets in at the front door alone",
        )),
        Some(model) if !key.is_for(&model.name) => Err(Refusal::new(
            Reason::ModelNotFound,
            format!("this API key is not for the model {:?}", model.name),
        )
        .about("model")),
        _ => Ok(()),
    }
}

/// Refuses a body that is known to be too long before anything is done for it.
fn check_length(size: u64, max: Option<u64>) -> Result<(), Refusal> {
    match max {
        Some(max) if size > max => Err(too_large()),
        _ => Ok(()),
    }
}
