//! The pretended GPU: a batch of limited size, a token rate, and the counts that tell about them.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{Instant, Interval, MissedTickBehavior},
};

use super::{
    WorkerArgs,
    api::{ApiError, Usage},
    text::{self, Words},
};

/// Everything the handlers share.
pub(super) struct Engine {
    pub(super) model: String,
    batch: Semaphore,
    token_interval: Duration,
    time_to_first_token: Duration,
    fail_after: Option<u64>,
    break_after: Option<u64>,
    cache: Mutex<Cache>,
    ready: AtomicBool,
    in_flight: watch::Sender<u64>,
    counts: Counts,
}

/// Sums since the start; only `peak` is not one.
#[derive(Default)]
struct Counts {
    started: AtomicU64,
    finished: AtomicU64,
    running: AtomicU64,
    peak: AtomicU64,
    prompt_tokens: AtomicU64,
    generated_tokens: AtomicU64,
    told_prompt_tokens: AtomicU64,
    told_cached_tokens: AtomicU64,
    told_generated_tokens: AtomicU64,
    told_reasoning_tokens: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Stats {
    /// Requests that are here now: running and waiting.
    pub(super) in_flight: u64,
    /// Requests in the batch now.
    pub(super) running: u64,
    /// Requests that wait for a place in the batch now.
    pub(super) waiting: u64,
    /// The most that `in_flight` ever was.
    pub(super) peak: u64,
    /// Requests that came.
    pub(super) started: u64,
    /// Requests that were answered to their end.
    pub(super) finished: u64,
    /// Requests that were dropped before, because their client left or they failed.
    pub(super) aborted: u64,
    pub(super) prompt_tokens: u64,
    pub(super) generated_tokens: u64,
    /// What the requests were told that were answered to their end.
    pub(super) told_prompt_tokens: u64,
    pub(super) told_cached_tokens: u64,
    pub(super) told_generated_tokens: u64,
    pub(super) told_reasoning_tokens: u64,
}

impl Engine {
    pub(super) fn new(args: &WorkerArgs) -> Arc<Self> {
        Arc::new(Self {
            model: args.model.clone(),
            batch: Semaphore::new(args.batch as usize),
            token_interval: Duration::from_secs_f64(1.0 / args.tokens_per_second.max(1e-6))
                .max(Duration::from_nanos(1)),
            time_to_first_token: args.time_to_first_token,
            fail_after: args.faults.fail_after,
            break_after: args.faults.break_after,
            cache: Mutex::default(),
            ready: AtomicBool::new(false),
            in_flight: watch::Sender::new(0),
            counts: Counts::default(),
        })
    }

    pub(super) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Counts a request in.
    pub(super) fn begin(self: &Arc<Self>) -> Request {
        let number = self.counts.started.fetch_add(1, Ordering::Relaxed) + 1;
        self.in_flight.send_modify(|n| {
            *n += 1;
            self.counts.peak.fetch_max(*n, Ordering::Relaxed);
        });
        Request {
            engine: Arc::clone(self),
            number,
        }
    }

    /// Returns when nothing is in flight.
    pub(super) async fn idle(&self) {
        // The sender is `self`, so the channel cannot be closed.
        let _ = self.in_flight.subscribe().wait_for(|n| *n == 0).await;
    }

    pub(super) fn stats(&self) -> Stats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let in_flight = *self.in_flight.borrow();
        let (started, finished) = (load(&self.counts.started), load(&self.counts.finished));
        let running = load(&self.counts.running);
        Stats {
            in_flight,
            running,
            waiting: in_flight.saturating_sub(running),
            peak: load(&self.counts.peak),
            started,
            finished,
            aborted: started.saturating_sub(finished + in_flight),
            prompt_tokens: load(&self.counts.prompt_tokens),
            generated_tokens: load(&self.counts.generated_tokens),
            told_prompt_tokens: load(&self.counts.told_prompt_tokens),
            told_cached_tokens: load(&self.counts.told_cached_tokens),
            told_generated_tokens: load(&self.counts.told_generated_tokens),
            told_reasoning_tokens: load(&self.counts.told_reasoning_tokens),
        }
    }
}

/// A request that is here. Dropped without [`Request::finish`] it counts as aborted.
pub(super) struct Request {
    engine: Arc<Engine>,
    number: u64,
}

impl Request {
    /// The request, or the error that `--fail-after` wants.
    pub(super) fn unless_it_must_fail(self) -> Result<Self, ApiError> {
        match self.engine.fail_after {
            Some(served) if self.number > served => Err(ApiError::asked_to_fail()),
            _ => Ok(self),
        }
    }

