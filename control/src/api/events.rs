//! Everything that the console shows, as it changes: server-sent events.
//!
//! A stream begins with the whole state; then it has, once a second, what is different (a merge patch of
//! RFC 7396). The difference is made once for all who watch, and only while somebody does. Whoever reads
//! too slowly skips what came meanwhile and gets the whole state again: nothing waits for anybody, and no
//! more than one state and one difference are kept. A stream that broke begins anew in the same way, so
//! that there is nothing to resume.
//!
//! | Event | Data |
//! |---|---|
//! | `state` | the whole state |
//! | `patch` | what is different from the event before |
//! | `history` | samples for charts: of all deployments together, or of each of the service; then new ones |
//! | `service` | of the service alone: its recent and open requests, why it has so many workers, its journal; or the `problem` with it |
//! | `problem` | why there is nothing more to come |

mod difference;
mod model;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use http_body_util::channel::{Channel, Sender};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{Answer, Parameters, Problem, Shared, access::Caller, text};
use crate::{
    Control, ControlError,
    history::{Row, STEP_MS, Sample},
    status::{RecentStatus, RequestsStatus},
    store::JournalQuery,
};

/// Most streams at the same time.
const WATCHERS_MAX: usize = 32;

/// Most of them with one token, so that others can watch as well.
const WATCHERS_OF_TOKEN_MAX: usize = 8;

/// Events that may be ready before the client has taken them.
const EVENTS_MAX: usize = 4;

/// How often things are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Decisions and journal entries that are shown of a service.
const ENTRIES: u32 = 50;

/// Open requests that are shown of a service.
const REQUESTS: usize = 50;

/// The state at one moment, and how it differs from the one before.
struct Frame {
    number: u64,
    state: Arc<Value>,
    patch: Bytes,
}

/// What all who watch share.
#[derive(Clone)]
pub(super) struct Events {
    frames: Arc<watch::Sender<Option<Arc<Frame>>>>,
    /// Whether frames are being made.
    is_made: Arc<Mutex<bool>>,
    places: Arc<Semaphore>,
    /// The places that are taken with each token.
    by_token: Arc<Mutex<HashMap<String, usize>>>,
}

/// The right to watch, given back when dropped.
struct Place {
    _place: OwnedSemaphorePermit,
    token: Option<String>,
    by_token: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(token) = &self.token else { return };
        let mut taken = self.by_token.lock();
        if let Some(count) = taken.get_mut(token) {
            *count -= 1;
            if *count == 0 {
                taken.remove(token);
            }
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self {
            frames: Arc::new(watch::channel(None).0),
            is_made: Arc::default(),
            places: Arc::new(Semaphore::new(WATCHERS_MAX)),
            by_token: Arc::default(),
        }
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/events", get(stream))
        .route("/api/v1/history", get(history))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    service: Option<String>,
}

/// The samples as they are now, for scripts.
async fn history(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(which): Parameters<Which>,
) -> Answer {
    caller.may_ask_about(which.service.as_deref())?;
    if let Some(service) = &which.service {
        // For its error, if there is no such service.
        shared.control.service(service.clone()).await?;
    }
    let series = samples(&shared.control, which.service.as_deref(), 0);
    text::json(series.unwrap_or_default()).await
}

async fn stream(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Parameters(which): Parameters<Which>,
) -> Answer {
    if which.service.is_some() {
        caller.may_ask_about(which.service.as_deref())?;
    }
    let place = shared.events.place(caller.name())?;
    let frames = shared.events.watch(&shared.control);
    let (events, body) = Channel::<Bytes>::new(EVENTS_MAX);
    let what = What {
        service: which.service,
        caller,
    };
    tokio::spawn(watched(shared, what, frames, events, place));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::new(body)).into_response())
}

impl Events {
    /// A place for one more who watches.
    fn place(&self, token: Option<&str>) -> Result<Place, Problem> {
        let full = |max: usize, whose: &str| {
            let detail = format!("{max} clients{whose} watch events already");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
        };
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| full(WATCHERS_MAX, ""))?;
        if let Some(token) = token {
            let mut taken = self.by_token.lock();
            let count = taken.entry(token.to_owned()).or_default();
            if *count == WATCHERS_OF_TOKEN_MAX {
                return Err(full(WATCHERS_OF_TOKEN_MAX, " with this token"));
            }
            *count += 1;
        }
        Ok(Place {
            _place: place,
            token: token.map(str::to_owned),
            by_token: Arc::clone(&self.by_token),
        })
    }

    /// The frames from now on. They are made as long as somebody has one of these.
    fn watch(&self, control: &Arc<Control>) -> watch::Receiver<Option<Arc<Frame>>> {
        let frames = self.frames.subscribe();
        let mut is_made = self.is_made.lock();
        if !*is_made {
            *is_made = true;
            tokio::spawn(self.clone().make(Arc::clone(control)));
        }
        frames
    }

    async fn make(self, control: Arc<Control>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<Arc<Frame>> = None;
        loop {
            ticks.tick().await;
            {
                let mut is_made = self.is_made.lock();
                // Whoever comes later finds out that nobody makes frames: they look under the same lock.
                if self.frames.receiver_count() == 0 {
                    *is_made = false;
                    self.frames.send_replace(None);
                    return;
                }
            }
            // When control is gone there is nothing new. Those who watch find out by themselves.
            if let Some(frame) = next(&control, last.clone()).await {
                let frame = Arc::new(frame);
                last = Some(Arc::clone(&frame));
                self.frames.send_replace(Some(frame));
            }
        }
    }
}

