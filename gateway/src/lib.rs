//! The data plane: takes requests from clients and gets them answered by workers.
//!
//! # The storeys
//!
//! A module imports only from its own storey and those below; `tests/layers.rs` holds that, lists what is
//! still against it, and says how many modules import in circles because of it.
//!
//! | storey | modules |
//! |---|---|
//! | `run` | `gateway` starts and stops it, `follower` obeys control's snapshots and reports to it, `insight` tells why a service is slow |
//! | `listen` | `listener` takes connections, `begin` finds out who is there and what they speak, `serving` serves them to their end; `server` has the threads that do so |
//! | `serve` | `relay` drives a request of HTTP/1.1 to a worker of HTTP/1.1, both as bytes; `proxy` and `onward` drive every other one, by hyper (`by_hyper`); `destination`, `front_door`, `entry`, `find`, `early`, `admission`, `attempt`, `retry`, `sibling` and `tiers` are the steps of both, `failure` what comes of them otherwise |
//! | `stream` | `outgoing` is the request as the worker gets it; `request_body`, `response_body`, `unread`, `tunnel`, and the copy for a `mirror` with its `copied_body` |
//! | `settle` | `exchange`, the account of a request, and `upload`, that of its body, what a copy is told of its `original`, and the `access_log`; `thread`, what is the thread's and what all share |
//! | `route` | `table` leads to the service by its index of `hosts_and_paths`, `models` names the service that has one, `split` leads to the deployment, `mirroring` to that of a copy |
//! | `admit` | `access`: who may; `limits`: how much; `classes`: who first |
//! | `upstream` | connections to workers; `answer_health`, what answers say of them |
//! | `fleet` | `deployment`, `pick_by`, `queue`, `lease`, `worker`; `ejection` and `reminders` of readmitting; `poke` makes control hear at once |
//! | `count` | `metrics`, `open`, `recent`, `outcome_meter`, `load_meter`, `clients`, `spread`; `tokens`, which reads what answers of models tell of theirs |
//! | `request` | `request_head`, `request_key`: the small view that decides; `redirect` to HTTPS; `api`: which one a path belongs to; `door`: which paths name a `model`, and where; `model`: how a body tells it, and is changed as it passes |
//! | `socket` | `connection`, `crowd`, `terms`, `proxy_header`, `tls`, `io`, `read_through`, `small_writes`, `rejection`, `linger`, `dead_peer`, `client_gone` |
//! | `http1` | heads and framing of HTTP/1.1 as bytes, without policy |
//! | `http2` | both sides of HTTP/2 by the crate `h2`: `server`, `client`, what is sent (`pump`, `piece`) and what comes (`content`, `incoming`); no policy |
//! | `base` | `reason`, `refusal`, `wait_notice`, `problem` and the `dialect` it is told in, `headers`, `grpc`, `networks`, `lines`, `alarm`, `clock`, `date`, `timer`, `pace`, `reserve`, `tally`, `shards`, `luck` |
//!
//! # The life of a request
//!
//! | # | module | what happens |
//! |---|---|---|
//! | 1 | `listener`, `begin`, `serving` | accepted, unless there are too many (`crowd`); a proxy in front may name the client (`proxy_header`); TLS is negotiated, where the listener has it (`terms`, `tls`); the preface tells HTTP/1 from HTTP/2 (`io`) |
//! | 2 | `relay`, or `proxy` | reads the head within its limits, and drives all that follows; an `exchange` begins, the account of this request |
//! | 3 | `http1::request`, or `headers::check`; `redirect`, `request_head`, `request_key` | a request that must not be passed on is refused, one that should come by HTTPS sent there; what decides about the others sees a small view of them |
//! | 4 | `destination`, `table`, `hosts_and_paths`, `split` | host and path name the service, or at the `front_door` the model does, for which as much of the body is read as it takes (`door`, `model`, `models`); once it has let the request in (5), the split, or the host, names the deployment |
//! | 5 | `access`, `networks`, `limits` | who may use the service, and how much |
//! | 6 | `entry`, `find`, `early`; `admission`, `pick_by`, `classes`, `deployment`, `queue`, `lease`, `tiers` | a body that is not long is read first; then a lease on a worker, at once or after a wait, of which `wait_notice` tells the client; or a `refusal` |
//! | 7 | `http1::write`, or `outgoing` and `headers`; `relay::up`, or `request_body` | the request as the worker gets it; `mirror` may send a copy elsewhere |
//! | 8 | `attempt`, `retry`, `sibling`; `relay::sending` with `upstream::raw`, or `upstream` | a pooled or new connection of this thread; a try that failed may lead back to 6, and when the deployment is removed to another one |
//! | 9 | `relay::down`, or `response_body`, `incoming` and `unread`; `tunnel` | the answer streams through, piece by piece; an upgrade becomes a tunnel |
//! | 10 | `exchange`, `outcome_meter` | dropped on whatever way out: the lease is given back, metrics and log are written |
//!
//! Log lines are written by threads of their own (`lines`), so that nobody waits for a disk or a terminal.
//! While it is open, a request stands in the list of its thread (`open`), and how it ended counts for the
//! next minute (`recent`): `insight` tells both to whoever asks why a service is slow.
//!
//! What the gateway answers itself is made in `problem` from a `refusal` with its `reason`.
//!
//! # Threads
//!
//! A concurrent map, such as that of the crate `dashmap`, has no place here: what all threads read is
//! swapped whole (`table`), what each of them writes is its own (`shards`, `open`), and a request takes
//! its places in several limits together or not at all (`limits`), for which there must be one lock.
//!
//! Each thread of `server` runs a runtime of its own and shares nothing with the others but what
//! hangs on `thread::Shared`: the `table`, swapped whole, and per worker one atomic word that counts
//! its requests in flight. One more thread (`follower`) obeys control's snapshots and sends reports;
//! no request ever waits for it. The same thread readmits workers that were ejected (`ejection`,
//! `reminders`) because of what their answers said (`answer_health`). When control is away, the last
//! snapshot stays in force.

// The storeys, from the top down in the order of a request's life: the empty lines keep the formatter
// from sorting them. `tests/layers.rs` reads the order here.
mod run;

mod listen;

mod serve;

mod stream;

mod settle;

mod route;

mod admit;

mod upstream;

mod fleet;

mod count;

mod request;

mod socket;

mod http1;

mod http2;

mod base;

/// For the targets of `fuzz/` only.
#[cfg(fuzzing)]
#[doc(hidden)]
pub use http1::fuzzing;

/// For the targets of `fuzz/` only.
#[cfg(fuzzing)]
#[doc(hidden)]
pub use request::model::trial;

/// For a bench only.
#[doc(hidden)]
pub use request::model::model_of;

/// For a bench only.
#[doc(hidden)]
pub use count::tokens::tokens_of;

pub use base::lines::{Lines, LogFile, Output};
pub use listen::server::Drained;
pub use run::{
    gateway::{Gateway, GatewayError},
    insight::Insight,
};
