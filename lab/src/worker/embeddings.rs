//! `POST /v1/embeddings`: texts become vectors; texts that share words become similar ones.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::{ApiError, Usage, parse},
    engine::Engine,
    text::{count_tokens, hash},
};

const DIMENSIONS: usize = 384;
const DIMENSIONS_MAX: usize = 4096;
/// Most texts of one request, as OpenAI has it.
const TEXTS_MAX: usize = 2048;

#[derive(Deserialize)]
struct EmbeddingRequest {
    model: Option<String>,
    input: Input,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

/// One text or several, as text or as token ids.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Input {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    ManyIds(Vec<Vec<u32>>),
}

impl Input {
    pub(super) fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => count_tokens(text),
            Self::Texts(texts) => texts.iter().map(|text| count_tokens(text)).sum(),
            Self::Ids(ids) => ids.len() as u64,
            Self::ManyIds(many) => many.iter().map(|ids| ids.len() as u64).sum(),
        }
    }

    pub(super) fn into_texts(self) -> Vec<String> {
        let words = |ids: &Vec<u32>| ids.iter().map(|id| format!("token{id} ")).collect();
        match self {
            Self::Text(text) => vec![text],
            Self::Texts(texts) => texts,
            Self::Ids(ids) => vec![words(&ids)],
            Self::ManyIds(many) => many.iter().map(words).collect(),
        }
    }
}

pub(super) async fn embed(
    State(engine): State<Arc<Engine>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request = engine.begin().unless_it_must_fail()?;
    let embedding: EmbeddingRequest = parse(&body)?;
    engine.check_model(embedding.model.as_deref())?;
    let dimensions = embedding.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        let message = format!("dimensions must be 1 to {DIMENSIONS_MAX}");
        return Err(ApiError::invalid("dimensions", message));
    }
    let tokens = embedding.input.tokens();
    let texts = embedding.input.into_texts();
    if texts.is_empty() || texts.len() > TEXTS_MAX {
        let message = format!("input must hold 1 to {TEXTS_MAX} texts");
        return Err(ApiError::invalid("input", message));
    }

    let place = request.enter_batch(tokens).await;
    place.read_prompt().await;
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = encode(&vector(text, dimensions), embedding.encoding_format);
            json!({ "object": "embedding", "index": index, "embedding": vector })
        })
        .collect();
    drop(place);
    request.finish(Usage {
        prompt: tokens,
        ..Usage::default()
    });
    Ok(Json(json!({
        "object": "list",
        "model": engine.model,
        "data": data,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    }))
    .into_response())
}

fn encode(vector: &[f32], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            Value::String(STANDARD.encode(bytes))
        }
    }
}

/// The sum of one pseudo-random vector per word, of length 1.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0f32; dimensions];
    // The salt keeps the vector of an empty text from being zero.
    for word in text.split_whitespace().chain(std::iter::once("\u{0}")) {
        let mut state = hash(word);
        for x in &mut sum {
            *x += next_random(&mut state);
        }
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    sum.iter_mut().for_each(|x| *x /= length);
    sum
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), scaled to -1…1.
fn next_random(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(a: &str, b: &str) -> f32 {
        vector(a, 384)
            .iter()
            .zip(vector(b, 384))
            .map(|(x, y)| x * y)
            .sum()
    }

    #[test]
    fn texts_that_share_words_are_more_similar_than_others() {
        assert!((similarity("a cat sat", "a cat sat") - 1.0).abs() < 1e-4);
        let near = similarity("the cat sat on the mat", "the cat lay on the mat");
        let far = similarity("the cat sat on the mat", "quarterly revenue grew");
        assert!(near > far + 0.2, "{near} {far}");
        assert!((similarity("", "") - 1.0).abs() < 1e-4);
    }
}
