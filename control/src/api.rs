//! The admin address: health, metrics, the API that `penstock status` and friends use, and the console.
//!
//! Pages of other origins are kept away: see `guard`; and all who may not ask: see `access`.

mod access;
mod body;
mod console;
mod events;
mod explain;
mod guard;
mod impatient;
mod pause;
mod problem;
mod serve;
mod socket;
mod text;
mod traffic;
mod try_it;
mod workers;

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::{FromRequestParts, Path, Query, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use penstock_config::{Config, fleet::ServiceInsight};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

pub(crate) use self::access::describe;
use self::{
    access::{Caller, Tokens},
    body::{OptionalBody, Who},
    events::Events,
    socket::SocketFile,
    try_it::Tries,
};
pub use self::{problem::Problem, serve::Bounds, text::Write, try_it::Door};
use crate::{
    Control, ControlError,
    revisions::{Origin, Via},
    status::{RequestsStatus, ServiceDetail},
    store::{JournalQuery, StoreError},
};

/// Journal entries given when nobody says how many.
const JOURNAL_DEFAULT: u32 = 100;

/// Most journal entries of one answer.
const JOURNAL_MAX: u32 = 10_000;

/// Journal entries shown with a service.
const JOURNAL_OF_SERVICE: u32 = 20;

/// Open requests shown with a service.
const REQUESTS_OF_SERVICE: usize = 20;

/// Open requests given when nobody says how many.
const REQUESTS_DEFAULT: usize = 100;

/// Most open requests of one answer.
const REQUESTS_MAX: usize = 10_000;

/// What reloading comes to: an error holds everything that is wrong with the file.
pub type Reload = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What the gateway tells of a service.
pub type Asked = Pin<Box<dyn Future<Output = ServiceInsight> + Send>>;

/// What the API asks of the rest of the program.
#[derive(Clone)]
pub struct Hooks {
    /// Writes all metrics as Prometheus text.
    pub metrics: Write,
    /// Asks the gateway about a service by name: how its requests did of late, and its oldest so many
    /// open requests.
    pub insight: Arc<dyn Fn(String, usize) -> Asked + Send + Sync>,
    /// Why requests cannot be served yet or any more, if so.
    pub not_ready: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Where the gateway listens now.
    pub doors: Arc<dyn Fn() -> Vec<Door> + Send + Sync>,
    /// Reads the configuration again and applies it, for whoever asks.
    pub reload: Arc<dyn Fn(Origin) -> Reload + Send + Sync>,
}

/// The running admin server; ends when dropped.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    tokens: Tokens,
    tasks: Vec<JoinHandle<()>>,
    /// Removed with the server.
    _socket: Option<SocketFile>,
}

/// Why the admin address cannot be served.
#[derive(Debug)]
pub enum ListenError {
    /// The address cannot be had.
    Address(io::Error),
    /// The Unix socket cannot be had.
    Socket(io::Error),
}

#[derive(Clone)]
struct Shared {
    control: Arc<Control>,
    hooks: Hooks,
    events: Events,
    tries: Tries,
}

impl Api {
    /// Serves `router` where the settings say, within `bounds`, in the current tokio runtime. That
    /// should be another one than control's, so that neither waits for the other.
    ///
    /// # Errors
    ///
    /// When the address or the socket cannot be had.
    pub async fn start(
        config: &Config,
        bounds: Bounds,
        router: Router,
    ) -> Result<Self, ListenError> {
        let admin = &config.admin;
        let listener = TcpListener::bind(admin.address).await;
        let listener = listener.map_err(ListenError::Address)?;
        let address = listener.local_addr().map_err(ListenError::Address)?;
        let socket = admin.socket.as_deref().map(socket::bind).transpose();
        let socket = socket.map_err(ListenError::Socket)?;
        let tokens = Tokens::default();
        tokens.set(config);
        let bounded = serve::bounded(router, bounds);
        let router = guard::protect(access::protect(bounded, tokens.clone()), &admin.hosts);
        let mut tasks = vec![tokio::spawn(serve::serve(listener, router.clone(), bounds))];
        let mut file = None;
        if let Some((listener, made)) = socket {
            tasks.push(tokio::spawn(serve::serve(listener, router, bounds)));
            file = Some(made);
        }
        Ok(Self {
            address,
            tokens,
            tasks,
            _socket: file,
        })
    }

