//! The two forms of a line. Nothing a client sends can end a line early or look like another field.

use std::{
    fmt::{self, Display},
    io::Write,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{AccessRecord, ModelRecord};

const NEVER_FAILS: &str = "writing to memory does not fail";

/// One JSON object. Times are in milliseconds; what did not happen is `null`.
pub(super) fn json(line: &mut Vec<u8>, now: SystemTime, record: &AccessRecord<'_>) {
    let record = JsonLine {
        time: humantime::format_rfc3339_millis(now).to_string(),
        request_id: record.request_id,
        client: record.client,
        method: record.method,
        host: record.host,
        path: record.path,
        protocol: record.protocol,
        service: record.service,
        deployment: record.deployment,
        api_key: record.api_key,
        class: record.class,
        worker: record.worker,
        status: record.status,
        reason: record.reason,
        detail: record.detail,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        queue_wait_ms: record.queue_wait.map(millis),
        connect_ms: record.connect.map(millis),
        first_byte_ms: record.first_byte.map(millis),
        duration_ms: millis(record.duration),
        retries: record.retries,
        model: record.model.map(ModelLine::of),
    };
    serde_json::to_writer(&mut *line, &record).expect(NEVER_FAILS);
    line.push(b'\n');
}

/// One line for people: the request, where it went, what came of it, and how long each part took.
pub(super) fn text(line: &mut Vec<u8>, now: SystemTime, record: &AccessRecord<'_>) {
    let AccessRecord {
        status,
        bytes_in,
        bytes_out,
        retries,
        ..
    } = record;
    write!(
        line,
        "{time} {client} {method} {host} {path} {protocol} {status} {service}/{deployment}/{worker} \
         reason={reason} in={bytes_in} out={bytes_out} wait={wait} connect={connect} \
         first_byte={first_byte} total={total} retries={retries} \
         key={key} class={class} id={id}",
        time = humantime::format_rfc3339_millis(now),
        client = record.client,
        method = Plain(record.method),
        host = Plain(record.host),
        path = Plain(record.path),
        protocol = Plain(record.protocol),
        service = Plain(record.service.unwrap_or_default()),
        deployment = Plain(record.deployment.unwrap_or_default()),
        worker = OrDash(record.worker),
        reason = Plain(record.reason.unwrap_or_default()),
        wait = OrDash(record.queue_wait.map(Millis)),
        connect = OrDash(record.connect.map(Millis)),
        first_byte = OrDash(record.first_byte.map(Millis)),
        total = Millis(record.duration),
        key = Plain(record.api_key.unwrap_or_default()),
        class = Plain(record.class.unwrap_or_default()),
        id = Plain(record.request_id),
    )
    .expect(NEVER_FAILS);
    if let Some(model) = &record.model {
        let told = &model.told;
        write!(
            line,
            " model={name} tokens_in={input} tokens_out={output} first_token={first}",
            name = Plain(model.model.unwrap_or_default()),
            input = OrDash(told.has_input.then_some(told.input)),
            output = OrDash(told.is_known.then_some(told.output)),
            first = OrDash(model.first_token.map(Millis)),
        )
        .expect(NEVER_FAILS);
    }
    if let Some(detail) = record.detail {
        write!(line, " detail={detail:?}").expect(NEVER_FAILS);
    }
    line.push(b'\n');
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    request_id: &'a str,
    client: SocketAddr,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    protocol: &'a str,
    service: Option<&'a str>,
    deployment: Option<&'a str>,
    api_key: Option<&'a str>,
    class: Option<&'a str>,
    worker: Option<u32>,
    status: u16,
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    bytes_in: u64,
    bytes_out: u64,
    queue_wait_ms: Option<f64>,
    connect_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    duration_ms: f64,
    retries: u32,
    #[serde(flatten)]
    model: Option<ModelLine<'a>>,
}

/// What there is to tell of a model's answer; absent where nobody read it.
#[derive(Serialize)]
struct ModelLine<'a> {
    model: Option<&'a str>,
    tokens_in: Option<u64>,
    tokens_cached: Option<u64>,
    tokens_out: Option<u64>,
    tokens_reasoning: Option<u64>,
    /// Whether those that went out were counted from pieces of the answer.
    tokens_estimated: bool,
    first_token_ms: Option<f64>,
}

impl<'a> ModelLine<'a> {
    fn of(record: ModelRecord<'a>) -> Self {
        let told = record.told;
        let of_prompt = |count| told.has_input.then_some(count);
        let of_answer = |count| told.is_known.then_some(count);
        Self {
            model: record.model,
            tokens_in: of_prompt(told.input),
            tokens_cached: of_prompt(told.cached),
            tokens_out: of_answer(told.output),
            tokens_reasoning: of_answer(told.reasoning),
            tokens_estimated: told.is_estimated,
            first_token_ms: record.first_token.map(millis),
        }
    }
}

/// With microsecond precision.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

struct Millis(Duration);

impl Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}ms", millis(self.0))
    }
}

struct OrDash<T>(Option<T>);

impl<T: Display> Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// A text without space, control character or anything beyond ASCII; those are escaped as in Rust.
/// The empty text is a dash.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        let is_plain = |c: char| c.is_ascii_graphic() && c != '\\';
        let mut rest = self.0;
        while let Some(at) = rest.find(|c| !is_plain(c)) {
            f.write_str(&rest[..at])?;
            let mut chars = rest[at..].chars();
            if let Some(special) = chars.next() {
                match special {
                    ' ' => f.write_str("\\x20")?,
                    other => write!(f, "{}", other.escape_default())?,
                }
            }
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests;
