//! The pages that change how a service's traffic is shared.
//!
//! Every change may say who makes it (`by`) and why (`reason`); both show in the status and in the
//! journal. The answer is always how the weights are now.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    Named, Problem, Shared,
    body::{Body, OptionalBody, said},
};
use crate::{
    reconcile::{RolloutAsk, TrafficAsk},
    status::WeightsStatus,
    weights::WeightMap,
};

pub(super) fn routes() -> Router<Shared> {
    let weights = get(show).put(set).delete(reset);
    Router::new()
        .route("/api/v1/services/{service}/weights", weights)
        .route("/api/v1/services/{service}/promote", post(promote))
        .route("/api/v1/services/{service}/rollback", post(roll_back))
        .route("/api/v1/services/{service}/rollout", post(rollout))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    weights: WeightMap,
    by: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Promote {
    deployment: String,
    by: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AboutRollout {
    action: RolloutAction,
    deployment: Option<String>,
    by: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RolloutAction {
    Pause,
    Resume,
    Restart,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Bare {
    by: Option<String>,
    reason: Option<String>,
}

async fn show(State(shared): State<Shared>, Named(service): Named) -> Answer {
    ask(&shared, service, TrafficAsk::Show, None, None).await
}

async fn set(State(shared): State<Shared>, Named(service): Named, Body(body): Body<Set>) -> Answer {
    let wanted = TrafficAsk::Set(body.weights);
    ask(&shared, service, wanted, body.by, body.reason).await
}

async fn reset(
    State(shared): State<Shared>,
    Named(service): Named,
    OptionalBody(body): OptionalBody<Bare>,
) -> Answer {
    ask(&shared, service, TrafficAsk::Reset, body.by, body.reason).await
}

async fn promote(
    State(shared): State<Shared>,
    Named(service): Named,
    Body(body): Body<Promote>,
) -> Answer {
    let wanted = TrafficAsk::Promote(body.deployment);
    ask(&shared, service, wanted, body.by, body.reason).await
}

async fn roll_back(
    State(shared): State<Shared>,
    Named(service): Named,
    OptionalBody(body): OptionalBody<Bare>,
) -> Answer {
    ask(&shared, service, TrafficAsk::RollBack, body.by, body.reason).await
}

async fn rollout(
    State(shared): State<Shared>,
    Named(service): Named,
    Body(body): Body<AboutRollout>,
) -> Answer {
    let of = body.deployment;
    let wanted = TrafficAsk::Rollout(match body.action {
        RolloutAction::Pause => RolloutAsk::Pause { of },
        RolloutAction::Resume => RolloutAsk::Resume { of },
        RolloutAction::Restart => RolloutAsk::Restart { of },
    });
    ask(&shared, service, wanted, body.by, body.reason).await
}

type Answer = Result<Json<WeightsStatus>, Problem>;

async fn ask(
    shared: &Shared,
    service: String,
    wanted: TrafficAsk,
    by: Option<String>,
    reason: Option<String>,
) -> Answer {
    let (by, reason) = (said(by)?, said(reason)?);
    let status = shared.control.traffic(service, wanted, by, reason);
    Ok(Json(status.await?))
}
