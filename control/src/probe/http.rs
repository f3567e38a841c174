//! HTTP probes: a GET on a connection of its own.

use std::time::Duration;

use http::{Method, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use tokio::time::timeout;

use super::target::Target;
use crate::worker_http::{Failure, Get};

/// Most of the body that is read: enough to let the worker finish a usual answer.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest wait for the body, whose content does not matter.
const BODY_LIMIT: Duration = Duration::from_millis(500);

/// Passes on a status from 200 to 399.
pub(super) async fn ask(
    target: &Target,
    path: &str,
    headers: &[(String, String)],
) -> Result<(), Failure> {
    let get = Get {
        address: target.address,
        protocol: target.protocol,
        tls: target.tls.as_ref(),
        method: Method::GET,
        path,
        headers,
        body: Bytes::new(),
        agent: "penstock-probe",
    };
    let mut answer = get.send().await?;
    Ok(judge(&mut answer.response).await?)
}

async fn judge(response: &mut Response<Incoming>) -> Result<(), String> {
    let status = response.status();
    let body = Limited::new(response.body_mut(), BODY_BYTES_MAX);
    let _ = timeout(BODY_LIMIT, body.collect()).await;
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("HTTP status {}", status.as_u16()))
    }
}
