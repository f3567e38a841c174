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
    api::{AnswerHead, ApiError, Limits, StreamOptions, Usage, broken, parse},
    engine::{Engine, Generation, Request},
    text::{Length, count_tokens},
};

#[derive(Deserialize)]
struct ChatRequest {
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    /// Whether it thinks first.
    reasoning_effort: Option<String>,
    #[serde(flatten)]
    limits: Limits,
}

/// Words that are thought before others are said.
pub(super) const THOUGHTS: u64 = 5;

#[derive(Deserialize)]
pub(super) struct Message {
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
    /// One of a user.
    pub(super) fn of_user(text: String) -> Self {
        Self {
            role: "user".to_owned(),
            content: Some(Content::Text(text)),
        }
    }

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
pub(super) struct Job {
    pub(super) head: AnswerHead,
    pub(super) prompt: String,
    pub(super) prompt_tokens: u64,
    pub(super) cached: u64,
    pub(super) length: Length,
    pub(super) thoughts: u64,
}

impl Job {
    /// The answer to these messages, whose identity begins so.
    pub(super) fn of(
        messages: &[Message],
        limits: &Limits,
        thinks: bool,
        (prefix, engine, request): (&str, &Engine, &Request),
    ) -> Result<Self, ApiError> {
        let texts: Vec<String> = messages.iter().map(Message::text).collect();
        if texts.is_empty() {
            return Err(ApiError::invalid("messages", "messages must not be empty"));
        }
        let last_of_user = messages.iter().rposition(|message| message.role == "user");
        let prompt = texts[last_of_user.unwrap_or(texts.len() - 1)].clone();
        let prompt_tokens = texts.iter().map(|text| count_tokens(text)).sum();
        Ok(Self {
            head: AnswerHead::new(prefix, engine, &prompt),
            prompt,
            prompt_tokens,
            cached: request.cached(&texts.join(" ")),
            length: limits.check(prompt_tokens)?,
            thoughts: if thinks { THOUGHTS } else { 0 },
        })
    }

    /// What it took, when so many tokens were given.
    pub(super) fn usage(&self, generation: &Generation<'_>) -> Usage {
        Usage {
            prompt: self.prompt_tokens,
            cached: self.cached,
            generated: generation.tokens(),
            reasoning: generation.reasoning(),
        }
    }
}

pub(super) async fn complete(
    State(engine): State<Arc<Engine>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request = engine.begin().unless_it_must_fail()?;
    let chat: ChatRequest = parse(&body)?;
    engine.check_model(chat.model.as_deref())?;
    let thinks = chat.reasoning_effort.is_some_and(|effort| effort != "none");
    let about = ("chatcmpl", &*engine, &request);
    let job = Job::of(&chat.messages, &chat.limits, thinks, about)?;
    if chat.stream {
        let include_usage = chat.stream_options.unwrap_or_default().include_usage;
        Ok(stream(request, job, include_usage))
    } else {
        Ok(whole(request, job).await)
    }
}

async fn whole(request: Request, job: Job) -> Response {
    let place = request.enter_batch(job.prompt_tokens).await;
    let mut generation = place
        .generate(&job.prompt, job.length)
        .thinking(job.thoughts);
    let (mut content, mut thoughts) = (String::new(), String::new());
    while let Some(token) = generation.next().await {
        match generation.is_thinking() {
            true => thoughts.push_str(&token),
            false => content.push_str(&token),
        }
    }
    let usage = job.usage(&generation);
    let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
    if job.thoughts > 0 {
        message["reasoning_content"] = json!(thoughts);
    }
    let answer = Json(json!({
        "id": job.head.id,
        "object": "chat.completion",
        "created": job.head.created,
        "model": job.head.model,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": generation.finish_reason(),
        }],
        "usage": usage.to_openai(),
    }));
    drop(generation);
    drop(place);
    request.finish(usage);
    answer.into_response()
}

fn stream(request: Request, job: Job, include_usage: bool) -> Response {
    let events = async_stream::stream! {
        let place = request.enter_batch(job.prompt_tokens).await;
        let mut generation = place.generate(&job.prompt, job.length).thinking(job.thoughts);
        yield job.head.chunk(json!({ "role": "assistant", "content": "" }), None);
        while let Some(token) = generation.next().await {
            yield match generation.is_thinking() {
                true => job.head.chunk(json!({ "reasoning_content": token }), None),
                false => job.head.chunk(json!({ "content": token }), None),
            };
            if generation.must_break() {
                // What was said before leaves first.
                tokio::task::yield_now().await;
                yield Err(broken());
                return;
            }
        }
        let usage = job.usage(&generation);
        yield job.head.chunk(json!({}), Some(generation.finish_reason()));
        if include_usage {
            yield job.head.usage_chunk(usage);
        }
        drop(generation);
        drop(place);
        request.finish(usage);
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
            "usage": usage.to_openai(),
        }))
    }
}
