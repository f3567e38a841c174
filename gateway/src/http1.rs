//! HTTP/1.1 as bytes: heads are parsed where they lie, bodies pass as they came, framing is checked. No
//! policy, and no I/O but in what says so.
#![allow(dead_code)]

mod answer;
mod body;
mod chunked;
mod field;
mod lines;
mod request;
mod values;
