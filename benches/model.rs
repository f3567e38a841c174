//! What it costs to find the model that a request names in its body, and to read the tokens of an answer.
//!
//! `cargo bench --bench model`. Clients of OpenAI for Python write the messages first, so that all of a body is
//! looked at before the model comes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use penstock_gateway::{model_of, tokens_of};
use serde_json::{Value, json};

/// A turn with an escape about every hundred bytes, as prose has them.
const PROSE: &str = "Explain how a turbine works, and why it does, for somebody who has never seen one. \
    Name \"head\" and flow.\nWrite three paragraphs, none of them longer than a hundred words, please.\n";

/// One every twenty.
const CODE: &str = "fn turn(&self) {\n    println!(\"{}\", self.speed);\n}\n\n    // The gate.\n";

/// A conversation of about so many bytes, the model at its end.
fn chat(turn: &str, bytes: usize) -> Vec<u8> {
    let message = json!({ "role": "user", "content": turn.repeat(3) });
    let each = message.to_string().len() + 1;
    let messages = Value::from(vec![message; bytes.div_ceil(each)]);
    format!(r#"{{"messages":{messages},"temperature":0.7,"stream":true,"model":"llama-3.1-8b"}}"#)
        .into()
}

/// A prompt of about so many bytes in numbers.
fn tokens(bytes: usize) -> Vec<u8> {
    let prompt: Vec<_> = (10_000..10_000 + bytes / 6).collect();
    json!({ "prompt": prompt, "model": "llama-3.1-8b" })
        .to_string()
        .into()
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("model");
    for (name, body) in [
        ("prose, 2 KB", chat(PROSE, 2_000)),
        ("prose, 100 KB", chat(PROSE, 100_000)),
        ("prose, 220 KB", chat(PROSE, 220_000)),
        ("code, 100 KB", chat(CODE, 100_000)),
        ("tokens, 100 KB", tokens(100_000)),
    ] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| model_of(black_box(body)));
        });
    }
    group.finish();
}

/// Events of a stream, each in a piece of its own.
fn events(count: usize, event: impl Fn(usize) -> Value, kind: &str) -> Vec<Vec<u8>> {
    let each = (0..count).map(|number| format!("{kind}data: {}\n\n", event(number)).into_bytes());
    each.collect()
}

fn bench_events(criterion: &mut Criterion) {
    const COUNT: usize = 100;
    let mut group = criterion.benchmark_group("tokens of an event");
    let chat = |number| {
        json!({
            "id": "chatcmpl-4f1c0ab72f6e4a4e9f6d8a6d1c0b9e55", "object": "chat.completion.chunk",
            "created": 1_796_083_200, "model": "meta-llama/Llama-3.1-8B-Instruct",
            "choices": [{ "index": 0, "delta": { "content": format!(" word{number}") }, "logprobs": null, "finish_reason": null }],
        })
    };
    let messages = |number| {
        json!({
            "type": "content_block_delta", "index": 0,
            "delta": { "type": "text_delta", "text": format!(" word{number}") },
        })
    };
    let responses = |number| {
        json!({
            "type": "response.output_text.delta", "sequence_number": number, "item_id": "msg_4f1c0ab72f6e4a4e9f6d",
            "output_index": 0, "content_index": 0, "delta": format!(" word{number}"), "logprobs": [],
        })
    };
    group.throughput(Throughput::Elements(COUNT as u64));
    for (name, events) in [
        ("chat", events(COUNT, chat, "")),
        (
            "messages",
            events(COUNT, messages, "event: content_block_delta\n"),
        ),
        (
            "responses",
            events(COUNT, responses, "event: response.output_text.delta\n"),
        ),
    ] {
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            &events,
            |bencher, events| {
                bencher.iter(|| tokens_of(black_box(events).iter().map(Vec::as_slice)));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, bench, bench_events);
criterion_main!(benches);
