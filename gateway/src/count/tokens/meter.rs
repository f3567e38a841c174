//! Sums of tokens and times by model and API key.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use penstock_config::fleet::TokenLoad;

use super::{
    Told,
    key::{KeyMeter, add, read},
};
use crate::{
    base::{
        reason::Reason,
        shards::{Shards, own_number, shard_count},
    },
    count::spread::{self, Spread},
    request::api::Api,
};

/// Most models of a deployment, and keys of one of them, that are counted by name; a reload may bring new ones
/// again and again. Further ones count together, without a name.
const NAMES_MAX: usize = 1000;

/// What OpenTelemetry tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Chat,
    Completion,
    Messages,
    Embeddings,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [
        Self::Chat,
        Self::Completion,
        Self::Messages,
        Self::Embeddings,
    ];

    pub(crate) fn of(api: Api) -> Self {
        match api {
            Api::Chat | Api::Responses => Self::Chat,
            Api::Completions => Self::Completion,
            Api::Messages => Self::Messages,
            Api::Embeddings => Self::Embeddings,
        }
    }

    /// `gen_ai.operation.name` and `gen_ai.provider.name`.
    pub(crate) fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Chat => ("chat", "openai"),
            Self::Completion => ("text_completion", "openai"),
            Self::Messages => ("chat", "anthropic"),
            Self::Embeddings => ("embeddings", "openai"),
        }
    }
}

/// Where the time to a first token went; the sum of it is what the client saw.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The request came in, its body as far as that was waited for.
    pub(crate) receive: Duration,
    /// No worker was there.
    pub(crate) wake: Duration,
    /// Those that were there were busy.
    pub(crate) queue: Duration,
    /// A connection was opened.
    pub(crate) connect: Duration,
    /// The worker had it; tries that failed are in this.
    pub(crate) worker: Duration,
}

impl Parts {
    pub(crate) const NAMES: [&'static str; 5] = ["receive", "wake", "queue", "connect", "worker"];

    /// Those of a whole: what is left belongs to the worker.
    pub(crate) fn of(whole: Duration, [receive, wake, queue, connect]: [Duration; 4]) -> Self {
        let mut left = whole;
        let mut part = |wanted: Duration| {
            let part = wanted.min(left);
            left -= part;
            part
        };
        Self {
            receive: part(receive),
            wake: part(wake),
            queue: part(queue),
            connect: part(connect),
            worker: left,
        }
    }

    pub(super) fn all(&self) -> [Duration; 5] {
        [
            self.receive,
            self.wake,
            self.queue,
            self.connect,
            self.worker,
        ]
    }
}

/// A request for a model that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'e> {
    pub(crate) operation: Operation,
    pub(crate) told: Told,
    /// Of a stream that came to its first token.
    pub(crate) first: Option<Parts>,
    pub(crate) per_token: Option<Duration>,
    pub(crate) duration: Duration,
    /// What went wrong: a reason, or a class of status.
    pub(crate) error: Option<&'e str>,
}

type ByName<T> = RwLock<HashMap<Arc<str>, Arc<T>, RandomState>>;

type Durations = Spread<{ spread::DURATION.len() + 1 }>;

/// By operation, and by what went wrong.
type Errors = RwLock<HashMap<(u8, Box<str>), Arc<Durations>, RandomState>>;

/// The models of one deployment.
#[derive(Debug)]
pub(crate) struct ModelMeters {
    models: ByName<ModelMeter>,
    /// Tokens so far, those of open requests among them.
    load: Shards<Load>,
    /// Broken streams of which the client was told, by reason.
    stream_errors: [AtomicU64; Reason::ALL.len()],
}

#[derive(Debug, Default)]
struct Load {
    input: AtomicU64,
    output: AtomicU64,
}

/// One model.
#[derive(Debug)]
pub(crate) struct ModelMeter {
    pub(crate) times: Shards<Times>,
    pub(crate) by_operation: [Shards<ByOperation>; Operation::ALL.len()],
    keys: ByName<KeyMeter>,
    /// Requests that failed, by what went wrong and by operation.
    errors: Errors,
}

/// Times under our own names.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub(crate) first: Spread<{ spread::OWN.len() + 1 }>,
    pub(crate) between: Spread<{ spread::OWN.len() + 1 }>,
}

/// What has OpenTelemetry's names.
#[derive(Debug, Default)]
pub(crate) struct ByOperation {
    pub(crate) first: Spread<{ spread::FIRST.len() + 1 }>,
    pub(crate) per_token: Spread<{ spread::PER_TOKEN.len() + 1 }>,
    pub(crate) duration: Durations,
    pub(crate) input: Spread<{ spread::TOKENS.len() + 1 }>,
    pub(crate) output: Spread<{ spread::TOKENS.len() + 1 }>,
}

