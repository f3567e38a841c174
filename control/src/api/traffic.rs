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
    body::{Body, OptionalBody, Who},
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

async fn show(State(shared): State<Shared>, Named(service): Named) -> Answer {
    ask(&shared, service, TrafficAsk::Show, Who::default()).await
}

async fn set(State(shared): State<Shared>, Named(service): Named, Body(body): Body<Set>) -> Answer {
    let Set {
        weights,
        by,
        reason,
    } = body;
    let wanted = TrafficAsk::Set(weights);
    ask(&shared, service, wanted, Who { by, reason }).await
}

async fn reset(
    State(shared): State<Shared>,
    Named(service): Named,
    OptionalBody(who): OptionalBody<Who>,
) -> Answer {
    ask(&shared, service, TrafficAsk::Reset, who).await
}

async fn promote(
    State(shared): State<Shared>,
    Named(service): Named,
    Body(body): Body<Promote>,
) -> Answer {
    let Promote {
        deployment,
        by,
        reason,
    } = body;
    let wanted = TrafficAsk::Promote(deployment);
    ask(&shared, service, wanted, Who { by, reason }).await
}

async fn roll_back(
    State(shared): State<Shared>,
    Named(service): Named,
    OptionalBody(who): OptionalBody<Who>,
) -> Answer {
    ask(&shared, service, TrafficAsk::RollBack, who).await
}

async fn rollout(
    State(shared): State<Shared>,
    Named(service): Named,
    Body(body): Body<AboutRollout>,
) -> Answer {
    let AboutRollout {
        action,
        deployment: of,
        by,
        reason,
    } = body;
    let wanted = TrafficAsk::Rollout(match action {
        RolloutAction::Pause => RolloutAsk::Pause { of },
        RolloutAction::Resume => RolloutAsk::Resume { of },
        RolloutAction::Restart => RolloutAsk::Restart { of },
    });
    ask(&shared, service, wanted, Who { by, reason }).await
}

type Answer = Result<Json<WeightsStatus>, Problem>;

async fn ask(shared: &Shared, service: String, wanted: TrafficAsk, who: Who) -> Answer {
    let (by, reason) = who.said()?;
    let status = shared.control.traffic(service, wanted, by, reason);
    Ok(Json(status.await?))
}
