//! Plays a case through the gateway, and says what was seen at both ends.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    case::{Case, Step, Wanted, Worker, is_own},
    message::{Kind, Message, find, take},
    origin::{Origin, Seen},
};
use crate::support::{PATIENCE, fake::FakeWorker, penstock::Penstock, soon};

/// Which engine serves the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Relay,
    Hyper,
}

/// The program between a client and an origin of the test.
pub(crate) struct Stage {
    pub(crate) penstock: Penstock,
    origin: Origin,
    _second: FakeWorker,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) client: String,
    pub(crate) origin: String,
    pub(crate) is_open: bool,
}

/// A request that leads nowhere: whoever answers it takes requests.
const PROBE: &[u8] = b"HEAD / HTTP/1.1\r\nHost: nowhere.example\r\n\r\n";

/// One to a service with workers that speak HTTP/2: hyper serves the connection from then on.
const TO_HYPER: &[u8] = b"GET / HTTP/1.1\r\nHost: second\r\n\r\n";

/// How long an end is awaited that may not come: what is missing then is missing in the outcome.
const SHORT: Duration = Duration::from_secs(3);

impl Stage {
    pub(crate) async fn set() -> Self {
        let origin = Origin::start().await;
        let second = FakeWorker::start().await;
        let config = format!(
            r#"
            gateway.limits = {{ max_header_bytes = "16KiB" }}
            [services.first]
            hosts = ["h"]
            max_body = "1MiB"
            retries = {{ attempts = 0 }}
            ejection = {{ failures = 0 }}
            [services.first.deployments.main]
            static = {{ addresses = ["{}"] }}
            [services.begins-at-once]
            hosts = ["begins-at-once"]
            retries = {{ attempts = 0, buffer = "0B" }}
            ejection = {{ failures = 0 }}
            [services.begins-at-once.deployments.main]
            static = {{ addresses = ["{}"] }}
            [services.second]
            hosts = ["second"]
            protocol = "h2"
            [services.second.deployments.main]
            static = {{ addresses = ["{}"] }}
            "#,
            origin.address, origin.address, second.address
        );
        let penstock = Penstock::start(&config).await;
        Self {
            penstock,
            origin,
            _second: second,
        }
    }

