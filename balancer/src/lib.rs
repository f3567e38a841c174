//! Pure algorithms of the data plane: which deployment, which worker, and may it pass.
//!
//! Nothing here reads a clock, draws randomness, blocks, logs or does I/O: time and seeds are arguments,
//! so every decision can be repeated in a test. Nothing on the path of a request that need not wait takes
//! a lock or allocates. The crate knows neither HTTP nor configuration; the gateway translates.
//!
//! # The map, in the order a request meets it
//!
//! | Question | Public name | Below it |
//! |---|---|---|
//! | Which deployment? | [`Splitter`] | `rotation` (smooth turns), `rendezvous` (hash, random) |
//! | Which worker? | [`Picker`] | `rotation`, `lottery` (weighted random), `darts` (hash) |
//! | May it pass, and how many are in flight? | [`Gate`] | |
//! | How much may a fresh worker get? | [`Ramp`] | `ramp::stage` (one word) |
//! | Who of those that wait is next? | [`Line`] | `line::lane` (turns of keys) |
//! | How long will that take, and how long at least? | [`likely_wait`], [`least_wait`] | `line::ahead` |
//! | May this client have more, in time and at once? | [`RateLimit`], [`ConcurrencyLimit`] | |
//! | May it be tried again elsewhere? | [`RetryBudget`] | |
//! | Does a worker fail too often? | [`Ejector`] | |
//! | Does a deployment that fails only look idle? | [`Strikes`] | |
//! | Is this request one of the sample? | [`Sample`] | |
//! | What outlives a change of the fleet? | [`Vitals`] | the gate, the ramp, `latency`, `strikes` |
//!
//! # Who owns what
//!
//! One [`Vitals`] per worker, behind an `Arc`, lives as long as the worker's identity. One [`Picker`]
//! per deployment and one [`Splitter`] per service are immutable, shared by all threads, and built
//! anew when the fleet changes; each takes over from the one before it, so that nobody loses a turn.
//! One [`Ejector`] per deployment is behind the caller's lock, which only failures touch.
//!
//! A request's way: [`Splitter::choose`], then [`Picker::pick`], which takes a place at the gate, and
//! [`Vitals::requested`]. When the answer begins: [`Vitals::answered`] and [`Vitals::succeeded`], or [`Vitals::failed`] and, after
//! enough of them, [`Ejector::failed`]. In the end, whatever happened, [`Gate::release`].
//!
//! # What was measured
//!
//! Two shared cores, noisy; `cargo bench --bench pick` repeats it. Nanoseconds to pick, take the place
//! and give it back:
//!
//! | workers | round-robin | least-connections | random | hash | peak-ewma |
//! |---|---|---|---|---|---|
//! | 10 | 22 | 47 | 17 | 84 | 43 |
//! | 1,000 | 22 | 26 | 17 | 78 | 49 |
//! | 10,000 | 22 | 31 | 20 | 112 | 62 |
//!
//! Why `hash` throws darts (module `darts`) and is no ring. Nanoseconds per lookup, and the largest and
//! smallest share of a worker for 300 keys per worker (where chance alone gives 1.2 and 0.8); each moves
//! only the keys of a lost worker:
//!
//! | workers | darts | rendezvous, asking all | ring of the `consistent_hash` crate, 160 points |
//! |---|---|---|---|
//! | 10 | 89, 1.12–0.92 | 17, 1.15–0.91 | 39, 1.19–0.90 |
//! | 100 | 86, 1.13–0.85 | 107, 1.14–0.83 | 55, 1.24–0.81 |
//! | 1,000 | 78, 1.19–0.82 | 901, 1.20–0.81 | 113, 1.41–0.69 |
//! | 10,000 | 119, 1.21–0.77 | 8,970, 1.21–0.82 | 791, 1.39–0.67 |
//!
//! The ring also allocates with every lookup and takes 90 ms to build for 10,000 workers. Asking all is
//! used for the few deployments of a split.

mod budget;
mod darts;
mod draw;
mod eject;
mod eta;
mod gate;
mod key;
mod latency;
mod limit;
mod line;
mod lottery;
mod pick;
mod ramp;
mod rendezvous;
mod rotation;
mod sample;
mod split;
mod stamped;
mod strikes;
mod vitals;

pub use budget::{BudgetRules, RetryBudget};
pub use eject::{EjectRules, Ejector};
pub use eta::{Crew, LeastWaits, Work, least_wait, likely_wait};
pub use gate::Gate;
pub use key::key;
pub use limit::{ConcurrencyLimit, RateLimit, RateRule};
pub use line::{Ahead, Home, Line, Turn};
pub use pick::{Candidate, EXACT_SCAN_MAX, Overflow, Picker, Policy, Query};
pub use ramp::{Grown, Ramp, STEP as RAMP_STEP};
pub use sample::Sample;
pub use split::{Share, SplitPolicy, SplitQuery, Splitter, WeightedSplit};
pub use strikes::Strikes;
pub use vitals::Vitals;
