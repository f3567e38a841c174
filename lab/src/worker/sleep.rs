//! vLLM's sleep mode: `/sleep`, `/wake_up` and `/is_sleeping`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json,
    extract::{Query, State},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{WorkerArgs, api::ApiError, engine::Engine};

/// Whether it sleeps, and how that goes.
pub(super) struct Sleep {
    /// One call after the other, as in the engine.
    turn: Mutex<()>,
    asleep: AtomicBool,
    corrupt: AtomicBool,
    sleep_time: Duration,
    wake_time: Duration,
    sleep_fails: bool,
    wake_fails: bool,
    wake_corrupt: bool,
}

impl Sleep {
    pub(super) fn new(args: &WorkerArgs) -> Self {
        Self {
            turn: Mutex::default(),
            asleep: AtomicBool::new(false),
            corrupt: AtomicBool::new(false),
            sleep_time: args.sleep_time,
            wake_time: args.wake_time,
            sleep_fails: args.faults.sleep_fails,
            wake_fails: args.faults.wake_fails,
            wake_corrupt: args.faults.wake_corrupt,
        }
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Whether it woke up with damaged weights.
    pub(super) fn is_corrupt(&self) -> bool {
        self.corrupt.load(Ordering::Relaxed)
    }
}

/// How deep. The second level drops the weights too, which makes no difference here.
#[derive(Deserialize)]
pub(super) struct Depth {
    #[serde(default = "one")]
    level: u32,
}

fn one() -> u32 {
    1
}

/// Gives the memory up. One that sleeps already sleeps on.
pub(super) async fn sleep(
    State(engine): State<Arc<Engine>>,
    Query(Depth { level }): Query<Depth>,
) -> Result<StatusCode, ApiError> {
    if !(1..=2).contains(&level) {
        return Err(ApiError::invalid("level", "level must be 1 or 2"));
    }
    let sleep = &engine.sleep;
    let _turn = sleep.turn.lock().await;
    if sleep.sleep_fails {
        return Err(ApiError::sleep_failed("--sleep-fails"));
    }
    if !sleep.is_asleep() {
        sleep.asleep.store(true, Ordering::Relaxed);
        tokio::time::sleep(sleep.sleep_time).await;
    }
    Ok(StatusCode::OK)
}

/// Takes it again. One that is awake stays so.
pub(super) async fn wake_up(State(engine): State<Arc<Engine>>) -> Result<StatusCode, ApiError> {
    let sleep = &engine.sleep;
    let _turn = sleep.turn.lock().await;
    if sleep.wake_fails {
        return Err(ApiError::sleep_failed("--wake-fails"));
    }
    if sleep.is_asleep() {
        tokio::time::sleep(sleep.wake_time).await;
        sleep.corrupt.store(sleep.wake_corrupt, Ordering::Relaxed);
        sleep.asleep.store(false, Ordering::Relaxed);
    }
    Ok(StatusCode::OK)
}

pub(super) async fn is_sleeping(State(engine): State<Arc<Engine>>) -> Json<Value> {
    Json(json!({ "is_sleeping": engine.sleep.is_asleep() }))
}
