//! HTTP probes: a GET on a connection of its own.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use penstock_config::Protocol;
use tokio::{task::JoinSet, time::timeout};

use super::target::Target;

/// Most of the body that is read: enough to let the worker finish a usual answer.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest wait for the body, whose content does not matter.
const BODY_LIMIT: Duration = Duration::from_millis(500);

/// Passes on a status from 200 to 399.
pub(super) async fn ask(
    target: &Target,
    path: &str,
    headers: &[(String, String)],
) -> Result<(), String> {
    let request = request(target, path, headers)?;
    let io = TokioIo::new(target.connect().await?);
    // The connection ends with this set.
    let mut connection = JoinSet::new();
    let response = match target.protocol {
        Protocol::Http1 => {
            let (mut sender, driver) = http1::handshake(io).await.map_err(shown)?;
            connection.spawn(async { drop(driver.await) });
            sender.send_request(request).await
        }
        Protocol::H2 => {
            let executor = TokioExecutor::new();
            let (mut sender, driver) = http2::handshake(executor, io).await.map_err(shown)?;
            connection.spawn(async { drop(driver.await) });
            sender.send_request(request).await
        }
    };
    judge(response.map_err(shown)?).await
}

async fn judge(response: Response<Incoming>) -> Result<(), String> {
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
    let _ = timeout(BODY_LIMIT, body.collect()).await;
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("HTTP status {}", status.as_u16()))
    }
}

fn request(
    target: &Target,
    path: &str,
    headers: &[(String, String)],
) -> Result<Request<Empty<Bytes>>, String> {
    let host = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = host.map_or_else(|| target.address.to_string(), |(_, host)| host.clone());
    let uri = match target.protocol {
        Protocol::Http1 => path.parse::<Uri>(),
        Protocol::H2 => format!("http://{host}{path}").parse(),
    };
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.map_err(|error| format!("path {path}: {error}"))?;
    let agent = HeaderValue::from_static("penstock-probe");
    request.headers_mut().insert(header::USER_AGENT, agent);
    if target.protocol == Protocol::Http1 {
        let host = HeaderValue::try_from(host).map_err(|error| format!("host: {error}"))?;
        request.headers_mut().insert(header::HOST, host);
    }
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
    {
        let wrong = |error: &dyn std::fmt::Display| format!("header {name}: {error}");
        let key = HeaderName::try_from(name).map_err(|error| wrong(&error))?;
        let value = HeaderValue::try_from(value).map_err(|error| wrong(&error))?;
        request.headers_mut().insert(key, value);
    }
    Ok(request)
}

/// An error with its causes: hyper's own text names only the stage.
fn shown(error: hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
