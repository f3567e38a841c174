//! The pages that change how a service's traffic is shared.
//!
//! Every change may say who makes it (`by`) and why (`reason`); both show in the status and in the
//! journal. The answer is always how the weights are now.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Named, Problem, Shared};
use crate::{
    reconcile::{RolloutAsk, TrafficAsk},
    status::WeightsStatus,
    weights::WeightMap,
};

/// Longest name of a person, and longest reason, in bytes.
const WORDS_MAX: usize = 500;

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
    for words in [&by, &reason].into_iter().flatten() {
        if words.len() > WORDS_MAX {
            let rule = format!("`by` and `reason` may have at most {WORDS_MAX} bytes");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, rule));
        }
    }
    let said = |words: Option<String>| words.filter(|words| !words.trim().is_empty());
    let control = &shared.control;
    let status = control.traffic(service, wanted, said(by), said(reason));
    Ok(Json(status.await?))
}

/// A body of JSON whose errors are problems too. Whatever the content type says: nobody sends
/// anything else here.
struct Body<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        read(&bytes(request, state).await?).map(Self)
    }
}

/// The same, of which nothing need be said.
struct OptionalBody<T>(T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = bytes(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        read(&bytes).map(Self)
    }
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let bytes = Bytes::from_request(request, state).await;
    bytes.map_err(|error| Problem::new(error.status(), error.body_text()))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}
