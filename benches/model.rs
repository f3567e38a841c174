//! What it costs to find the model that a request names in its body.
//!
//! `cargo bench --bench model`. Clients of OpenAI for Python write the messages first, so that all of a body is
//! looked at before the model comes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use penstock_gateway::model_of;
use serde_json::{Value, json};

/// A conversation of about so many bytes, the model at its end.
fn chat(bytes: usize) -> Vec<u8> {
    let turn = "Explain how a turbine works, and \"why\" it does.\nPlease. ".repeat(6);
    let message = json!({ "role": "user", "content": turn });
    let each = message.to_string().len() + 1;
    let messages = vec![message; bytes.div_ceil(each)];
    let messages = Value::from(messages);
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
        ("chat, 2 KB", chat(2_000)),
        ("chat, 100 KB", chat(100_000)),
        ("chat, 220 KB", chat(220_000)),
        ("tokens, 100 KB", tokens(100_000)),
    ] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| model_of(black_box(body)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
