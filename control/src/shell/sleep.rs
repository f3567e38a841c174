//! Puts workers to sleep, wakes them, and asks whether they sleep: by the HTTP calls that their deployment names.

use std::{fmt::Write, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Limited};
use penstock_config::{Call, CallMethod, Protocol, Sleep, WakeCheck, fleet::WorkerId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    core::{Event, NewWorker},
    plain_text::plain,
    worker_http::{Get, Secured},
};

/// Most of an answer that is read: what is compared is short, and whatever is longer is no answer to wait for.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Most of an answer that is shown.
const SHOWN_MAX: usize = 200;

/// From one question whether a worker sleeps to the next.
const EVERY: Duration = Duration::from_secs(5);

/// How long a worker may take to say that it is awake once its wake call has been answered.
const AWAKE_WITHIN: Duration = Duration::from_secs(60);

/// From one question to the next while it is waited for.
const SOON: Duration = Duration::from_millis(100);

/// A worker that is asked.
#[derive(Debug, Clone)]
pub(super) struct Sleeper {
    pub(super) id: WorkerId,
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<Secured>,
    sleep: Arc<Sleep>,
}

/// An answer.
struct Answered {
    status: u16,
    body: Bytes,
}

impl Sleeper {
    pub(super) fn new(worker: &NewWorker, address: SocketAddr, sleep: Arc<Sleep>) -> Self {
        Self {
            id: worker.id.clone(),
            address,
            protocol: worker.spec.protocol,
            tls: Secured::of(&worker.spec),
            sleep,
        }
    }

    /// What is to be the same after waking; `None` where nothing is. To be asked before the worker sleeps for
    /// the first time.
    pub(super) async fn record(&self) -> Result<Option<Arc<str>>, String> {
        let Some(check) = &self.sleep.check else {
            return Ok(None);
        };
        let recorded = self.check(check).await;
        recorded.map_err(|reason| format!("its check fails before it slept: {reason}"))
    }

    /// Makes it give the memory of its GPUs up.
    pub(super) async fn fall_asleep(&self) -> Result<(), String> {
        self.must_do(&self.sleep.sleep).await
    }

    /// Makes it take the memory again, and sees whether it works as before.
    pub(super) async fn wake_up(&self, recorded: Option<&str>) -> Result<(), String> {
        self.must_do(&self.sleep.wake).await?;
        if self.sleep.is_sleeping.is_some() {
            let awake = timeout(AWAKE_WITHIN, self.until_awake()).await;
            awake.map_err(|_| {
                format!(
                    "it says that it sleeps, {} after it was woken",
                    humantime::format_duration(AWAKE_WITHIN)
                )
            })??;
        }
        let Some(check) = &self.sleep.check else {
            return Ok(());
        };
        let found = self
            .check(check)
            .await
            .map_err(|reason| format!("its check after waking: {reason}"))?;
        match (recorded, found) {
            (Some(before), Some(now)) if *before != *now => Err(format!(
                "its check after waking: {} {} does not answer what it did before the worker slept",
                check.call.method.as_str(),
                check.call.path
            )),
            _ => Ok(()),
        }
    }

    async fn until_awake(&self) -> Result<(), String> {
        while self.sleeps().await? {
            sleep(SOON).await;
        }
        Ok(())
    }

    /// Whether it says that it sleeps.
    async fn sleeps(&self) -> Result<bool, String> {
        let Some(call) = &self.sleep.is_sleeping else {
            return Ok(false);
        };
        let answer = self.ask(call).await?;
        let wrong = || {
            format!(
                "{} says neither true, false nor {{\"is_sleeping\": …}}{}",
                call.path,
                answer.shown()
            )
        };
        let answered: Value = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
        let told = match &answered {
            Value::Object(fields) => fields.get("is_sleeping"),
            other => Some(other),
        };
        told.and_then(Value::as_bool)
            .filter(|_| answer.is_good())
            .ok_or_else(wrong)
    }

