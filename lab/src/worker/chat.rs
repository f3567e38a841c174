//! `POST /v1/chat/completions`.

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
    api::{AnswerHead, ApiError, Limits, StreamOptions, Usage, parse},
    engine::{Engine, Request},
    text::{Length, count_tokens},
};

#[derive(Deserialize)]
struct ChatRequest {
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A piece of a message; pictures and sounds have no text and are not looked at.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl Message {
    fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts
                .iter()
                .map(|part| part.text.as_str())
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

/// What is to be answered.
struct Job {
    head: AnswerHead,
    prompt: String,
    prompt_tokens: u64,
    length: Length,
}

pub(super) async fn complete(
    State(engine): State<Arc<Engine>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request = engine.begin().unless_it_must_fail()?;
    let chat: ChatRequest = parse(&body)?;
    engine.check_model(chat.model.as_deref())?;
    let texts: Vec<String> = chat.messages.iter().map(Message::text).collect();
    if texts.is_empty() {
        return Err(ApiError::invalid("messages", "messages must not be empty"));
    }
    let last_of_user = chat
        .messages
        .iter()
        .rposition(|message| message.role == "user");
    let prompt = texts[last_of_user.unwrap_or(texts.len() - 1)].clone();
    let prompt_tokens = texts.iter().map(|text| count_tokens(text)).sum();
    let length = chat.limits.check(prompt_tokens)?;
    let head = AnswerHead::new("chatcmpl", &engine, &prompt);
    let job = Job {
        head,
        prompt,
        prompt_tokens,
        length,
    };
    if chat.stream {
        let include_usage = chat.stream_options.unwrap_or_default().include_usage;
        Ok(stream(request, job, include_usage))
    } else {
        Ok(whole(request, job).await)
    }
}

async fn whole(request: Request, job: Job) -> Response {
    let place = request.enter_batch(job.prompt_tokens).await;
    let mut generation = place.generate(&job.prompt, job.length);
    let mut content = String::new();
    while let Some(token) = generation.next().await {
        content.push_str(&token);
    }
    let answer = Json(json!({
        "id": job.head.id,
        "object": "chat.completion",
        "created": job.head.created,
        "model": job.head.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content, "refusal": null },
            "logprobs": null,
            "finish_reason": generation.finish_reason(),
        }],
        "usage": Usage::new(job.prompt_tokens, generation.tokens()),
    }));
    drop(generation);
    drop(place);
    request.finish();
    answer.into_response()
}

fn stream(request: Request, job: Job, include_usage: bool) -> Response {
    let events = async_stream::stream! {
        let place = request.enter_batch(job.prompt_tokens).await;
        let mut generation = place.generate(&job.prompt, job.length);
        yield job.head.chunk(json!({ "role": "assistant", "content": "" }), None);
        while let Some(token) = generation.next().await {
            yield job.head.chunk(json!({ "content": token }), None);
        }
        yield job.head.chunk(json!({}), Some(generation.finish_reason()));
        if include_usage {
            yield job.head.usage_chunk(Usage::new(job.prompt_tokens, generation.tokens()));
        }
        drop(generation);
        drop(place);
        request.finish();
        yield Ok(Event::default().data("[DONE]"));
    };
    Sse::new(events).into_response()
}

impl AnswerHead {
    fn chunk(&self, delta: Value, finish_reason: Option<&str>) -> Result<Event, axum::Error> {
        Event::default().json_data(json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason,
            }],
        }))
    }

    fn usage_chunk(&self, usage: Usage) -> Result<Event, axum::Error> {
        Event::default().json_data(json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [],
            "usage": usage,
        }))
    }
}
