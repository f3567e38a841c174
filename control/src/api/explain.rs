//! The pages that say why there are as many workers as there are.

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
    routing::get,
};
use serde::Deserialize;

use super::{Named, Parameters, Problem, Shared};
use crate::explain::Explanation;

/// Changes given when nobody says how many.
const CHANGES_DEFAULT: u32 = 10;

/// Most changes of one answer: as many as the journal keeps.
const CHANGES_MAX: u32 = 1_000;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/services/{service}/decisions", get(all))
        .route(
            "/api/v1/services/{service}/deployments/{deployment}/decision",
            get(one),
        )
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    changes: Option<u32>,
    since_ms: Option<u64>,
}

async fn all(
    State(shared): State<Shared>,
    Named(service): Named,
    Parameters(which): Parameters<Which>,
) -> Result<Json<Vec<Explanation>>, Problem> {
    Ok(Json(explain(&shared, service, None, which).await?))
}

async fn one(
    State(shared): State<Shared>,
    NamedBoth(service, deployment): NamedBoth,
    Parameters(which): Parameters<Which>,
) -> Result<Json<Explanation>, Problem> {
    let mut found = explain(&shared, service, Some(deployment), which).await?;
    Ok(Json(found.swap_remove(0)))
}

async fn explain(
    shared: &Shared,
    service: String,
    deployment: Option<String>,
    which: Which,
) -> Result<Vec<Explanation>, Problem> {
    let changes = which.changes.unwrap_or(CHANGES_DEFAULT).min(CHANGES_MAX);
    let since_ms = which.since_ms.unwrap_or(0);
    let asked = shared
        .control
        .explain(service, deployment, changes, since_ms);
    Ok(asked.await?)
}

/// Service and deployment that the page is about, whose errors are problems too.
struct NamedBoth(String, String);

impl<S: Send + Sync> FromRequestParts<S> for NamedBoth {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((service, deployment)) =
            path.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        Ok(Self(service, deployment))
    }
}
