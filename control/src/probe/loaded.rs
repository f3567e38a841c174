//! The default probe of workers that speak HTTP/1.1.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::{Method, StatusCode};
use tokio::time::timeout;

use super::target::Target;
use crate::worker_http::{Cause, Failure, Get};

/// How long an answer is waited for: a server that takes longer, or waits for something else than a
/// request, listens, and that must do.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// Passes when a connection opens; and, until it has passed once, when `GET /` is answered with
/// anything but 503 on it, or not at all.
///
/// A server that listens while it loads says 503, or closes the connection. Of one that has been ready
/// a 503 means that it has too much to do, which is for the gateway to see.
pub(super) async fn ask(target: &Target, passed: &AtomicBool) -> Result<(), Failure> {
    if passed.load(Ordering::Relaxed) {
        return target.reach().await;
    }
    let get = Get {
        address: target.address,
        protocol: target.protocol,
        tls: target.tls.as_ref(),
        method: Method::GET,
        path: "/",
        headers: &[],
        body: Default::default(),
        agent: "penstock-probe",
    };
    match timeout(ANSWER_LIMIT, get.send()).await {
        Ok(Ok(answer)) if answer.response.status() == StatusCode::SERVICE_UNAVAILABLE => {
            Err("HTTP status 503 to GET /: it is still loading"
                .to_owned()
                .into())
        }
        Ok(Err(failure)) if failure.cause != Cause::NotHttp => Err(Failure {
            text: format!("GET /: {}", failure.text),
            ..failure
        }),
        // An answer; one that is no HTTP; none.
        _ => {
            passed.store(true, Ordering::Relaxed);
            Ok(())
        }
    }
}