    /// Counts the request as answered to its end, and what it was told.
    pub(super) fn finish(self, told: Usage) {
        let counts = &self.engine.counts;
        for (sum, more) in [
            (&counts.finished, 1),
            (&counts.told_prompt_tokens, told.prompt),
            (&counts.told_cached_tokens, told.cached),
            (&counts.told_generated_tokens, told.generated),
            (&counts.told_reasoning_tokens, told.reasoning),
        ] {
            sum.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// How many tokens of this prompt are in the cache, where it is from now on.
    pub(super) fn cached(&self, prompt: &str) -> u64 {
        self.engine
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(prompt)
    }

    /// Waits for a place in the batch.
    pub(super) async fn enter_batch(&self, prompt_tokens: u64) -> Place<'_> {
        let permit = self
            .engine
            .batch
            .acquire()
            .await
            .expect("the semaphore is never closed");
        self.engine.counts.running.fetch_add(1, Ordering::Relaxed);
        self.engine
            .counts
            .prompt_tokens
            .fetch_add(prompt_tokens, Ordering::Relaxed);
        Place {
            engine: &self.engine,
            _permit: permit,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.engine.in_flight.send_modify(|n| *n -= 1);
    }
}

/// The prefixes that are in the cache, in blocks of tokens, as engines keep them.
#[derive(Debug, Default)]
struct Cache(HashSet<u64>);

/// Tokens of a block.
const BLOCK: usize = 16;

/// Blocks in the cache; when they are too many, it begins anew.
const BLOCKS_MAX: usize = 1 << 16;

impl Cache {
    fn take(&mut self, prompt: &str) -> u64 {
        let words: Vec<&str> = prompt.split_whitespace().collect();
        let (mut cached, mut prefix, mut is_known) = (0, 0, true);
        if self.0.len() > BLOCKS_MAX {
            self.0.clear();
        }
        // The last token is always worked out.
        for block in words
            .get(..words.len().saturating_sub(1))
            .unwrap_or_default()
            .chunks_exact(BLOCK)
        {
            prefix = text::hash(&format!("{prefix:x} {}", block.join(" ")));
            is_known &= !self.0.insert(prefix);
            cached += if is_known { BLOCK as u64 } else { 0 };
        }
        cached
    }
}

/// A place in the batch; given back on drop.
pub(super) struct Place<'a> {
    engine: &'a Engine,
    _permit: SemaphorePermit<'a>,
}

impl Place<'_> {
    /// Works through the prompt and gives nothing; what an embedding takes.
    pub(super) async fn read_prompt(&self) {
        tokio::time::sleep(self.engine.time_to_first_token).await;
    }

    /// Starts to decode `length` words about `prompt`.
    pub(super) fn generate(&self, prompt: &str, length: text::Length) -> Generation<'_> {
        #[allow(clippy::disallowed_methods, reason = "the worker paces real time")]
        let first = Instant::now() + self.engine.time_to_first_token;
        let mut pace = tokio::time::interval_at(first, self.engine.token_interval);
        // Rates above the timer's 1 ms are kept by several tokens per tick.
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Generation {
            engine: self.engine,
            pace,
            words: Words::new(prompt, length),
            thoughts: 0,
        }
    }
}

/// Tokens that come one by one; each word counts as one.
pub(super) struct Generation<'a> {
    engine: &'a Engine,
    pace: Interval,
    words: Words,
    /// Tokens at the beginning that are thoughts.
    thoughts: u64,
}

impl Generation<'_> {
    /// The same, the first of its tokens being thoughts.
    pub(super) fn thinking(mut self, thoughts: u64) -> Self {
        self.thoughts = thoughts;
        self
    }

    /// Whether the last token was a thought.
    pub(super) fn is_thinking(&self) -> bool {
        self.tokens() <= self.thoughts
    }

    /// Tokens given so far that were thoughts.
    pub(super) fn reasoning(&self) -> u64 {
        self.tokens().min(self.thoughts)
    }

    /// Whether it is time for the worker to break off, as it was asked to.
    pub(super) fn must_break(&self) -> bool {
        let after = self.engine.break_after;
        after.is_some_and(|after| self.tokens() >= after)
    }

    /// The next token; `None` after the last.
    pub(super) async fn next(&mut self) -> Option<String> {
        let word = self.words.next()?;
        self.pace.tick().await;
        self.engine
            .counts
            .generated_tokens
            .fetch_add(1, Ordering::Relaxed);
        Some(word)
    }

    /// Why it ended, in OpenAI's words.
    pub(super) fn finish_reason(&self) -> &'static str {
        self.words.finish_reason()
    }

    /// Tokens given so far.
    pub(super) fn tokens(&self) -> u64 {
        self.words.given()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.engine.counts.running.fetch_sub(1, Ordering::Relaxed);
    }
}
