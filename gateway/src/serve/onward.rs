//! A request that was let in, on its way to a worker by hyper, until the head of an answer is there.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, request::Parts};
use penstock_config::Timeouts;

use super::{
    admission::ByDescriptor,
    attempt::{Destined, attempt},
    by_hyper::ByHyper,
    destination::Destination,
    failure::Failure,
    find::{find_worker, with_body},
    retry::Retry,
};
use crate::{
    base::{
        headers::{self, Named},
        reason::Reason,
        refusal::Refusal,
    },
    fleet::deployment::DeploymentState,
    request::request_key::RequestHead,
    settle::exchange::Exchange,
    socket::connection::Connection,
    stream::{
        mirror::MirrorSource,
        outgoing::{Outgoing, Wanted},
        request_body::{ClientBody, UpstreamBody},
    },
    upstream::{Answer, Wire},
};

/// A request that is let in, on its way to a worker.
pub(super) struct Onward {
    pub(super) to: (Destination, Arc<DeploymentState>),
    pub(super) parts: Parts,
    pub(super) named: Named,
    pub(super) host: HeaderValue,
    pub(super) body: Option<Box<ClientBody>>,
    pub(super) has_body: bool,
    pub(super) upgrade: Option<Wanted>,
    pub(super) close: bool,
}

/// A worker's response head, and how to go on.
pub(super) struct Forwarded {
    pub(super) answer: Answer,
    pub(super) wanted: Option<Wanted>,
    pub(super) timeouts: Timeouts,
    pub(super) close: bool,
}

impl Onward {
    /// Gets it to a worker, and the head of an answer back.
    pub(super) async fn send(
        self,
        exchange: &mut Exchange,
        connection: &Arc<Connection>,
    ) -> Result<Forwarded, Failure> {
        let Self {
            to,
            parts,
            named,
            host,
            mut body,
            has_body,
            upgrade,
            close,
        } = self;
        let (destination, deployment) = {
            let head = RequestHead::new(connection, &parts);
            let mut presence = ByDescriptor::of(connection, has_body);
            match &mut body {
                Some(body) if !body.is_whole() => {
                    let body = &mut (&mut presence, &mut **body);
                    Box::pin(with_body(exchange, to, head, body)).await?
                }
                _ => find_worker(exchange, to, head, &mut presence).await?,
            }
        };
        let service = &destination.service;
        let upstream_body = upload(
            exchange,
            connection,
            (&destination, &deployment),
            (&host, &parts),
            body,
            upgrade.is_some(),
        );
        let wire = Wire::of(&deployment.view().spec);
        let Outgoing { request, wanted } =
            Outgoing::prepare(parts, named, upstream_body, &host, &wire, upgrade, exchange)?;
        let to = Destined {
            service,
            deployment: &deployment,
            wire: &wire,
            is_upgrade: wanted.is_some(),
        };
        let retry = Retry::prepare(service, wire.protocol, to.is_upgrade, request.method());
        let mut engine = ByHyper::new(connection, request, &retry, has_body);
        let mut timer = connection.timer().lend();
        let answered = attempt(exchange, connection, to, &retry, &mut engine, &mut timer);
        answered.await?;
        drop(timer);
        let no_answer = || Refusal::new(Reason::Internal, "an answer without a head");
        let mut answer = engine.answer.take().ok_or_else(no_answer)?;
        if let Err(refusal) = check_answer(&mut answer, wanted.as_ref()) {
            exchange.worker_failed();
            return Err(refusal.into());
        }
        exchange.connect_time = answer.connect_time;
        Ok(Forwarded {
            answer,
            wanted,
            timeouts: service.spec.timeouts,
            close,
        })
    }
}

/// The body as it goes to the worker, and to the mirror's target if this request is copied.
fn upload(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    to: (&Destination, &Arc<DeploymentState>),
    head: (&HeaderValue, &Parts),
    body: Option<Box<ClientBody>>,
    is_upgrade: bool,
) -> UpstreamBody {
    let (destination, deployment) = to;
    let (host, parts) = head;
    let spec = &destination.service.spec;
    let tee = match &destination.service.mirror {
        Some(mirror)
            if !is_upgrade
                && !destination.is_direct()
                && mirror.takes(
                    deployment,
                    headers::is_copy(&parts.headers, &connection.forwarding),
                ) =>
        {
            let source = MirrorSource {
                connection,
                service: spec,
                parts,
                host,
                body: body.as_ref().map(|body| body.size_hint()),
            };
            mirror.copy(exchange, &source)
        }
        _ => None,
    };
    let Some(mut body) = body else {
        return UpstreamBody::Empty;
    };
    body.limit(
        spec.max_body_bytes,
        &spec.timeouts,
        exchange.is_conversation,
    );
    body.show_to(tee);
    UpstreamBody::Streamed(body)
}

/// A worker that switches protocols unasked cannot be followed. One that answers an extended
/// CONNECT by an ordinary success cannot either: the client would take it for an open tunnel. Nor is one
/// passed on that does not tell where it ends.
fn check_answer(answer: &mut Answer, wanted: Option<&Wanted>) -> Result<(), Refusal> {
    let status = answer.response.status();
    let detail = match wanted {
        None if status == StatusCode::SWITCHING_PROTOCOLS => {
            "the worker switched protocols unasked"
        }
        Some(Wanted::H2(..))
            if status.is_success() && !Wanted::is_accepted_by(&answer.response) =>
        {
            "the worker did not switch protocols"
        }
        _ => match headers::settle_length(answer.response.headers_mut()) {
            Ok(()) => return Ok(()),
            Err(detail) => detail,
        },
    };
    Err(Refusal::new(Reason::BadUpstreamResponse, detail))
}