    /// A digest of what is to be the same, if anything is.
    async fn check(&self, check: &WakeCheck) -> Result<Option<Arc<str>>, String> {
        let answer = self.ask(&check.call).await?;
        let (method, path) = (check.call.method.as_str(), &check.call.path);
        if answer.status != check.status {
            return Err(format!(
                "{method} {path} is answered with status {} and not {}{}",
                answer.status,
                check.status,
                answer.shown()
            ));
        }
        let Some(pointer) = &check.same else {
            return Ok(None);
        };
        if pointer.is_empty() {
            return Ok(Some(digest(&answer.body)));
        }
        let value: Value = serde_json::from_slice(&answer.body).map_err(|_| {
            format!(
                "{method} {path} is not answered with JSON{}",
                answer.shown()
            )
        })?;
        match value.pointer(pointer) {
            Some(part) => Ok(Some(digest(part.to_string().as_bytes()))),
            None => Err(format!(
                "there is no {pointer} in the answer to {method} {path}{}",
                answer.shown()
            )),
        }
    }

    async fn must_do(&self, call: &Call) -> Result<(), String> {
        let answer = self.ask(call).await?;
        match answer.is_good() {
            true => Ok(()),
            false => Err(format!(
                "{} {} is answered with status {}{}",
                call.method.as_str(),
                call.path,
                answer.status,
                answer.shown()
            )),
        }
    }

    async fn ask(&self, call: &Call) -> Result<Answered, String> {
        let (method, path) = (call.method.as_str(), &call.path);
        let asked = timeout(call.timeout, self.ask_without_limit(call)).await;
        let asked = asked.unwrap_or_else(|_| {
            let limit = humantime::format_duration(call.timeout);
            Err(format!("no whole answer within {limit}"))
        });
        asked.map_err(|reason| format!("{method} {path}: {}", plain(&reason)))
    }

    async fn ask_without_limit(&self, call: &Call) -> Result<Answered, String> {
        let json = ("content-type".to_owned(), "application/json".to_owned());
        let has_type = |(name, _): &(String, String)| name.eq_ignore_ascii_case(&json.0);
        let mut headers = call.headers.clone();
        if call.body.is_some() && !headers.iter().any(has_type) {
            headers.push(json);
        }
        let get = Get {
            address: self.address,
            protocol: self.protocol,
            tls: self.tls.as_ref(),
            method: match call.method {
                CallMethod::Get => Method::GET,
                CallMethod::Post => Method::POST,
                CallMethod::Put => Method::PUT,
            },
            path: &call.path,
            headers: &headers,
            body: call.body.clone().unwrap_or_default().into(),
            agent: "penstock-sleep",
        };
        let mut answer = get.send().await.map_err(|failure| failure.text)?;
        let status = answer.response.status().as_u16();
        let body = Limited::new(answer.response.body_mut(), BODY_BYTES_MAX);
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok(Answered {
            status,
            body: body.to_bytes(),
        })
    }
}

impl Answered {
    fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The beginning of the body, after a colon.
    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = plain(text.trim());
        let end = text.char_indices().nth(SHOWN_MAX).map(|(end, _)| end);
        match (text.is_empty(), end) {
            (true, _) => String::new(),
            (_, None) => format!(": {text}"),
            (_, Some(end)) => format!(": {}…", &text[..end]),
        }
    }
}

fn digest(bytes: &[u8]) -> Arc<str> {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

/// Keeps asking a worker whether it sleeps; ends it when dropped.
#[derive(Debug)]
pub(super) struct SleepGuard(JoinHandle<()>);

impl Drop for SleepGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to ask whether a worker sleeps. What it says is told under this number.
pub(super) fn watch(
    sleeper: Sleeper,
    number: u64,
    events: mpsc::UnboundedSender<Event>,
) -> SleepGuard {
    SleepGuard(tokio::spawn(async move {
        loop {
            sleep(EVERY).await;
            // A worker that cannot say is looked after by its probes.
            let Ok(sleeps) = sleeper.sleeps().await else {
                continue;
            };
            if events
                .send(Event::Sleeps(sleeper.id.clone(), number, sleeps))
                .is_err()
            {
                // Control is ending.
                return;
            }
        }
    }))
}
