//! Getting a relayed request to a worker and the head of an answer back.

use std::sync::Arc;

use http_body::SizeHint;

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
        timer::Timer,
    },
    http1::{
        body::Framing,
        field::Field,
        request::Request,
        write::{self, Onward},
    },
    request::request_key::RequestHead,
    route::{mirroring::MirrorState, table::ServiceState},
    serve::{
        admission,
        attempt::{Destined, attempt},
        destination::Destination,
        entry,
        failure::Failure,
        find::{find_worker, with_body},
        retry::Retry,
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
    stream::{copied_body::Tee, mirror::MirrorSource},
    upstream::Wire,
};

/// What is known of a request that a worker answered.
pub(super) struct Forwarded {
    /// Whether an upgrade was asked for.
    pub(super) upgrade: bool,
    /// The service.
    pub(super) service: Arc<ServiceState>,
}

/// A request, and where it goes.
pub(super) struct To<'r> {
    pub(super) client: &'r mut Client,
    pub(super) connection: &'r Arc<Connection>,
    pub(super) request: &'r Request,
    pub(super) destination: Result<Destination, Refusal>,
}

/// Gets the request to a worker and the head of an answer back. The answer lies in `got` then, and what is left
/// of the request in `up`, where there was a worker for it.
pub(super) async fn forward(
    to: To<'_>,
    exchange: &mut Exchange,
    (up, got): (&mut Option<Up>, &mut Option<Got>),
    timer: &mut Timer,
) -> Result<Forwarded, Failure> {
    let To {
        client,
        connection,
        request,
        destination,
    } = to;
    let trace = Trace::fresh();
    exchange.request_id = Some(identify(connection, request, &trace));
    let head = RequestHead::of_bytes(connection, request);
    entry::check_scheme(connection, request.host_bytes(), &head)?;
    let size = match request.framing {
        Framing::Length(length) => length,
        Framing::Chunked | Framing::UntilClose => 0,
    };
    let (to, carriers) = entry::enter(exchange, destination?, &head, size)?;
    if request.framing != Framing::Length(0) {
        exchange.upload = Some(client.upload(connection));
    }
    let mut early = Early::of(request, client);
    let (destination, deployment) = match &mut early {
        None if admission::lease_at_once(exchange, &to.0.service, &to.1) => to,
        // Boxed, so that requests which find a worker at once do not carry this along.
        None => Box::pin(find_worker(exchange, to, head, client)).await?,
        Some(early) => {
            let mut body = Reading { client, early };
            Box::pin(with_body(exchange, to, head, &mut body)).await?
        }
    };
    let service = &destination.service;
    let upgrade = request.asks_for_upgrade();
    let wire = Wire::of(&deployment.view().spec);
    let to = Destined {
        service,
        deployment: &deployment,
        wire: &wire,
        is_upgrade: upgrade,
    };
    let up = up.insert(upload(
        exchange,
        connection,
        request,
        to,
        destination.is_direct(),
        (&trace, carriers),
    ));
    if early.is_some_and(|early| early.was_asked(request)) {
        up.was_asked();
    }
    let retry = Retry::prepare(service, wire.protocol, upgrade, &request.method);
    if let Some(bytes) = retry.keeps {
        up.keep(bytes);
    }
    let mut sending = Sending {
        client,
        connection,
        request,
        ours: Ours {
            trace: &trace,
            carriers,
            upgrade,
        },
        up,
        got,
    };
    attempt(exchange, connection, to, &retry, &mut sending, timer).await?;
    sending.up.forget();
    let Some(got) = sending.got else {
        return Err(Refusal::new(Reason::Internal, "an answer without a head").into());
    };
    if got.answer.status == 101 && !upgrade {
        exchange.worker_failed();
        *sending.got = None;
        let detail = "the worker switched protocols unasked";
        return Err(Refusal::new(Reason::BadUpstreamResponse, detail).into());
    }
    exchange.connect_time = got.connect_time;
    Ok(Forwarded {
        upgrade,
        service: destination.service,
    })
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
    let tee = match &to.service.mirror {
        Some(mirror) if !to.is_upgrade && !is_direct => {
            copy(exchange, connection, request, to, mirror, trace, carriers)
        }
        _ => None,
    };
    let upload = exchange.upload.clone();
    let service = Arc::clone(to.service);
    Up::new(request, upload, service, exchange.is_conversation, tee)
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
    let source = MirrorSource {
        connection,
        service: &to.service.spec,
        parts: &parts,
        host: &host,
        body,
    };
    mirror.copy(exchange, &source)
}

/// What the gateway decided about a request for its worker.
#[derive(Clone, Copy)]
pub(super) struct Ours<'r> {
    /// The trace that begins where the client brought none.
    trace: &'r Trace,
    /// Fields that held the key which let it in.
    carriers: [Option<&'static str>; 2],
    /// Whether it asks for an upgrade that may be.
    upgrade: bool,
}

/// Writes the head as workers get it.
pub(super) fn onward(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    connection: &Connection,
    request: &Request,
    ours: Ours<'_>,
) {
    let left = match exchange.deadline {
        Some((deadline, Reason::Deadline)) => Some(deadline.saturating_sub(exchange.now())),
        _ => None,
    };
    if let Some(id) = &exchange.request_id {
        let onward = Onward {
            forwarding: &connection.forwarding,
            id,
            trace: ours.trace,
            carriers: ours.carriers,
            upgrade: ours.upgrade,
            deadline: left,
        };
        write::request(out, request, &onward);
    }
}
