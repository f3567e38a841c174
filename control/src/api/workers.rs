//! The pages about what workers run and how many there are: revisions, switch, restart, scale, drain, preempt.
//!
//! As with weights, every change may say who makes it (`by`) and why (`reason`). The answer is always
//! the revisions as they are then, and what was done.

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
    routing::{get, post},
};
use penstock_config::units::parse_duration;
use serde::Deserialize;

use super::{
    Place, Problem, Shared,
    body::{Body, OptionalBody, Who},
};
use crate::{
    ControlError,
    core::{WorkersAsk, WorkersRequest},
    status::RevisionsStatus,
    weights::Refused,
};

pub(super) fn routes() -> Router<Shared> {
    let mut router = Router::new();
    for place in [
        "/api/v1/services/{service}",
        "/api/v1/services/{service}/deployments/{deployment}",
    ] {
        let page = |name: &str| format!("{place}/{name}");
        router = router
            .route(&page("revisions"), get(show))
            .route(&page("switch"), post(switch).delete(switch_back))
            .route(&page("restart"), post(restart))
            .route(&page("scale"), post(scale).delete(scale_by_rules));
    }
    let worker = "/api/v1/services/{service}/deployments/{deployment}/workers/{worker}";
    router
        .route(&format!("{worker}/drain"), post(drain))
        .route(&format!("{worker}/preempt"), post(preempt))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    revision: u64,
    by: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scale {
    workers: u32,
    by: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Preempt {
    /// As in the configuration: `2m`.
    within: Option<String>,
    by: Option<String>,
    reason: Option<String>,
}

/// A worker by its number.
#[derive(Debug, Deserialize)]
struct WorkerPlace {
    service: String,
    deployment: String,
    worker: u32,
}

impl WorkerPlace {
    /// Its deployment, and its number there.
    fn split(self) -> (Place, u32) {
        let place = Place {
            service: self.service,
            deployment: Some(self.deployment),
        };
        (place, self.worker)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WorkerPlace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<Self>::from_request_parts(parts, state).await;
        let Path(place) = path.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        Ok(place)
    }
}

async fn show(State(shared): State<Shared>, place: Place) -> Answer {
    ask(&shared, place, WorkersAsk::Show, Who::default()).await
}

async fn switch(State(shared): State<Shared>, place: Place, Body(body): Body<Switch>) -> Answer {
    let Switch {
        revision,
        by,
        reason,
    } = body;
    let wanted = WorkersAsk::Switch(Some(revision));
    ask(&shared, place, wanted, Who { by, reason }).await
}

async fn switch_back(
    State(shared): State<Shared>,
    place: Place,
    OptionalBody(who): OptionalBody<Who>,
) -> Answer {
    ask(&shared, place, WorkersAsk::Switch(None), who).await
}

async fn restart(
    State(shared): State<Shared>,
    place: Place,
    OptionalBody(who): OptionalBody<Who>,
) -> Answer {
    ask(&shared, place, WorkersAsk::Restart, who).await
}

async fn scale(State(shared): State<Shared>, place: Place, Body(body): Body<Scale>) -> Answer {
    let Scale {
        workers,
        by,
        reason,
    } = body;
    let wanted = WorkersAsk::Scale(Some(workers));
    ask(&shared, place, wanted, Who { by, reason }).await
}

async fn scale_by_rules(
    State(shared): State<Shared>,
    place: Place,
    OptionalBody(who): OptionalBody<Who>,
) -> Answer {
    ask(&shared, place, WorkersAsk::Scale(None), who).await
}

async fn drain(
    State(shared): State<Shared>,
    place: WorkerPlace,
    OptionalBody(who): OptionalBody<Who>,
) -> Answer {
    let (place, worker) = place.split();
    ask(&shared, place, WorkersAsk::Drain(worker), who).await
}

async fn preempt(
    State(shared): State<Shared>,
    place: WorkerPlace,
    OptionalBody(body): OptionalBody<Preempt>,
) -> Answer {
    let Preempt { within, by, reason } = body;
    let within = within.as_deref().map(parse_duration).transpose();
    let within = within
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("within: {error}")))?;
    let (place, worker) = place.split();
    let wanted = WorkersAsk::Preempt(worker, within);
    ask(&shared, place, wanted, Who { by, reason }).await
}

type Answer = Result<Json<RevisionsStatus>, Problem>;

async fn ask(shared: &Shared, place: Place, ask: WorkersAsk, who: Who) -> Answer {
    let (by, reason) = who.said()?;
    let request = WorkersRequest {
        service: place.service,
        deployment: place.deployment,
        ask,
        by,
        reason,
    };
    match shared.control.workers(request).await {
        Ok(status) => Ok(Json(status)),
        // Here it is a part of the address.
        Err(ControlError::Refused(refused @ Refused::NoDeployment { .. })) => {
            Err(Problem::new(StatusCode::NOT_FOUND, refused.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