/// The state now, and how it differs from the last one.
async fn next(control: &Control, last: Option<Arc<Frame>>) -> Option<Frame> {
    let status = control.status().await.ok()?;
    let rates = model::rates(&control.history());
    // With a thousand deployments this takes a while.
    let made = spawn_blocking(move || {
        let before = last.as_ref().map(|last| &*last.state);
        let state = model::state(&status, &rates, before);
        let patch = match before {
            Some(before) => difference::patch(before, &state).unwrap_or_else(|| json!({})),
            None => json!({}),
        };
        Frame {
            number: last.as_ref().map_or(1, |last| last.number + 1),
            patch: event("patch", &patch),
            state: Arc::new(state),
        }
    });
    made.await.ok()
}

/// What one client watches.
struct What {
    service: Option<String>,
    caller: Caller,
}

/// Sends to one client until it is gone.
async fn watched(
    shared: Shared,
    what: What,
    mut frames: watch::Receiver<Option<Arc<Frame>>>,
    mut events: Sender<Bytes>,
    _place: Place,
) {
    // The last frame that the client has, and the first tick that it has no samples of.
    let (mut number, mut tick) = (0, 0);
    loop {
        let frame = frames.borrow_and_update().clone();
        if let Some(frame) = frame.filter(|frame| frame.number != number) {
            let follows = frame.number == number + 1 && number > 0;
            let text = match (what.caller.services(), follows) {
                (None, true) => frame.patch.clone(),
                (None, false) => event("state", &*frame.state),
                // A few services are sent whole each time.
                (Some(_), _) => {
                    let mut seen = model::part(&frame.state, |service| what.caller.sees(service));
                    what.caller.hide(&mut seen);
                    event("state", &seen)
                }
            };
            number = frame.number;
            if events.send_data(text).await.is_err() {
                return;
            }
            let told = told(&shared, &what, &mut tick).await;
            if events.send_data(told).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = frames.changed() => if changed.is_err() {
                return;
            },
            // Control may have ended; and a client that is gone is noticed by sending to it.
            () = tokio::time::sleep(EVERY * 5) => {
                let problem = shared.control.failure();
                let text = match &problem {
                    Some(detail) => event("problem", &json!({ "detail": detail })),
                    None => Bytes::from_static(b": nothing new\n\n"),
                };
                if events.send_data(text).await.is_err() || problem.is_some() {
                    return;
                }
            }
        }
    }
}

/// What the client is told besides the state.
async fn told(shared: &Shared, what: &What, tick: &mut u64) -> Bytes {
    let mut told = Vec::new();
    let service = what.service.as_deref();
    // Those of all services together are for who may see all.
    let may = service.is_some() || what.caller.services().is_none();
    if may && let Some(samples) = samples(&shared.control, service, *tick) {
        *tick = samples.newest + 1;
        told.extend_from_slice(&event("history", &samples));
    }
    if let Some(service) = service {
        // It may be that there is no such service any more, or not yet: the stream goes on.
        let detail = detail(shared, service).await;
        let mut detail =
            detail.unwrap_or_else(|error| json!({ "name": service, "problem": error.to_string() }));
        what.caller.hide(&mut detail);
        told.extend_from_slice(&event("service", &detail));
    }
    told.into()
}

/// Samples by what they are of.
#[derive(Debug, Default, Serialize)]
struct Samples {
    step_ms: u64,
    newest: u64,
    columns: &'static [&'static str],
    /// By deployment; under an empty name those of everything.
    of: BTreeMap<String, Vec<Row>>,
}

/// The samples since a tick, if there are any.
fn samples(control: &Control, service: Option<&str>, from: u64) -> Option<Samples> {
    let of = {
        let history = control.history();
        match service {
            Some(service) => history.of_service(service, from),
            None => vec![(String::new(), history.of_all(from))],
        }
    };
    let newest = of.iter().filter_map(|(_, samples)| samples.last());
    let newest = newest.map(|sample| sample.tick).max()?;
    let rows = |samples: Vec<Sample>| samples.iter().map(Sample::row).collect();
    Some(Samples {
        step_ms: STEP_MS,
        newest,
        columns: &Sample::COLUMNS,
        of: of
            .into_iter()
            .map(|(of, samples)| (of, rows(samples)))
            .collect(),
    })
}

/// What is shown of one service.
async fn detail(shared: &Shared, name: &str) -> Result<Value, ControlError> {
    let Shared { control, hooks, .. } = shared;
    let explained = control.explain(name.to_owned(), None, ENTRIES, 0).await?;
    let query = JournalQuery {
        service: Some(name.to_owned()),
        deployment: None,
        limit: ENTRIES,
    };
    let journal = control.journal(query).await?;
    let insight = (hooks.insight)(name.to_owned(), REQUESTS).await;
    let recent = insight.deployments.iter().map(|told| {
        let workers = told.workers.iter();
        let workers =
            workers.map(|(id, recent)| (id.to_string(), json!(RecentStatus::from(recent))));
        let recent = json!({
            "recent": RecentStatus::from(&told.recent),
            "workers": workers.collect::<serde_json::Map<_, _>>(),
        });
        (told.deployment.to_string(), recent)
    });
    let recent: serde_json::Map<_, _> = recent.collect();
    Ok(json!({
        "name": name,
        "recent": recent,
        "explain": explained,
        "journal": journal,
        "requests": RequestsStatus::from(insight),
    }))
}

/// One event. JSON has no line breaks of its own.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    format!("event: {name}\ndata: {data}\n\n").into()
}
