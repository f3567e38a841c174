//! `POST /v1/responses`: text in, text out.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::{ApiError, Limits, broken, parse},
    chat::{Job, Message},
    engine::{Engine, Request},
};

#[derive(Deserialize)]
struct ResponsesRequest {
    model: Option<String>,
    input: Input,
    #[serde(default)]
    stream: bool,
    max_output_tokens: Option<u64>,
    /// How it thinks first, if it does.
    reasoning: Option<Value>,
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Messages(Vec<Message>),
}

pub(super) async fn answer(
    State(engine): State<Arc<Engine>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request = engine.begin().unless_it_must_fail()?;
    let asked: ResponsesRequest = parse(&body)?;
    engine.check_model(asked.model.as_deref())?;
    let messages = match asked.input {
        Input::Text(text) => vec![Message::of_user(text)],
        Input::Messages(messages) => messages,
    };
    let limits = match asked.max_output_tokens {
        Some(most) => asked.limits.with_default(most),
        None => asked.limits,
    };
    let thinks = asked
        .reasoning
        .is_some_and(|reasoning| reasoning["effort"].is_string());
    let job = Job::of(&messages, &limits, thinks, ("resp", &engine, &request))?;
    if asked.stream {
        Ok(stream(request, job))
    } else {
        Ok(whole(request, job).await)
    }
}

impl Job {
    /// The response, with its text and usage once it has them.
    fn response(&self, status: &str, text: Option<&str>, usage: Option<Value>) -> Value {
        let output = text.map(|text| {
            let part = json!({ "type": "output_text", "text": text, "annotations": [] });
            json!({ "type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": [part] })
        });
        json!({
            "id": self.head.id,
            "object": "response",
            "created_at": self.head.created,
            "status": status,
            "model": self.head.model,
            "output": output.into_iter().collect::<Vec<_>>(),
            "parallel_tool_calls": true,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage,
        })
    }
}

async fn whole(request: Request, job: Job) -> Response {
    let place = request.enter_batch(job.prompt_tokens).await;
    let mut generation = place
        .generate(&job.prompt, job.length)
        .thinking(job.thoughts);
    let mut text = String::new();
    while let Some(token) = generation.next().await {
        if !generation.is_thinking() {
            text.push_str(&token);
        }
    }
    let usage = job.usage(&generation);
    drop(generation);
    drop(place);
    request.finish(usage);
    Json(job.response("completed", Some(&text), Some(usage.to_responses()))).into_response()
}

fn stream(request: Request, job: Job) -> Response {
    let events = async_stream::stream! {
        let place = request.enter_batch(job.prompt_tokens).await;
        let mut generation = place.generate(&job.prompt, job.length).thinking(job.thoughts);
        let mut number = 0;
        let mut event = |kind: &str, mut members: Value| {
            members["type"] = json!(kind);
            members["sequence_number"] = json!(number);
            number += 1;
            Event::default().event(kind).json_data(members)
        };
        yield event("response.created", json!({ "response": job.response("in_progress", None, None) }));
        let item = json!({ "type": "message", "id": "msg", "role": "assistant", "status": "in_progress", "content": [] });
        yield event("response.output_item.added", json!({ "output_index": 0, "item": item }));
        let part = json!({ "type": "output_text", "text": "", "annotations": [] });
        let place_of = |members: Value| {
            let mut all = json!({ "item_id": "msg", "output_index": 0, "content_index": 0 });
            if let (Some(all), Value::Object(members)) = (all.as_object_mut(), members) {
                all.extend(members);
            }
            all
        };
        yield event("response.content_part.added", place_of(json!({ "part": part })));
        let mut text = String::new();
        while let Some(token) = generation.next().await {
            if generation.is_thinking() {
                yield event("response.reasoning_text.delta", place_of(json!({ "delta": token })));
            } else {
                text.push_str(&token);
                yield event("response.output_text.delta", place_of(json!({ "delta": token, "logprobs": [] })));
            }
            if generation.must_break() {
                // What was said before leaves first.
                tokio::task::yield_now().await;
                yield Err(broken());
                return;
            }
        }
        let usage = job.usage(&generation);
        yield event("response.output_text.done", place_of(json!({ "text": text, "logprobs": [] })));
        let response = job.response("completed", Some(&text), Some(usage.to_responses()));
        drop(generation);
        drop(place);
        request.finish(usage);
        yield event("response.completed", json!({ "response": response }));
    };
    Sse::new(events).into_response()
}
