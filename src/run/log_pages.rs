//! The part of the admin API that shows what workers wrote.

use std::{fmt::Write, io, sync::Arc, time::Duration};

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
use penstock_config::{DeploymentName, ServiceName, WorkerLogs, fleet::FleetSnapshot, units};
use penstock_control::{
    api::{Named, Problem},
    driver::process::logs::{self, Follower, LogFile, LogFilter, LogLine, Tail},
    explain::Unknown,
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

/// Most answers that are read from the files at the same time; others wait for their turn.
const READERS_MAX: usize = 2;

/// Workers that are named to somebody who asks for one that is not there.
const WORKERS_NAMED_MAX: usize = 10;

/// How long a follower waits before it looks for new lines again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Clone)]
struct Shared {
    logs: WorkerLogs,
    fleet: watch::Receiver<Arc<FleetSnapshot>>,
    followers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
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
    let count = lines as usize;
    let body = if parameters.follow {
        let follower = Arc::clone(&shared.followers).try_acquire_owned();
        let permit = follower.map_err(|_| too_many_followers())?;
        Body::from_stream(follow(shared.logs, filter, count, permit))
    } else {
        // Never closed, so that there is always a turn.
        let turn = Arc::clone(&shared.readers).acquire_owned().await;
        let read = blocking(move || {
            let tail = logs::tail(&logs::files(&shared.logs, &filter)?, count)?;
            drop(turn);
            Ok(text_of(&tail))
        });
        Body::from(read.await?)
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
            readers: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    fn router(self) -> Router {
        Router::new()
            .route("/api/v1/services/{service}/logs", get(page))
            .with_state(self)
    }

    /// What to look for; an error when neither the fleet nor the logs know such a thing.
    async fn filter(&self, service: String, parameters: &Parameters) -> Result<LogFilter, Problem> {
        let fleet = Arc::clone(&self.fleet.borrow());
        let unknown = || not_found(&unknown_service(&service, &fleet));
        let filter = LogFilter {
            service: ServiceName::try_from(service.as_str()).map_err(|_| unknown())?,
            deployment: parameters.deployment.clone(),
            slot: parameters.worker,
        };
        // What was removed from the configuration has logs still.
        let (logs, any) = (
            self.logs.clone(),
            LogFilter {
                slot: None,
                ..filter.clone()
            },
        );
        let written = blocking(move || logs::files(&logs, &any)).await?;
        let here = fleet
            .services
            .iter()
            .find(|service| service.spec.name == filter.service);
        match (here, &filter.deployment) {
            _ if !written.is_empty() => {}
            (None, _) => return Err(unknown()),
            (Some(here), Some(name)) if !here.spec.deployments.contains_key(name) => {
                return Err(not_found(&Unknown::Deployment {
                    service,
                    name: name.to_string(),
                    there_are: here
                        .spec
                        .deployments
                        .keys()
                        .map(ToString::to_string)
                        .collect(),
                }));
            }
            _ => {}
        }
        match filter.slot {
            Some(slot) if !written.iter().any(|file| file.slot == slot) => {
                Err(no_worker(&filter, slot, &written))
            }
            _ => Ok(filter),
        }
    }
}

fn unknown_service(name: &str, fleet: &FleetSnapshot) -> Unknown {
    let names = fleet.services.iter().map(|service| &service.spec.name);
    Unknown::Service {
        name: name.to_owned(),
        there_are: names.map(ToString::to_string).collect(),
    }
}

/// Nothing was ever written by a worker with this number.
fn no_worker(filter: &LogFilter, slot: u32, written: &[LogFile]) -> Problem {
    let named: Vec<String> = written
        .iter()
        .take(WORKERS_NAMED_MAX)
        .map(|file| format!("{}#{}", file.deployment, file.slot))
        .collect();
    let there_are = match written.len() {
        0 => "no worker of it has written anything yet".to_owned(),
        count if count > named.len() => {
            format!(
                "there are logs of {} and {} others",
                named.join(", "),
                count - named.len()
            )
        }
        _ => format!("there are logs of {}", named.join(", ")),
    };
    let of = match &filter.deployment {
        Some(deployment) => format!("{}/{deployment}", filter.service),
        None => filter.service.to_string(),
    };
    not_found(&format_args!("{of} has no worker {slot}; {there_are}"))
}

fn not_found(what: &dyn std::fmt::Display) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, what.to_string())
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
        let (mut follower, mut lines) = spawn_blocking(move || {
            let (follower, tail) = Follower::new(logs, filter, count)?;
            io::Result::Ok((follower, text_of(&tail)))
        })
        .await??;
        loop {
            if !lines.is_empty() {
                yield lines;
            }
            let full;
            (follower, lines, full) = spawn_blocking(move || {
                let lines = follower.new_lines()?;
                io::Result::Ok((follower, text(&lines), Follower::is_full(&lines)))
            })
            .await??;
            if !full {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
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

/// The lines, after a word about those that are left out.
fn text_of(tail: &Tail) -> Bytes {
    let lines = text(&tail.lines);
    if !tail.cut {
        return lines;
    }
    let max = units::format_size(logs::BYTES_MAX as u64);
    let note = format!("-- older lines are left out: an answer has at most {max} of them --\n");
    [note.as_bytes(), &lines].concat().into()
}

fn text(lines: &[LogLine]) -> Bytes {
    let mut text = String::new();
    for line in lines {
        // Writing to a string never fails.
        let _ = writeln!(text, "{line}");
    }
    text.into()
}

fn too_many_followers() -> Problem {
    let detail = format!("{FOLLOWERS_MAX} clients follow logs already");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
}

#[cfg(test)]
mod tests;
