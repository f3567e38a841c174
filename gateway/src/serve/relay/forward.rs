//! Getting a relayed request to a worker and the head of an answer back.

use std::sync::Arc;

use http_body::SizeHint;
use penstock_config::Timeouts;

use super::{
    client::Client,
    early::{Early, Reading},
    sending::{Got, Sending},
    up::Up,
};
use crate::{
    base::{
        headers::{self, RequestId, Trace},
        reason::Reason,
        refusal::Refusal,
    },
    http1::{
        body::Framing,
        buffer::Buffer,
        field::Field,
        request::Request,
        write::{self, Onward},
    },
    request::request_key::RequestHead,
    route::mirroring::MirrorState,
    serve::{
        attempt::{Destined, attempt},
        destination::Destination,
        failure::Failure,
        find::{find_worker, with_body},
        proxy,
        retry::Retry,
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
    stream::{copied_body::Tee, mirror::Candidate, request_body::Upload},
    upstream::Wire,
};

/// A worker's answer, and what is left of the request.
pub(super) struct Forwarded {
    pub(super) got: Got,
    pub(super) up: Up,
    /// Whether an upgrade was asked for.
    pub(super) upgrade: bool,
    /// Those of its service.
    pub(super) timeouts: Timeouts,
}

/// Gets the request to a worker and the head of an answer back.
pub(super) async fn forward(
    client: &mut Client,
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    request: &Request,
    destination: Result<Destination, Refusal>,
) -> Result<Forwarded, (Failure, Option<Up>)> {
    let unsent = |refusal: Refusal| (Failure::from(refusal), None);
    let trace = Trace::fresh();
    exchange.request_id = Some(identify(connection, request, &trace));
    let head = RequestHead::of_bytes(connection, request);
    proxy::check_scheme(connection, request.host(), &head).map_err(unsent)?;
    let size = match request.framing {
        Framing::Length(length) => length,
        Framing::Chunked | Framing::UntilClose => 0,
    };
    let entered = proxy::enter(exchange, destination.map_err(unsent)?, &head, size);
    let (to, carriers) = entered.map_err(unsent)?;
    if request.framing != Framing::Length(0) {
        exchange.upload = Some(Arc::new(Upload::begin(connection)));
    }
    let mut early = Early::of(request, client);
    let found = match &mut early {
        None => find_worker(exchange, to, head, client).await,
        Some(early) => {
            let mut body = Reading {
                client,
                early,
                connection,
            };
            Box::pin(with_body(exchange, to, head, &mut body)).await
        }
    };
    let (destination, deployment) = found.map_err(|failure| (failure, None))?;
    let service = &destination.service;
    let upgrade = request.asks_for_upgrade();
    let wire = Wire::of(&deployment.view().spec);
    let to = Destined {
        service,
        deployment: &deployment,
        wire: &wire,
        is_upgrade: upgrade,
    };
    let mut up = upload(
        exchange,
        connection,
        request,
        to,
        destination.is_direct(),
        (&trace, carriers),
    );
    if early.is_some_and(|early| early.was_asked(request)) {
        up.was_asked();
    }
    let retry = Retry::prepare(service, wire.protocol, upgrade, &request.method);
    if let Some(bytes) = retry.keeps {
        up.keep(bytes);
    }
    let mut sending = Sending {
        head: onward(exchange, connection, request, &trace, carriers, upgrade),
        client,
        connection,
        request,
        up,
    };
    let answered = attempt(exchange, connection, to, &retry, &mut sending).await;
    let Sending { mut up, .. } = sending;
    up.forget();
    match answered {
        Ok(got) if got.answer.status == 101 && !upgrade => {
            exchange.worker_failed();
            let detail = "the worker switched protocols unasked";
            let refusal = Refusal::new(Reason::BadUpstreamResponse, detail);
            Err((refusal.into(), Some(up)))
        }
        Ok(got) => {
            exchange.connect_time = got.connect_time;
            Ok(Forwarded {
                got,
                up,
                upgrade,
                timeouts: service.spec.timeouts,
            })
        }
        Err(failure) => Err((failure, Some(up))),
    }
}

/// The id of a request: that of a trusted proxy, or that of its own trace.
fn identify(connection: &Connection, request: &Request, trace: &Trace) -> RequestId {
    let given = match connection.forwarding.is_trusted() {
        true => request.lines.values(Field::RequestId).next(),
        false => None,
    };
    given
        .and_then(RequestId::given)
        .unwrap_or_else(|| trace.id())
}

/// The body on its way to the worker, and to the mirror's target if this request is copied.
fn upload(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    request: &Request,
    to: Destined<'_>,
    is_direct: bool,
    (trace, carriers): (&Trace, [Option<&'static str>; 2]),
) -> Up {
    let spec = &to.service.spec;
    let tee = match &to.service.mirror {
        Some(mirror) if !to.is_upgrade && !is_direct => {
            copy(exchange, connection, request, to, mirror, trace, carriers)
        }
        _ => None,
    };
    let upload = exchange.upload.clone();
    let mut timeouts = spec.timeouts;
    if exchange.is_conversation {
        timeouts.min_rate.bytes_per_second = 0;
    }
    Up::new(request, upload, spec.max_body_bytes, timeouts, tee)
}

/// Starts a copy of the request for the mirror's target, if it is to have one.
fn copy(
    exchange: &mut Exchange,
    connection: &Connection,
    request: &Request,
    to: Destined<'_>,
    mirror: &MirrorState,
    trace: &Trace,
    carriers: [Option<&'static str>; 2],
) -> Option<Tee> {
    let is_copy =
        connection.forwarding.is_trusted() && request.lines.values(Field::Mirror).next().is_some();
    if !mirror.takes(to.deployment, is_copy) {
        return None;
    }
    let Some((mut parts, host)) = request.to_parts() else {
        mirror.cannot();
        return None;
    };
    for name in carriers.into_iter().flatten() {
        parts.headers.remove(name);
    }
    if let Some(id) = &exchange.request_id {
        headers::go_by(&mut parts.headers, id, trace);
    }
    let body = match request.framing {
        Framing::Length(0) => None,
        Framing::Length(length) => Some(SizeHint::with_exact(length)),
        Framing::Chunked | Framing::UntilClose => Some(SizeHint::default()),
    };
    let candidate = Candidate {
        connection,
        service: &to.service.spec,
        parts: &parts,
        host: &host,
        body,
    };
    mirror.copy(exchange, &candidate)
}

/// The head as workers get it.
fn onward(
    exchange: &Exchange,
    connection: &Connection,
    request: &Request,
    trace: &Trace,
    carriers: [Option<&'static str>; 2],
    upgrade: bool,
) -> Buffer {
    let mut head = Buffer::default();
    let left = match exchange.deadline {
        Some((deadline, Reason::Deadline)) => Some(deadline.saturating_sub(exchange.clock().now())),
        _ => None,
    };
    if let Some(id) = &exchange.request_id {
        let onward = Onward {
            forwarding: &connection.forwarding,
            id,
            trace,
            carriers,
            upgrade,
            deadline: left,
        };
        write::request(head.end(), request, &onward);
    }
    head
}
