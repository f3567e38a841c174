//! End to end: the real binary, real sockets, real worker processes.
//!
//! A test waits on events (an answer, a count that a fake worker saw, a value of `/metrics`), never
//! for a time. `support` hides the plumbing; what a test shows is in its body.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer")]
#![allow(clippy::disallowed_methods, reason = "tests measure real time")]

mod support;

mod access;
mod admin_access;
mod affinity;
mod bad_input;
mod bad_start;
mod bad_workers;
mod balancing;
mod certificates;
mod client_leaves;
mod clocks;
mod cold_start;
mod commands;
mod console;
mod crash;
mod crowd;
mod ejection;
mod eta;
mod evidence;
mod exact_counts;
mod explain;
mod follow;
mod forecast;
mod forwarding;
mod front_door;
mod grpc;
mod half_closed;
mod http2;
mod https;
mod https_workers;
mod limits;
mod load;
mod logs;
mod long_request;
mod mirror;
mod overflow;
mod own_answers;
mod pause;
mod proxy_protocol;
mod queue;
mod reload;
mod retries;
mod rollout;
mod routing;
mod scale_to_zero;
mod scaling_rules;
mod secrets;
mod shared_gpus;
mod shutdown;
mod simulate;
mod slow_clients;
mod split;
mod sse;
mod start_failure;
mod status;
mod streams;
mod strict;
mod updates;
mod websocket;
mod weights;
mod why_slow;
mod worker;
mod worker_metrics;
mod worker_port;