    /// From now on the tokens of this configuration alone count.
    pub fn set_tokens(&self, config: &Config) {
        self.tokens.set(config);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What a page answers.
type Answer = Result<Response, Problem>;

/// The routes of the API. More can be merged before [`Api::start`].
pub fn router(control: Arc<Control>, hooks: Hooks) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/whoami", get(whoami))
        .route("/api/v1/services/{service}", get(service))
        .route("/api/v1/services/{service}/requests", get(requests))
        .merge(traffic::routes())
        .merge(explain::routes())
        .merge(pause::routes())
        .merge(workers::routes())
        .merge(events::routes())
        .merge(try_it::routes())
        .merge(console::routes())
        .route("/api/v1/journal", get(journal))
        .route("/api/v1/reload", post(reload))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "no such page") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this page does not take this method",
            )
        })
        .with_state(Shared {
            control,
            hooks,
            events: Events::default(),
            tries: Tries::default(),
        })
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let not_ready = (shared.hooks.not_ready)().or_else(|| shared.control.failure());
    match not_ready {
        None => "ready\n".into_response(),
        Some(reason) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    text::stream(
        "text/plain; version=0.0.4; charset=utf-8",
        Arc::clone(&shared.hooks.metrics),
    )
}

async fn status(State(shared): State<Shared>, Extension(caller): Extension<Caller>) -> Answer {
    let mut status = shared.control.status().await?;
    if caller.services().is_some() {
        status.keep_only(|service| caller.sees(service));
    }
    text::json(status).await
}

/// Who the caller is to us: for pages that show only what can be done.
async fn whoami(Extension(caller): Extension<Caller>) -> Response {
    Json(json!({
        "token": caller.name(),
        "role": caller.role().as_str(),
        "services": caller.services(),
    }))
    .into_response()
}

async fn service(State(shared): State<Shared>, Named(name): Named) -> Answer {
    let mut service = shared.control.service(name.clone()).await?;
    let insight = (shared.hooks.insight)(name.clone(), REQUESTS_OF_SERVICE).await;
    service.add_recent(&insight);
    let query = JournalQuery {
        service: Some(name),
        deployment: None,
        limit: JOURNAL_OF_SERVICE,
    };
    let journal = shared.control.journal(query).await?;
    let requests = insight.into();
    let detail = ServiceDetail {
        service,
        requests,
        journal,
    };
    text::json(detail).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestsParameters {
    limit: Option<usize>,
}

async fn requests(
    State(shared): State<Shared>,
    Named(name): Named,
    Parameters(parameters): Parameters<RequestsParameters>,
) -> Answer {
    // For its error, if there is no such service.
    shared.control.service(name.clone()).await?;
    let limit = parameters.limit.unwrap_or(REQUESTS_DEFAULT);
    let insight = (shared.hooks.insight)(name, limit.min(REQUESTS_MAX)).await;
    text::json(RequestsStatus::from(insight)).await
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
    Extension(caller): Extension<Caller>,
    Parameters(parameters): Parameters<JournalParameters>,
) -> Answer {
    let JournalParameters {
        service,
        deployment,
        limit,
    } = parameters;
    caller.may_ask_about(service.as_deref())?;
    let query = JournalQuery {
        service,
        deployment,
        limit: limit.unwrap_or(JOURNAL_DEFAULT).min(JOURNAL_MAX),
    };
    text::json(shared.control.journal(query).await?).await
}

async fn reload(
    State(shared): State<Shared>,
    OptionalBody(who): OptionalBody<Who>,
) -> Result<&'static str, Problem> {
    let (by, reason) = who.said()?;
    let via = Via::Api;
    match (shared.hooks.reload)(Origin { via, by, reason }).await {
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
            ControlError::Ended | ControlError::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
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
