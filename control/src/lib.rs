//! The control service: turns load reports into workers.
//!
//! # The life of a scaling decision
//!
//! 1. **Report.** A gateway counts every request from the moment it is admitted and sends a
//!    [`LoadReport`](penstock_config::fleet::LoadReport) every second, and at once when somebody
//!    waits where no worker is ready. [`reports`] takes differences of its sums, knows which
//!    gateways live, and says when a measurement must not be trusted.
//! 2. **Average.** [`window`] keeps the time-weighted concurrency of the last minute and of the
//!    last seconds.
//! 3. **Decide.** [`scale`] makes a number of it: how many workers there should be, and why.
//!    Growing is immediate within a pace, shrinking is patient, zero only after idleness. Pure.
//! 4. **Plan.** [`plan`] names the workers to start, drain, take back or stop, from facts about
//!    each. Pure.
//!    Where GPUs are too few, [`share`] names who gets them and who makes room. Pure.
//! 5. **Execute.** [`core`] holds all that is known, takes the steps above in turn, and says what is to be
//!    done: an [`Effect`](core::Effect). Pure too. The `shell` around it does it, with a [`driver`] for
//!    each kind of worker, and tells what came of it: an [`Event`](core::Event), which shows in the next
//!    plan. [`probe`] tells when a worker is ready and whether it is alive. Where a rule asks for what
//!    workers know of themselves, `scrape` reads their Prometheus pages: a correction of what the gateways
//!    count.
//! 6. **Publish.** Whatever the gateways must know goes out as a new
//!    [`FleetSnapshot`](penstock_config::fleet::FleetSnapshot) with a higher generation. A gateway
//!    says in its reports which generation it obeys. That closes the circle: a drained worker is
//!    stopped only when every gateway obeys the generation that drains it and has nothing in
//!    flight on it, so no request falls between. The shares of traffic go out with it: those of
//!    the file, those that an operator set ([`weights`]), or those that a canary has earned
//!    ([`rollout`]); and what an operator has stopped ([`pause`]).
//! 7. **Remember.** [`explain`] puts decisions into words. [`remembered`] is what is written down: the journal of
//!    them, the desired counts (the pace must not forget them), how long starts took, the load that
//!    forecasts go by, what operators did, and the workers that run: the next run of control takes them over.
//!    [`store`] keeps it in a file. [`status`] and [`api`] show it all.
//!
//! # Invariants
//!
//! - From [`reports`] to [`core`] nothing reads a clock or any randomness, logs, waits, or touches the world:
//!   the same events at the same moments give the same effects. `tests/layers.rs` holds it.
//! - Only the shell knows the time and calls drivers; only [`driver`] knows how a worker is started.
//! - Everything that can grow has a bound, named `…_MAX` where it is set.
//! - A deployment whose start failed, whose gateways are silent or whose settings changed has no
//!   special code path: these are facts, and `decide` and `plan` see them every time.

// Pure: what is known and decided, in the order of the life above.
pub mod reports;
pub mod window;

pub mod scale;

pub mod plan;

pub mod share;

pub mod pause;
mod plain_text;
pub mod revisions;
pub mod rollout;
pub mod weights;

pub mod explain;
pub mod remembered;
mod secret;
pub mod status;

pub mod core;

pub mod history;
// A world for the core to be tried in; nothing of the product runs it.
pub mod virtual_world;

// What touches the world.
pub mod driver;
mod metrics;
mod private;
pub mod probe;
mod scrape;
pub mod store;
mod worker_http;

mod shell;

pub mod api;
mod control;

pub use self::{
    control::{Control, ControlError},
    metrics::{
        Registry as MetricsRegistry, describe as describe_metrics, install as install_metrics,
    },
    secret::SecretKey,
    shell::Drivers,
};
