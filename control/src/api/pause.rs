//! The pages that pause and resume services and deployments.
//!
//! As with weights, every change may say who makes it (`by`) and why (`reason`). The answer is always
//! what is paused now, and what became of the request.

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Place, Problem, Shared,
    body::{OptionalBody, Who},
};
use crate::{
    ControlError,
    core::{PauseAsk, PauseRequest},
    pause::Expiry,
    status::PauseStatus,
    weights::Refused,
};

pub(super) fn routes() -> Router<Shared> {
    let page = || get(show).post(pause).delete(resume);
    Router::new()
        .route("/api/v1/services/{service}/pause", page())
        .route(
            "/api/v1/services/{service}/deployments/{deployment}/pause",
            page(),
        )
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Pausing {
    /// Seconds from now, or a time of RFC 3339.
    expires: Option<Value>,
    by: Option<String>,
    reason: Option<String>,
}

async fn show(State(shared): State<Shared>, place: Place) -> Answer {
    ask(&shared, place, PauseAsk::Show, Who::default()).await
}

async fn pause(
    State(shared): State<Shared>,
    place: Place,
    OptionalBody(body): OptionalBody<Pausing>,
) -> Answer {
    let expires = body.expires.as_ref().map(Expiry::from_json).transpose();
    let expires = expires.map_err(Refused::Expires);
    let wanted = PauseAsk::Pause(expires.map_err(ControlError::Refused)?);
    let Pausing { by, reason, .. } = body;
    ask(&shared, place, wanted, Who { by, reason }).await
}

async fn resume(
    State(shared): State<Shared>,
    place: Place,
    OptionalBody(who): OptionalBody<Who>,
) -> Answer {
    ask(&shared, place, PauseAsk::Resume, who).await
}

type Answer = Result<Json<PauseStatus>, Problem>;

async fn ask(shared: &Shared, place: Place, ask: PauseAsk, who: Who) -> Answer {
    let (by, reason) = who.said()?;
    let request = PauseRequest {
        service: place.service,
        deployment: place.deployment,
        ask,
        by,
        reason,
    };
    match shared.control.pause(request).await {
        Ok(status) => Ok(Json(status)),
        // Here it is a part of the address.
        Err(ControlError::Refused(refused @ Refused::NoDeployment { .. })) => {
            Err(Problem::new(StatusCode::NOT_FOUND, refused.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