    /// Plays the client's steps while the worker does this. `answers`: how many are awaited before it is seen
    /// whether the connection goes on. The origin is looked at again until `settled` says that all is there.
    pub(crate) async fn play(
        &self,
        engine: Engine,
        steps: &[Step],
        worker: &Worker,
        answers: usize,
        tell: fn(&Message) -> String,
        settled: impl Fn(&str) -> bool,
    ) -> Outcome {
        self.origin.begin(worker);
        let mut client = Conversation::open(self.penstock.address).await;
        if engine == Engine::Hyper {
            client.send(TO_HYPER).await;
            client
                .until(|bytes, _| count(bytes, Kind::Answer, false) == 1)
                .await;
            client.got.clear();
        }
        let mut kind = Kind::Answer;
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    if bytes.starts_with(b"HEAD ") {
                        kind = Kind::AnswerToHead;
                    }
                    client.send(bytes).await;
                }
                Step::Await(end) => client.until(|bytes, _| bytes.ends_with(end)).await,
                Step::End => client.end().await,
            }
        }
        client
            .until(|bytes, ended| count(bytes, kind, ended) >= answers)
            .await;
        let answered = client.got.len();
        client.send(PROBE).await;
        let is_probed =
            |bytes: &[u8]| find(&bytes[answered.min(bytes.len())..], b"no_route").is_some();
        client
            .until(|bytes, _| is_probed(bytes) && bytes.ends_with(b"\r\n\r\n"))
            .await;
        let is_open = is_probed(&client.got);
        if is_open {
            client.got.truncate(answered);
        }
        if !is_open {
            // What is still under way then shall not be taken for the next one's.
            self.penstock.until_load("first", 0, 0).await;
        }
        let mut client = tell_client(&client.got, kind, !is_open, tell);
        if steps.iter().any(|step| matches!(step, Step::End)) {
            // Whoever ends its side may be asked in this way whether it is there.
            client = client.replace("HTTP/1.1 100 Continue\n\n", "");
        }
        let origin = self.origin_settled(tell, settled).await;
        Outcome {
            client,
            origin,
            is_open,
        }
    }

    async fn origin_settled(
        &self,
        tell: fn(&Message) -> String,
        settled: impl Fn(&str) -> bool,
    ) -> String {
        let deadline = tokio::time::Instant::now() + SHORT;
        loop {
            let told = tell_origin(&self.origin.seen(), tell);
            if settled(&told) || tokio::time::Instant::now() > deadline {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Plays a case, and says how it differs from what is wanted.
    pub(crate) async fn judge(&self, engine: Engine, case: &Case) -> Option<String> {
        let wanted = match (engine, &case.by_hyper) {
            (Engine::Hyper, Some(by_hyper)) => by_hyper,
            _ => &case.wanted,
        };
        let tell = match engine {
            Engine::Relay => Message::exact,
            Engine::Hyper => Message::meaning,
        };
        let expected = wanted;
        let wanted = told(case, wanted, tell);
        let answers = answers(&wanted);
        let is_part = |origin: &str| {
            expected.may_break_off && (origin.is_empty() || origin.contains("(cut off)"))
        };
        let settled = |origin: &str| origin == wanted.origin || is_part(origin);
        let played = self.play(engine, &case.client, &case.worker, answers, tell, settled);
        let mut got = soon(&case.name, played).await;
        if is_part(&got.origin) {
            got.origin.clone_from(&wanted.origin);
        }
        (got != wanted).then(|| {
            let report = format!(
                "=== {} ({engine:?})\n--- wanted: client\n{}--- got: client\n{}--- wanted: origin\n{}--- got: origin\n{}\
                 --- wanted: open {}, got: {}\n",
                case.name, wanted.client, got.client, wanted.origin, got.origin, wanted.is_open, got.is_open
            );
            report.lines().map(|line| format!("{line:.120}\n")).collect()
        })
    }
}

/// What is wanted, in the words of an outcome.
fn told(case: &Case, wanted: &Wanted, tell: fn(&Message) -> String) -> Outcome {
    let client = tell_client(&wanted.client, kind(case), true, tell);
    let mut seen = Vec::new();
    let mut rest = wanted.origin.as_slice();
    while !rest.is_empty() {
        match take(rest, Kind::Request, true) {
            Some((message, length)) => {
                seen.push(Seen::Request(message));
                rest = &rest[length..];
            }
            None => {
                seen.push(Seen::Bytes(rest.to_vec()));
                break;
            }
        }
    }
    Outcome {
        client,
        origin: tell_origin(&seen, tell),
        is_open: wanted.is_open,
    }
}

fn kind(case: &Case) -> Kind {
    let is_head =
        matches!(case.client.first(), Some(Step::Send(bytes)) if bytes.starts_with(b"HEAD "));
    if is_head {
        Kind::AnswerToHead
    } else {
        Kind::Answer
    }
}

/// How many answers, beside interim ones, the client gets.
fn answers(wanted: &Outcome) -> usize {
    let own = wanted
        .client
        .lines()
        .filter(|line| is_own(line.as_bytes()) && line.contains('_'))
        .count();
    let passed = wanted
        .client
        .lines()
        .filter(|line| line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.1 10"));
    (own + passed.count()).max(1)
}

/// How many answers have come whole.
fn count(bytes: &[u8], kind: Kind, ended: bool) -> usize {
    let (mut rest, mut whole) = (bytes, 0);
    while let Some((message, length)) = take(rest, kind, ended) {
        whole += usize::from(message.is_whole && !message.is_interim());
        rest = &rest[length..];
    }
    whole
}

fn tell_client(bytes: &[u8], kind: Kind, ended: bool, tell: fn(&Message) -> String) -> String {
    let (mut rest, mut text) = (bytes, String::new());
    while !rest.is_empty() {
        // In the corpus an answer of the gateway's own is told in one line.
        if is_own(rest)
            && let Some(end) = find(rest, b"\r\n")
        {
            let _ = writeln!(text, "{}", rest[..end].escape_ascii());
            rest = &rest[end + 2..];
            continue;
        }
        let Some((message, length)) = take(rest, kind, ended) else {
            return format!("{text}{}\n", rest.escape_ascii());
        };
        rest = &rest[length..];
        match message.value("x-penstock-reason") {
            Some(reason) => drop(writeln!(text, "{} {reason}", message.status())),
            None => text.push_str(&tell(&message.without(is_told_anyway))),
        }
    }
    text
}

/// What is in every answer: it is another one each time.
fn is_told_anyway(_: &Message, name: &str, _: &str) -> bool {
    matches!(name, "x-request-id" | "date")
}

fn tell_origin(seen: &[Seen], tell: fn(&Message) -> String) -> String {
    let told = seen.iter().map(|seen| match seen {
        Seen::Request(message) => tell(&message.clone().without(is_ours)),
        Seen::Bytes(bytes) => format!("{}\n", bytes.escape_ascii()),
    });
    told.collect()
}

/// What the gateway says of the client in every request. Other values of these fields are not ours.
fn is_ours(message: &Message, name: &str, value: &str) -> bool {
    let host = message.value("host").unwrap_or_default();
    let quoted = |host: &str| match host.is_empty() || host.contains([':', '[']) {
        true => format!("\"{host}\""),
        false => host.to_owned(),
    };
    match name {
        "x-request-id" => value.len() == 32,
        "traceparent" => value.starts_with("00-"),
        "x-forwarded-for" => value == "127.0.0.1",
        "x-forwarded-proto" => value == "http",
        "x-forwarded-host" => value == host,
        "forwarded" => value == format!("for=127.0.0.1;host={};proto=http", quoted(host)),
        _ => false,
    }
}

/// A client's connection and what came of it.
struct Conversation {
    stream: TcpStream,
    got: Vec<u8>,
    ended: bool,
}

impl Conversation {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a listener");
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            got: Vec::new(),
            ended: false,
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        // Whoever has closed already has said why.
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
    }

    async fn end(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads until `is_enough`, or the end, or for a while.
    async fn until(&mut self, is_enough: impl Fn(&[u8], bool) -> bool) {
        while !self.ended && !is_enough(&self.got, false) {
            match tokio::time::timeout(SHORT, self.stream.read_buf(&mut self.got)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => self.ended = true,
                Err(_) => return,
            }
        }
    }
}
