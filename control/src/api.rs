//! The admin address: health, metrics, and the API that `penstock status` and friends use.
//!
//! Made for operators and machines, never for browsers: see `guard`.

mod body;
mod explain;
mod guard;
mod pause;
mod problem;
mod traffic;

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc};

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Query, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use tokio::{net::TcpListener, task::JoinHandle};

pub use self::problem::Problem;
use crate::{
    Control, ControlError,
    explain::Unknown,
    status::{ServiceDetail, Status},
    store::{JournalEntry, JournalQuery, StoreError},
};

/// Journal entries given when nobody says how many.
const JOURNAL_DEFAULT: u32 = 100;

/// Most journal entries of one answer.
const JOURNAL_MAX: u32 = 10_000;

/// Journal entries shown with a service.
const JOURNAL_OF_SERVICE: u32 = 20;

/// What reloading comes to: an error holds everything that is wrong with the file.
pub type Reload = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What the API asks of the rest of the program.
#[derive(Clone)]
pub struct Hooks {
    /// All metrics as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Why requests cannot be served yet or any more, if so.
    pub not_ready: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Reads the configuration again and applies it.
    pub reload: Arc<dyn Fn() -> Reload + Send + Sync>,
}

/// The running admin server; ends when dropped.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    control: Arc<Control>,
    hooks: Hooks,
}

impl Api {
    /// Serves `router` on `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub async fn start(address: SocketAddr, router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let router = guard::protect(router, address);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the admin server ended");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The routes of the API. More can be merged before [`Api::start`].
pub fn router(control: Arc<Control>, hooks: Hooks) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/services/{service}", get(service))
        .merge(traffic::routes())
        .merge(explain::routes())
        .merge(pause::routes())
        .route("/api/v1/journal", get(journal))
        .route("/api/v1/reload", post(reload))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "no such page") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this page does not take this method",
            )
        })
        .with_state(Shared { control, hooks })
}

async fn readyz(State(shared): State<Shared>) -> Response {
    match (shared.hooks.not_ready)() {
        None => "ready\n".into_response(),
        Some(reason) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let content_type = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([content_type], (shared.hooks.metrics)()).into_response()
}

async fn status(State(shared): State<Shared>) -> Result<Json<Status>, Problem> {
    Ok(Json(shared.control.status().await?))
}

async fn service(
    State(shared): State<Shared>,
    Named(name): Named,
) -> Result<Json<ServiceDetail>, Problem> {
    let mut services = shared.control.status().await?.services;
    let Some(place) = services.iter().position(|service| service.name == name) else {
        let names = services.into_iter().map(|service| service.name);
        let there_are = names.collect();
        return Err(ControlError::from(Unknown::Service { name, there_are }).into());
    };
    let service = services.swap_remove(place);
    let query = JournalQuery {
        service: Some(name),
        deployment: None,
        limit: JOURNAL_OF_SERVICE,
    };
    let journal = shared.control.journal(query).await?;
    Ok(Json(ServiceDetail { service, journal }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalParameters {
    service: Option<String>,
    deployment: Option<String>,
    limit: Option<u32>,
}

async fn journal(
    State(shared): State<Shared>,
    Parameters(parameters): Parameters<JournalParameters>,
) -> Result<Json<Vec<JournalEntry>>, Problem> {
    let JournalParameters {
        service,
        deployment,
        limit,
    } = parameters;
    let limit = limit.unwrap_or(JOURNAL_DEFAULT).min(JOURNAL_MAX);
    Ok(Json(
        shared
            .control
            .journal(JournalQuery {
                service,
                deployment,
                limit,
            })
            .await?,
    ))
}

async fn reload(State(shared): State<Shared>) -> Result<&'static str, Problem> {
    match (shared.hooks.reload)().await {
        Ok(()) => Ok("reloaded\n"),
        Err(errors) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, errors)),
    }
}

/// Query parameters whose errors are problems too.
struct Parameters<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let Query(parameters) =
            query.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
        Ok(Self(parameters))
    }
}

/// The service that the page is about, whose errors are problems too.
pub struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        Ok(Self(name))
    }
}

/// The service that the page is about, or one of its deployments; errors are problems too.
#[derive(Debug, Deserialize)]
struct Place {
    service: String,
    deployment: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<Self>::from_request_parts(parts, state).await;
        let Path(place) = path.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        Ok(place)
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let status = match &error {
            ControlError::Ended => StatusCode::SERVICE_UNAVAILABLE,
            ControlError::Unknown(_) => StatusCode::NOT_FOUND,
            ControlError::Refused(refused) if refused.is_unknown() => StatusCode::NOT_FOUND,
            ControlError::Refused(refused) if refused.is_conflict() => StatusCode::CONFLICT,
            ControlError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ControlError::Store(StoreError::NotWritten(_)) => StatusCode::INSUFFICIENT_STORAGE,
            ControlError::Store(_) | ControlError::Processes(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}
