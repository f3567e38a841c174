//! The pages that say why there are as many workers as there are.

use axum::{Router, extract::State, routing::get};
use serde::Deserialize;

use super::{Answer, Parameters, Place, Problem, Shared, text};
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
    place: Place,
    Parameters(which): Parameters<Which>,
) -> Answer {
    text::json(explain(&shared, place, which).await?).await
}

async fn one(
    State(shared): State<Shared>,
    place: Place,
    Parameters(which): Parameters<Which>,
) -> Answer {
    let mut found = explain(&shared, place, which).await?;
    text::json(found.swap_remove(0)).await
}

async fn explain(shared: &Shared, place: Place, which: Which) -> Result<Vec<Explanation>, Problem> {
    let changes = which.changes.unwrap_or(CHANGES_DEFAULT).min(CHANGES_MAX);
    let since_ms = which.since_ms.unwrap_or(0);
    let Place {
        service,
        deployment,
    } = place;
    let asked = shared
        .control
        .explain(service, deployment, changes, since_ms);
    Ok(asked.await?)
}
