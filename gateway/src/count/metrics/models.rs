//! The part of the metrics page that is about models: our names, and OpenTelemetry's beside them.

use std::fmt::Display;

use super::metric::Metric;
use crate::count::{
    spread::{self, Spread},
    tokens::{KNOWN_BY, Kind, ModelMeter, ModelMeters, Operation, Parts},
};

#[derive(Debug)]
pub(super) struct ModelPart {
    requests: Metric,
    tokens: Metric,
    first: Metric,
    first_tokens: Metric,
    parts: Metric,
    between: Metric,
    stream_errors: Metric,
    gen_first: Metric,
    gen_per_token: Metric,
    gen_duration: Metric,
    gen_usage: Metric,
}

impl ModelPart {
    pub(super) fn new() -> Self {
        Self {
            requests: Metric::counter(
                "model_requests_total",
                "Requests for a model that ended, by how their tokens are known.",
            ),
            tokens: Metric::counter(
                "tokens_total",
                "Tokens of requests that ended. Those of the cache are input too, those of reasoning and estimated ones output.",
            ),
            first: Metric::histogram(
                "time_to_first_token_seconds",
                "Time from the request head to the first token of a stream.",
            ),
            first_tokens: Metric::counter(
                "first_tokens_total",
                "Streams that came to their first token.",
            ),
            parts: Metric::counter(
                "time_to_first_token_part_seconds_total",
                "Where the time to first tokens went.",
            ),
            between: Metric::histogram(
                "time_between_tokens_seconds",
                "Time from one event with tokens to the next.",
            ),
            stream_errors: Metric::counter(
                "stream_errors_total",
                "Streams of models that broke and ended with an event which says so, by reason.",
            ),
            gen_first: Metric::foreign_histogram(
                "gen_ai_server_time_to_first_token_seconds",
                "Time to generate first token for successful responses.",
            ),
            gen_per_token: Metric::foreign_histogram(
                "gen_ai_server_time_per_output_token_seconds",
                "Time per output token generated after the first token for successful responses.",
            ),
            gen_duration: Metric::foreign_histogram(
                "gen_ai_server_request_duration_seconds",
                "Generative AI server request duration such as time-to-last byte or last output token.",
            ),
            gen_usage: Metric::foreign_histogram(
                "gen_ai_client_token_usage",
                "Number of input and output tokens used.",
            ),
        }
    }

    pub(super) fn all(&mut self) -> [&mut Metric; 11] {
        [
            &mut self.requests,
            &mut self.tokens,
            &mut self.first,
            &mut self.first_tokens,
            &mut self.parts,
            &mut self.between,
            &mut self.stream_errors,
            &mut self.gen_first,
            &mut self.gen_per_token,
            &mut self.gen_duration,
            &mut self.gen_usage,
        ]
    }

    /// Adds the models of a deployment.
    pub(super) fn add(&mut self, labels: &str, meters: &ModelMeters) {
        for (reason, count) in meters.stream_errors() {
            let labels = format_args!("{labels},reason=\"{}\"", reason.slug());
            self.stream_errors.sample("", labels, count);
        }
        for (model, meter) in meters.all() {
            let model = escaped(&model);
            self.add_own(&format!("{labels},model=\"{model}\""), &meter);
            self.add_gen_ai(labels, &model, &meter);
        }
    }

    fn add_own(&mut self, labels: &str, meter: &ModelMeter) {
        let times = || meter.times.iter();
        self.first
            .spread(labels, &spread::OWN, times().map(|times| &times.first));
        self.between
            .spread(labels, &spread::OWN, times().map(|times| &times.between));
        for (key, counts) in meter.keys() {
            // A key's name needs no escaping.
            let labels = format!("{labels},key=\"{key}\"");
            for (known_by, count) in KNOWN_BY.iter().zip(counts.known_by()) {
                self.requests
                    .some(format_args!("{labels},tokens=\"{known_by}\""), count);
            }
            for (kind, name) in Kind::ALL {
                self.tokens.some(
                    format_args!("{labels},kind=\"{name}\""),
                    counts.tokens(kind),
                );
            }
            self.first_tokens.some(&labels, counts.first_tokens());
            if counts.first_tokens() > 0 {
                for (part, micros) in Parts::NAMES.iter().zip(counts.parts()) {
                    let labels = format_args!("{labels},part=\"{part}\"");
                    self.parts.sample("", labels, micros as f64 / 1e6);
                }
            }
        }
    }

    fn add_gen_ai(&mut self, labels: &str, model: &str, meter: &ModelMeter) {
        let labels_of = |operation: Operation| {
            let (name, provider) = operation.labels();
            format!(
                "{labels},gen_ai_operation_name=\"{name}\",gen_ai_provider_name=\"{provider}\",gen_ai_request_model=\"{model}\""
            )
        };
        for operation in Operation::ALL {
            let shards = &meter.by_operation[operation as usize];
            if shards.iter().next().is_none() {
                continue;
            }
            let labels = labels_of(operation);
            let counts = || shards.iter();
            self.gen_first.spread(
                &labels,
                &spread::FIRST,
                counts().map(|counts| &counts.first),
            );
            self.gen_per_token.spread(
                &labels,
                &spread::PER_TOKEN,
                counts().map(|counts| &counts.per_token),
            );
            self.gen_duration.spread(
                &labels,
                &spread::DURATION,
                counts().map(|counts| &counts.duration),
            );
            let typed = |kind: &str| format!("{labels},gen_ai_token_type=\"{kind}\"");
            self.gen_usage.amounts(
                &typed("input"),
                &spread::TOKENS,
                counts().map(|counts| &counts.input),
            );
            self.gen_usage.amounts(
                &typed("output"),
                &spread::TOKENS,
                counts().map(|counts| &counts.output),
            );
        }
        for (operation, error, spread) in meter.errors() {
            let labels = format!("{},error_type=\"{error}\"", labels_of(operation));
            self.gen_duration
                .spread(&labels, &spread::DURATION, std::iter::once(&*spread));
        }
    }
}

/// A name as a label's value has it.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

impl Metric {
    /// A count, where there is any.
    fn some(&mut self, labels: impl Display, count: u64) {
        if count > 0 {
            self.sample("", labels, count);
        }
    }

    /// The lines of times, where there are any.
    fn spread<'a, const N: usize>(
        &mut self,
        labels: &str,
        bounds: &[u64],
        shards: impl Iterator<Item = &'a Spread<N>>,
    ) {
        self.buckets(labels, bounds, shards, |micros| micros as f64 / 1e6);
    }

    /// The lines of amounts, where there are any.
    fn amounts<'a, const N: usize>(
        &mut self,
        labels: &str,
        bounds: &[u64],
        shards: impl Iterator<Item = &'a Spread<N>>,
    ) {
        self.buckets(labels, bounds, shards, |amount| amount as f64);
    }

    fn buckets<'a, const N: usize>(
        &mut self,
        labels: &str,
        bounds: &[u64],
        shards: impl Iterator<Item = &'a Spread<N>>,
        in_unit: impl Fn(u64) -> f64,
    ) {
        if !self.is_on() {
            return;
        }
        let (mut counts, mut sum) = ([0; N], 0);
        shards.for_each(|spread| spread.add_to(&mut counts, &mut sum));
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return;
        }
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(counts) {
            below += count;
            let bound = in_unit(*bound);
            self.sample("_bucket", format_args!("{labels},le=\"{bound}\""), below);
        }
        self.sample("_bucket", format_args!("{labels},le=\"+Inf\""), all);
        self.sample("_sum", labels, in_unit(sum));
        self.sample("_count", labels, all);
    }
}
