//! Sends one request to a service, through the gateway as any client would, and tells how it is answered
//! as the answer comes: `POST /api/v1/try`.
//!
//! The console's page is of another origin than the gateway and could not read the answer by itself. Only
//! Penstock's own listeners are ever connected to: the request names a service and a path, not an address.

mod exchange;
mod secured;

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body as AnswerBody, Bytes},
    extract::State,
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header},
    response::IntoResponse,
    routing::post,
};
use futures_util::stream;
use http_body_util::Full;
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};

use super::{Answer, Problem, Shared, access::Caller, body::PlainBody};
use crate::status::ServiceStatus;

/// Most requests that are tried at the same time.
const TRIES_MAX: usize = 8;

/// Longest that one may take.
const TAKES_MAX: Duration = Duration::from_secs(300);

/// Lines that may be ready before the client has taken them.
const LINES_MAX: usize = 16;

/// Headers that the connection between here and the gateway is about, or that are set here.
const NOT_BY_HAND: [HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// A listener of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it speaks HTTPS.
    pub tls: bool,
}

/// Places for requests that are tried.
#[derive(Clone)]
pub(super) struct Tries(Arc<Semaphore>);

impl Default for Tries {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TRIES_MAX)))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Try {
    service: String,
    deployment: Option<String>,
    #[serde(default = "get")]
    method: String,
    path: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

fn get() -> String {
    "GET".to_owned()
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/api/v1/try", post(try_it))
}

async fn try_it(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    PlainBody(wanted): PlainBody<Try>,
) -> Answer {
    caller.may_ask_about(Some(&wanted.service))?;
    let service = shared.control.service(wanted.service.clone()).await?;
    let host = host(&service, wanted.deployment.as_deref())?;
    let door = door((shared.hooks.doors)())?;
    let request = request(&wanted, &host, door)?;
    let place = Arc::clone(&shared.tries.0).try_acquire_owned();
    let place = place.map_err(|_| {
        let detail = format!("{TRIES_MAX} requests are being tried already");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
    })?;
    let (lines, taken) = mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        let _place = place;
        exchange::tell(door, &host, request, lines, TAKES_MAX).await;
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let lines = stream::unfold(taken, |mut taken| async {
        let line: Bytes = taken.recv().await?;
        Some((Ok::<_, Infallible>(line), taken))
    });
    Ok((headers, AnswerBody::from_stream(lines)).into_response())
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// The host by which the gateway is asked for the service, or for one of its deployments.
fn host(service: &ServiceStatus, deployment: Option<&str>) -> Result<String, Problem> {
    let Some(name) = deployment else {
        // One with a wildcard stands for many.
        let mut hosts = service.hosts.iter().filter(|host| !host.contains('*'));
        let host = hosts.next().cloned();
        return host.ok_or_else(|| wrong(format!("no host leads to {}", service.name)));
    };
    let mut deployments = service.deployments.iter();
    let found = deployments.find(|known| known.name == name);
    let found = found.ok_or_else(|| {
        let names = service.deployments.iter().map(|known| known.name.clone());
        Problem::from(crate::ControlError::Unknown(
            crate::explain::Unknown::Deployment {
                service: service.name.clone(),
                name: name.to_owned(),
                there_are: names.collect(),
            },
        ))
    })?;
    found.host.clone().ok_or_else(|| {
        wrong(format!(
            "no host leads straight to {}/{name}: `deployment_hosts` is off, or it was removed",
            service.name
        ))
    })
}

/// A listener that serves requests, one without TLS where there is a choice. What listens on every address
/// is asked on this machine's own.
fn door(mut doors: Vec<Door>) -> Result<Door, Problem> {
    doors.sort_by_key(|door| (door.tls, door.address));
    let mut door = *doors.first().ok_or_else(|| {
        wrong("the gateway has no listener that can be asked from here: each waits for a PROXY protocol header, or redirects")
    })?;
    if door.address.ip().is_unspecified() {
        door.address.set_ip(match door.address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    Ok(door)
}

fn request(wanted: &Try, host: &str, door: Door) -> Result<Request<Full<Bytes>>, Problem> {
    let Try { method, path, .. } = wanted;
    let no_method = || wrong(format!("{method} is no method"));
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| no_method())?;
    if method == Method::CONNECT {
        return Err(wrong("CONNECT cannot be tried"));
    }
    if !path.starts_with('/') {
        return Err(wrong(format!("a path begins with a slash, not as {path}")));
    }
    let uri: Uri = path
        .parse()
        .map_err(|error| wrong(format!("the path {path}: {error}")))?;
    let mut request = Request::new(Full::new(Bytes::from(wanted.body.clone())));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    for (name, value) in &wanted.headers {
        let error = |error: &dyn std::fmt::Display| wrong(format!("the header {name}: {error}"));
        let key = HeaderName::try_from(name).map_err(|e| error(&e))?;
        if NOT_BY_HAND.contains(&key) {
            return Err(wrong(format!("the header {name} cannot be set here")));
        }
        let value = HeaderValue::try_from(value).map_err(|e| error(&e))?;
        request.headers_mut().append(key, value);
    }
    let standard = if door.tls { 443 } else { 80 };
    let host = match door.address.port() {
        port if port == standard => host.to_owned(),
        port => format!("{host}:{port}"),
    };
    let host = HeaderValue::try_from(host).map_err(|error| wrong(format!("the host: {error}")))?;
    request.headers_mut().insert(header::HOST, host);
    let agent = HeaderValue::from_static("penstock-console");
    let agents = request.headers_mut().entry(header::USER_AGENT);
    agents.or_insert(agent);
    Ok(request)
}

#[cfg(test)]
mod tests;