impl Default for ModelMeters {
    fn default() -> Self {
        Self {
            models: RwLock::default(),
            load: Shards::new(shard_count()),
            stream_errors: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Default for ModelMeter {
    fn default() -> Self {
        Self {
            times: Shards::new(shard_count()),
            by_operation: std::array::from_fn(|_| Shards::new(shard_count())),
            keys: RwLock::default(),
            errors: RwLock::default(),
        }
    }
}

/// The one of this name, made when it is first asked for.
fn named<T: Default>(all: &ByName<T>, name: &str) -> Arc<T> {
    if let Some(known) = all.read().get(name) {
        return Arc::clone(known);
    }
    let mut all = all.write();
    let name = match all.len() < NAMES_MAX || all.contains_key(name) {
        true => name,
        false => "",
    };
    Arc::clone(all.entry(name.into()).or_default())
}

fn sorted<T>(all: &ByName<T>) -> Vec<(Arc<str>, Arc<T>)> {
    let all = all.read();
    let mut all: Vec<_> = all
        .iter()
        .map(|(name, one)| (Arc::clone(name), Arc::clone(one)))
        .collect();
    all.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    all
}

impl ModelMeters {
    /// That of a model.
    pub(crate) fn of(&self, model: &str) -> Arc<ModelMeter> {
        named(&self.models, model)
    }

    /// All there are, by name.
    pub(crate) fn all(&self) -> Vec<(Arc<str>, Arc<ModelMeter>)> {
        sorted(&self.models)
    }

    /// Pieces of text passed on.
    pub(crate) fn came(&self, pieces: u64) {
        add(&self.load.of(own_number()).output, pieces);
    }

    /// What an answer told that is over, and had come to so many pieces.
    pub(crate) fn told(&self, told: &Told, pieces: u64) {
        let load = self.load.of(own_number());
        add(&load.input, told.input);
        add(&load.output, told.output.saturating_sub(pieces));
    }

    /// A stream broke, and ends with an event that says so.
    pub(crate) fn broke(&self, reason: Reason) {
        add(&self.stream_errors[reason.index()], 1);
    }

    /// Such streams, where there were any.
    pub(crate) fn stream_errors(&self) -> impl Iterator<Item = (Reason, u64)> {
        let each = Reason::ALL.into_iter().zip(&self.stream_errors);
        each.map(|(reason, count)| (reason, read(count)))
            .filter(|(_, count)| *count > 0)
    }

    /// Tokens so far.
    pub(crate) fn load(&self) -> TokenLoad {
        let mut sum = TokenLoad::default();
        for load in self.load.iter() {
            sum.input += read(&load.input);
            sum.output += read(&load.output);
        }
        sum
    }
}

impl ModelMeter {
    /// So long after others so many pieces of text came.
    pub(crate) fn between(&self, gap: Duration, pieces: u64) {
        let times = self.times.of(own_number());
        times.between.time(&spread::OWN, gap);
        times.between.zeros(pieces - 1);
    }

    /// A request with this key is over.
    pub(crate) fn ended(&self, key: &str, ended: &Ended<'_>) {
        let own = own_number();
        let counts = self.by_operation[ended.operation as usize].of(own);
        match ended.error {
            None => counts.duration.time(&spread::DURATION, ended.duration),
            Some(error) => self
                .failed(ended.operation, error)
                .time(&spread::DURATION, ended.duration),
        }
        let key = named(&self.keys, key);
        key.count(ended);
        if let Some(first) = ended.first {
            let whole = first.all().iter().sum();
            self.times.of(own).first.time(&spread::OWN, whole);
            counts.first.time(&spread::FIRST, whole);
        }
        if let Some(per_token) = ended.per_token {
            counts.per_token.time(&spread::PER_TOKEN, per_token);
        }
        let Told { input, output, .. } = ended.told;
        if input > 0 {
            counts.input.record(&spread::TOKENS, input);
        }
        if output > 0 {
            counts.output.record(&spread::TOKENS, output);
        }
    }

    fn failed(&self, operation: Operation, error: &str) -> Arc<Durations> {
        let key = (operation as u8, Box::from(error));
        if let Some(known) = self.errors.read().get(&key) {
            return Arc::clone(known);
        }
        Arc::clone(self.errors.write().entry(key).or_default())
    }

    /// Requests that failed: of which operation, by what, and how long they took.
    pub(crate) fn errors(&self) -> Vec<(Operation, Box<str>, Arc<Durations>)> {
        let errors = self.errors.read();
        let each = errors.iter().filter_map(|((operation, error), spread)| {
            let operation = *Operation::ALL.get(usize::from(*operation))?;
            Some((operation, error.clone(), Arc::clone(spread)))
        });
        let mut all: Vec<_> = each.collect();
        all.sort_by(|one, other| (one.0 as u8, &one.1).cmp(&(other.0 as u8, &other.1)));
        all
    }

    /// Its keys, by name.
    pub(crate) fn keys(&self) -> Vec<(Arc<str>, Arc<KeyMeter>)> {
        sorted(&self.keys)
    }
}
