//! The part of the admin API that shows what workers wrote.

use std::{io, sync::Arc, time::Duration};

use async_stream::try_stream;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::Stream;
use penstock_config::{DeploymentName, ServiceName, WorkerLogs, fleet::FleetSnapshot};
use penstock_control::{
    api::{Named, Problem},
    driver::process::logs::{self, Follower, LogFilter, LogLine},
};
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::spawn_blocking,
};

/// Lines given when nobody says how many.
const LINES_DEFAULT: u32 = 100;

/// Most lines of one answer: they are in memory until they are sent.
const LINES_MAX: u32 = 10_000;

/// Most clients that follow logs at the same time: each looks at the files all the time.
const FOLLOWERS_MAX: usize = 64;

/// How long a follower waits before it looks for new lines again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Clone)]
struct Shared {
    logs: WorkerLogs,
    fleet: watch::Receiver<Arc<FleetSnapshot>>,
    followers: Arc<Semaphore>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    deployment: Option<DeploymentName>,
    worker: Option<u32>,
    lines: Option<u32>,
    #[serde(default)]
    follow: bool,
}

/// `GET /api/v1/services/{service}/logs?deployment=&worker=&lines=&follow=`: lines of text.
pub(super) fn router(logs: &WorkerLogs, fleet: watch::Receiver<Arc<FleetSnapshot>>) -> Router {
    Shared::new(logs, fleet).router()
}

async fn page(
    State(shared): State<Shared>,
    Named(service): Named,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(parameters) =
        parameters.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let lines = parameters.lines.unwrap_or(LINES_DEFAULT);
    if lines > LINES_MAX {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("lines: at most {LINES_MAX}"),
        ));
    }
    let filter = shared.filter(service, &parameters).await?;
    let body = if parameters.follow {
        let follower = Arc::clone(&shared.followers).try_acquire_owned();
        let permit = follower.map_err(|_| too_many_followers())?;
        Body::from_stream(follow(shared.logs, filter, lines as usize, permit))
    } else {
        let read =
            blocking(move || logs::tail(&logs::files(&shared.logs, &filter)?, lines as usize));
        Body::from(text(&read.await?))
    };
    let content_type = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    Ok(([content_type], body).into_response())
}

impl Shared {
    fn new(logs: &WorkerLogs, fleet: watch::Receiver<Arc<FleetSnapshot>>) -> Self {
        let followers = Arc::new(Semaphore::new(FOLLOWERS_MAX));
        Self {
            logs: logs.clone(),
            fleet,
            followers,
        }
    }

    fn router(self) -> Router {
        Router::new()
            .route("/api/v1/services/{service}/logs", get(page))
            .with_state(self)
    }

    /// What to look for; an error when neither the fleet nor the logs know such a thing.
    async fn filter(&self, service: String, parameters: &Parameters) -> Result<LogFilter, Problem> {
        let unknown = || {
            Problem::new(
                StatusCode::NOT_FOUND,
                format!("there is no service {service}"),
            )
        };
        let name = ServiceName::try_from(service.as_str()).map_err(|_| unknown())?;
        let deployment = parameters.deployment.clone();
        let filter = LogFilter {
            service: name,
            deployment,
            slot: parameters.worker,
        };
        // What was removed from the configuration has logs still.
        let (logs, removed) = (
            self.logs.clone(),
            LogFilter {
                slot: None,
                ..filter.clone()
            },
        );
        if !blocking(move || logs::files(&logs, &removed))
            .await?
            .is_empty()
        {
            return Ok(filter);
        }
        let fleet = Arc::clone(&self.fleet.borrow());
        let spec = fleet
            .services
            .iter()
            .map(|service| &service.spec)
            .find(|spec| spec.name == filter.service);
        let spec = spec.ok_or_else(unknown)?;
        match &filter.deployment {
            Some(deployment) if !spec.deployments.contains_key(deployment) => Err(Problem::new(
                StatusCode::NOT_FOUND,
                format!("service {service} has no deployment {deployment}"),
            )),
            _ => Ok(filter),
        }
    }
}

/// Lines as they come, until the client is gone: then this is dropped.
fn follow(
    logs: WorkerLogs,
    filter: LogFilter,
    count: usize,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> {
    try_stream! {
        let _permit = permit;
        let (mut follower, mut lines) = spawn_blocking(move || Follower::new(logs, filter, count)).await??;
        loop {
            if !lines.is_empty() {
                yield text(&lines);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            (follower, lines) = spawn_blocking(move || {
                let lines = follower.new_lines()?;
                io::Result::Ok((follower, lines))
            })
            .await??;
        }
    }
}

/// Reads files where that holds up nobody.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let result = spawn_blocking(read)
        .await
        .unwrap_or_else(|error| Err(error.into()));
    result.map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the logs cannot be read: {error}"),
        )
    })
}

fn text(lines: &[LogLine]) -> Bytes {
    lines
        .iter()
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .into()
}

fn too_many_followers() -> Problem {
    let detail = format!("{FOLLOWERS_MAX} clients follow logs already");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
}

#[cfg(test)]
mod tests;
