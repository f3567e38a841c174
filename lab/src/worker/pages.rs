//! The pages about the worker itself: models, health, metrics, stats.

use std::{fmt::Write, sync::Arc};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{
    api::{ApiError, CONTEXT_TOKENS},
    engine::{Engine, Stats},
};

pub(super) async fn models(State(engine): State<Arc<Engine>>) -> Json<Value> {
    Json(json!({
        "object": "list",
        "data": [{
            "id": engine.model,
            "object": "model",
            "created": 0,
            "owned_by": "penstock",
            "max_model_len": CONTEXT_TOKENS,
        }],
    }))
}

pub(super) async fn health(State(engine): State<Arc<Engine>>) -> Response {
    if engine.is_ready() {
        StatusCode::OK.into_response()
    } else {
        ApiError::loading().into_response()
    }
}

pub(super) async fn stats(State(engine): State<Arc<Engine>>) -> Json<Stats> {
    Json(engine.stats())
}

/// Prometheus text under vLLM's names.
pub(super) async fn metrics(State(engine): State<Arc<Engine>>) -> Response {
    let stats = engine.stats();
    let model = engine
        .model
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n");
    let mut text = String::new();
    for (name, kind, help, value) in [
        (
            "num_requests_running",
            "gauge",
            "Requests in the batch.",
            stats.running,
        ),
        (
            "num_requests_waiting",
            "gauge",
            "Requests waiting for the batch.",
            stats.waiting,
        ),
        (
            "prompt_tokens_total",
            "counter",
            "Prompt tokens processed.",
            stats.prompt_tokens,
        ),
        (
            "generation_tokens_total",
            "counter",
            "Tokens generated.",
            stats.generated_tokens,
        ),
        (
            "request_success_total",
            "counter",
            "Requests answered to their end.",
            stats.finished,
        ),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}\n\
             vllm:{name}{{model_name=\"{model}\"}} {value}"
        );
    }
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response()
}
