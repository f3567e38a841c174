//! The workers: two of `stable`, one of `canary`, and one that only gets copies.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::tally::Tally;
use crate::support::{
    client::{Body, BoxError, full},
    fake::{Behaviour, FakeWorker},
    metrics::Metrics,
    soon,
};

/// Clients that wait to hear that a worker has their request, by its id.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>;

pub(super) struct Workers {
    /// Those that answer clients.
    pub(super) stable: [FakeWorker; 2],
    pub(super) canary: FakeWorker,
    /// Gets copies, and nothing else.
    pub(super) shadow: FakeWorker,
    waiting: Waiting,
    next_id: Arc<AtomicU64>,
}

impl Workers {
    pub(super) async fn start() -> Self {
        let workers = Self {
            stable: [FakeWorker::start().await, FakeWorker::start().await],
            canary: FakeWorker::start().await,
            shadow: FakeWorker::start().await,
            waiting: Waiting::default(),
            next_id: Arc::default(),
        };
        for worker in workers.answering() {
            worker
                .on("/echo", Behaviour::Echo)
                .on("/error", Behaviour::Answer(500, "no luck"))
                .on("/reset", Behaviour::Reset)
                .on("/ws", Behaviour::WebSocket)
                .on("/wait", workers.tells(|_| Box::pin(std::future::pending())))
                .on("/upload", workers.tells(|request| Box::pin(read(request))))
                .on("/endless", Behaviour::custom(|_| async { endless() }));
        }
        workers
    }

    fn answering(&self) -> impl Iterator<Item = &FakeWorker> {
        self.stable.iter().chain([&self.canary])
    }

    /// A behaviour that first tells the client, past the gateway, that its request is here.
    fn tells(
        &self,
        answer: fn(Request<Incoming>) -> futures_util::future::BoxFuture<'static, Response<Body>>,
    ) -> Behaviour {
        let waiting = Arc::clone(&self.waiting);
        Behaviour::custom(move |request: Request<Incoming>| {
            let id = request.headers()["x-id"].to_str().unwrap();
            if let Some(client) = waiting.lock().remove(id) {
                let _ = client.send(());
            }
            answer(request)
        })
    }

    pub(super) fn ids(&self) -> Ids {
        Ids {
            waiting: Arc::clone(&self.waiting),
            next: Arc::clone(&self.next_id),
            told: None,
        }
    }

    /// What the workers saw agrees with what the clients saw.
    pub(super) async fn compare(&self, metrics: &Metrics, tally: &Tally) {
        for worker in self.answering().chain([&self.shadow]) {
            worker
                .until("no request left", |seen| seen.current == 0)
                .await;
        }
        let started: usize = self.answering().map(|worker| worker.seen().started).sum();
        let retried = metrics.sum("penstock_retries_total", &[]);
        assert_eq!(
            started as f64,
            tally.reached_workers() as f64 + retried,
            "requests at workers: {}",
            self.describe()
        );
    }

    pub(super) fn describe(&self) -> String {
        let seen: Vec<_> = self
            .answering()
            .chain([&self.shadow])
            .map(FakeWorker::seen)
            .collect();
        format!("{seen:?}")
    }
}

/// Hears when requests with certain ids are at a worker.
pub(super) struct Ids {
    waiting: Waiting,
    next: Arc<AtomicU64>,
    told: Option<oneshot::Receiver<()>>,
}

impl Ids {
    /// An id for the next request.
    pub(super) fn next(&mut self) -> String {
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(id.clone(), sender);
        self.told = Some(receiver);
        id
    }

    /// Waits until a worker has the request with the last id.
    pub(super) async fn arrived(&mut self) {
        if let Some(told) = self.told.as_mut() {
            soon("a worker has the request", told)
                .await
                .expect("nobody else has the sender");
        }
    }

    /// The request was answered before it came to a worker, if it did at all.
    pub(super) fn forget(&mut self, id: &str) {
        self.waiting.lock().remove(id);
    }
}

/// Reads a body to its end.
async fn read(request: Request<Incoming>) -> Response<Body> {
    let whole = request.into_body().collect().await;
    Response::new(full(if whole.is_ok() { "whole" } else { "broken" }))
}

/// An answer that begins and never ends.
fn endless() -> Response<Body> {
    let pieces = stream::once(async { Ok::<_, BoxError>(Frame::data(Bytes::from("begun"))) })
        .chain(stream::pending());
    Response::new(BodyExt::boxed(StreamBody::new(pieces)))
}
