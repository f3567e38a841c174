//! The data plane: takes requests from clients and gets them answered by workers.
//!
//! # The life of a request
//!
//! | # | module | what happens |
//! |---|---|---|
//! | 1 | `listener`, `crowd`, `terms`, `connection`, `proxy_header`, `tls`, `io`, `read_through`, `alarm`, `timer`, `linger`, `dead_peer`, `tally` | accepted, unless there are too many; a proxy in front may name the client; TLS is negotiated, where the listener has it; the preface tells HTTP/1 from HTTP/2; hyper reads the request head within its limits |
//! | 2 | `proxy` | drives all that follows; an `exchange` begins, the account of this request |
//! | 3 | `headers::check`, `redirect`, `request_head`, `request_key` | a request that must not be passed on is refused, one that should come by HTTPS sent there; what decides about the others sees a small view of them |
//! | 4 | `destination`, `route`, `table`, `split` | host and path name the service; once it has let the request in (5), the split, or the host, names the deployment |
//! | 5 | `access`, `networks`, `limits` | who may use the service, and how much |
//! | 6 | `admission`, `placement`, `classes`, `deployment`, `queue`, `lease` | a lease on a worker, at once or after a wait, of which `outlook` tells the client; or a `refusal` |
//! | 7 | `outgoing`, `headers`, `request_body` | the request as the worker gets it; `mirror` may send a copy elsewhere |
//! | 8 | `attempt`, `retry`, `sibling`, `upstream` | a pooled or new connection of this thread; a try that failed may lead back to 6, and when the deployment is removed to another one |
//! | 9 | `response_body`, `unread`, `tunnel` | the answer streams through, piece by piece; an upgrade becomes a tunnel |
//! | 10 | `exchange`, `outcomes` | dropped on whatever way out: the lease is given back, metrics and log are written |
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
//! its requests in flight. One more thread (`fleet`) obeys control's snapshots and sends reports;
//! no request ever waits for it. The same thread readmits workers that were ejected (`ejection`,
//! `reminders`) because of what their answers said (`verdict`). When control is away, the last
//! snapshot stays in force.

mod access;
mod access_log;
mod admission;
mod alarm;
mod attempt;
mod classes;
mod client_gone;
mod clients;
mod clock;
mod connection;
mod crowd;
mod dead_peer;
mod deployment;
mod destination;
mod ejection;
mod exchange;
mod fleet;
mod gateway;
mod grpc;
mod headers;
mod http1;
mod insight;
mod io;
mod lease;
mod limits;
mod lines;
mod linger;
mod listener;
mod load;
mod metrics;
mod mirror;
mod networks;
mod open;
mod outcomes;
mod outgoing;
mod outlook;
mod placement;
mod problem;
mod proxy;
mod proxy_header;
mod queue;
mod read_through;
mod reason;
mod recent;
mod redirect;
mod refusal;
mod rejection;
mod reminders;
mod report;
mod request_body;
mod request_head;
mod request_key;
mod response_body;
mod retry;
mod route;
mod server;
mod shards;
mod sibling;
mod small_writes;
mod split;
mod table;
mod tally;
mod terms;
mod thread;
mod timer;
mod tls;
mod tunnel;
mod unread;
mod upstream;
mod verdict;
mod worker;

pub use gateway::{Gateway, GatewayError};
pub use insight::Insight;
pub use lines::{Lines, LogFile, Output};
pub use server::Drained;
