//! `POST /v1/completions`: plain text in, its continuation out.

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
    embeddings::Input,
    engine::{Engine, Request},
    text::Length,
};

/// Answer length when none is asked for, as OpenAI has it.
const DEFAULT_MAX_TOKENS: u64 = 16;
/// Most prompts of one request.
const PROMPTS_MAX: usize = 128;

#[derive(Deserialize)]
struct CompletionRequest {
    model: Option<String>,
    prompt: Input,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    limits: Limits,
}

/// What is to be answered.
struct Job {
    head: AnswerHead,
    prompts: Vec<String>,
    prompt_tokens: u64,
    cached: u64,
    length: Length,
}

impl Job {
    fn usage(&self, generated: u64) -> Usage {
        Usage {
            prompt: self.prompt_tokens,
            cached: self.cached,
            generated,
            reasoning: 0,
        }
    }
}

pub(super) async fn complete(
    State(engine): State<Arc<Engine>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request = engine.begin().unless_it_must_fail()?;
    let completion: CompletionRequest = parse(&body)?;
    engine.check_model(completion.model.as_deref())?;
    let prompt_tokens = completion.prompt.tokens();
    let prompts = completion.prompt.into_texts();
    if prompts.is_empty() || prompts.len() > PROMPTS_MAX {
        let message = format!("prompt must hold 1 to {PROMPTS_MAX} texts");
        return Err(ApiError::invalid("prompt", message));
    }
    let length = completion
        .limits
        .with_default(DEFAULT_MAX_TOKENS)
        .check(prompt_tokens)?;
    let head = AnswerHead::new("cmpl", &engine, &prompts[0]);
    let cached = prompts.iter().map(|prompt| request.cached(prompt)).sum();
    let job = Job {
        head,
        cached,
        prompts,
        prompt_tokens,
        length,
    };
    if completion.stream {
        let include_usage = completion.stream_options.unwrap_or_default().include_usage;
        Ok(stream(request, job, include_usage))
    } else {
        Ok(whole(request, job).await)
    }
}

async fn whole(request: Request, job: Job) -> Response {
    let place = request.enter_batch(job.prompt_tokens).await;
    let (mut choices, mut tokens) = (Vec::new(), 0);
    for (index, prompt) in job.prompts.iter().enumerate() {
        let mut generation = place.generate(prompt, job.length);
        let mut text = String::new();
        while let Some(token) = generation.next().await {
            text.push_str(&token);
        }
        tokens += generation.tokens();
        choices.push(choice(index, &text, Some(generation.finish_reason())));
    }
    let mut answer = job.head.completion(Value::Array(choices));
    answer["usage"] = job.usage(tokens).to_openai();
    drop(place);
    request.finish(job.usage(tokens));
    Json(answer).into_response()
}

fn stream(request: Request, job: Job, include_usage: bool) -> Response {
    let events = async_stream::stream! {
        let place = request.enter_batch(job.prompt_tokens).await;
        let mut tokens = 0;
        for (index, prompt) in job.prompts.iter().enumerate() {
            let mut generation = place.generate(prompt, job.length);
            while let Some(token) = generation.next().await {
                yield event(&job.head.completion(json!([choice(index, &token, None)])));
                if generation.must_break() {
                    // What was said before leaves first.
                    tokio::task::yield_now().await;
                    yield Err(broken());
                    return;
                }
            }
            tokens += generation.tokens();
            let end = choice(index, "", Some(generation.finish_reason()));
            yield event(&job.head.completion(json!([end])));
        }
        if include_usage {
            let mut last = job.head.completion(json!([]));
            last["usage"] = job.usage(tokens).to_openai();
            yield event(&last);
        }
        drop(place);
        request.finish(job.usage(tokens));
        yield Ok(Event::default().data("[DONE]"));
    };
    Sse::new(events).into_response()
}

fn event(value: &Value) -> Result<Event, axum::Error> {
    Event::default().json_data(value)
}

fn choice(index: usize, text: &str, finish_reason: Option<&str>) -> Value {
    json!({ "index": index, "text": text, "logprobs": null, "finish_reason": finish_reason })
}

impl AnswerHead {
    fn completion(&self, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }
}
