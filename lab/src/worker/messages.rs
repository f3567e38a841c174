//! `POST /v1/messages`, as Anthropic has it and vLLM too.

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
struct MessagesRequest {
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    /// How it thinks first, if it does.
    thinking: Option<Value>,
    #[serde(flatten)]
    limits: Limits,
}

pub(super) async fn answer(
    State(engine): State<Arc<Engine>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request = engine.begin().unless_it_must_fail()?;
    let asked: MessagesRequest = parse(&body)?;
    engine.check_model(asked.model.as_deref())?;
    let thinks = asked
        .thinking
        .is_some_and(|thinking| thinking["type"] == "enabled");
    let job = Job::of(
        &asked.messages,
        &asked.limits,
        thinks,
        ("msg", &engine, &request),
    )?;
    if asked.stream {
        Ok(stream(request, job))
    } else {
        Ok(whole(request, job).await)
    }
}

/// Anthropic's word for why an answer ended.
fn stop_reason(reason: &str) -> &'static str {
    match reason {
        "length" => "max_tokens",
        _ => "end_turn",
    }
}

impl Job {
    fn message(&self, content: &[Value], stop_reason: Option<&str>, usage: Value) -> Value {
        json!({
            "id": self.head.id,
            "type": "message",
            "role": "assistant",
            "model": self.head.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": usage,
        })
    }
}

async fn whole(request: Request, job: Job) -> Response {
    let place = request.enter_batch(job.prompt_tokens).await;
    let mut generation = place
        .generate(&job.prompt, job.length)
        .thinking(job.thoughts);
    let (mut text, mut thoughts) = (String::new(), String::new());
    while let Some(token) = generation.next().await {
        match generation.is_thinking() {
            true => thoughts.push_str(&token),
            false => text.push_str(&token),
        }
    }
    let usage = job.usage(&generation);
    let thought = json!({ "type": "thinking", "thinking": thoughts, "signature": "" });
    let thought = (job.thoughts > 0).then_some(thought);
    let content: Vec<_> = thought
        .into_iter()
        .chain([json!({ "type": "text", "text": text })])
        .collect();
    let reason = stop_reason(generation.finish_reason());
    let answer = job.message(&content, Some(reason), usage.to_anthropic());
    drop(generation);
    drop(place);
    request.finish(usage.without_reasoning());
    Json(answer).into_response()
}

fn stream(request: Request, job: Job) -> Response {
    let events = async_stream::stream! {
        let place = request.enter_batch(job.prompt_tokens).await;
        let mut generation = place.generate(&job.prompt, job.length).thinking(job.thoughts);
        let begun = job.usage(&generation).to_anthropic();
        yield event("message_start", json!({ "message": job.message(&[], None, begun) }));
        let mut index = 0;
        let mut is_open = false;
        while let Some(token) = generation.next().await {
            let is_thinking = generation.is_thinking();
            if is_open && !is_thinking && generation.tokens() == job.thoughts + 1 {
                yield event("content_block_stop", json!({ "index": index }));
                (index, is_open) = (index + 1, false);
            }
            if !is_open {
                let block = match is_thinking {
                    true => json!({ "type": "thinking", "thinking": "", "signature": "" }),
                    false => json!({ "type": "text", "text": "" }),
                };
                yield event("content_block_start", json!({ "index": index, "content_block": block }));
                is_open = true;
            }
            let delta = match is_thinking {
                true => json!({ "type": "thinking_delta", "thinking": token }),
                false => json!({ "type": "text_delta", "text": token }),
            };
            yield event("content_block_delta", json!({ "index": index, "delta": delta }));
            if generation.must_break() {
                // What was said before leaves first.
                tokio::task::yield_now().await;
                yield Err(broken());
                return;
            }
        }
        if is_open {
            yield event("content_block_stop", json!({ "index": index }));
        }
        let usage = job.usage(&generation);
        let reason = stop_reason(generation.finish_reason());
        let delta = json!({ "stop_reason": reason, "stop_sequence": null });
        let told = json!({ "output_tokens": usage.generated });
        yield event("message_delta", json!({ "delta": delta, "usage": told }));
        drop(generation);
        drop(place);
        request.finish(usage.without_reasoning());
        yield event("message_stop", json!({}));
    };
    Sse::new(events).into_response()
}

/// An event of this type, with these members.
fn event(kind: &str, mut members: Value) -> Result<Event, axum::Error> {
    members["type"] = json!(kind);
    Event::default().event(kind).json_data(members)
}
