//! The pages that change how a service's traffic is shared.
//!
//! Every change may say who makes it (`by`) and why (`reason`); both show in the status and in the
//! journal; it is only tried out with `dry_run`, and needs `force` to give more traffic to what was
//! taken back because it failed. The answer is always how the weights are then, and what they were.

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
    core::{RolloutAsk, TrafficAsk, TrafficRequest},
    status::WeightsStatus,
    weights::Wanted,
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
    weights: Wanted,
    by: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    dry_run: bool,
}

/// A change that names nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Bare {
    by: Option<String>,
    reason: Option<String>,
    force: bool,
    dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Promote {
    deployment: String,
    by: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AboutRollout {
    action: RolloutAction,
    deployment: Option<String>,
    by: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RolloutAction {
    Pause,
    Resume,
    Restart,
}

async fn show(State(shared): State<Shared>, Named(service): Named) -> Answer {
    ask(&shared, service, TrafficAsk::Show, Bare::default()).await
}

async fn set(State(shared): State<Shared>, Named(service): Named, Body(body): Body<Set>) -> Answer {
    let Set {
        weights,
        by,
        reason,
        force,
        dry_run,
    } = body;
    let bare = Bare {
        by,
        reason,
        force,
        dry_run,
    };
    ask(&shared, service, TrafficAsk::Set(weights), bare).await
}

async fn reset(
    State(shared): State<Shared>,
    Named(service): Named,
    OptionalBody(bare): OptionalBody<Bare>,
) -> Answer {
    ask(&shared, service, TrafficAsk::Reset, bare).await
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
        force,
        dry_run,
    } = body;
    let bare = Bare {
        by,
        reason,
        force,
        dry_run,
    };
    ask(&shared, service, TrafficAsk::Promote(deployment), bare).await
}

async fn roll_back(
    State(shared): State<Shared>,
    Named(service): Named,
    OptionalBody(bare): OptionalBody<Bare>,
) -> Answer {
    ask(&shared, service, TrafficAsk::RollBack, bare).await
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
        force,
        dry_run,
    } = body;
    let wanted = TrafficAsk::Rollout(match action {
        RolloutAction::Pause => RolloutAsk::Pause { of },
        RolloutAction::Resume => RolloutAsk::Resume { of },
        RolloutAction::Restart => RolloutAsk::Restart { of },
    });
    let bare = Bare {
        by,
        reason,
        force,
        dry_run,
    };
    ask(&shared, service, wanted, bare).await
}

type Answer = Result<Json<WeightsStatus>, Problem>;

async fn ask(shared: &Shared, service: String, ask: TrafficAsk, bare: Bare) -> Answer {
    let Bare {
        by,
        reason,
        force,
        dry_run,
    } = bare;
    let (by, reason) = Who { by, reason }.said()?;
    let request = TrafficRequest {
        service,
        ask,
        by,
        reason,
        force,
        dry_run,
    };
    Ok(Json(shared.control.traffic(request).await?))
}
