//! What serves requests, lent by the thread: a connection without a request holds none of it, and a request
//! allocates nothing for it.

use std::{
    cell::RefCell,
    mem::replace,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use parking_lot::Mutex;

use super::{After, Side, long::Long, serve_jobs};
use crate::{http1::request::Request, socket::connection::Connection};

/// Kept for the next ones, per thread.
const SPARE_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Serving>> = const { RefCell::new(Vec::new()) };
}

/// A request to be served.
pub(super) struct Job {
    pub(super) side: Box<Side>,
    pub(super) connection: Arc<Connection>,
    pub(super) request: Request,
    /// Whether the connection ends after it in any case.
    pub(super) closes: bool,
}

/// What a request leaves behind after its first turns.
pub(super) enum Served {
    /// What becomes of its connection.
    Whole(Box<Side>, After),
    /// An answer of which more is to come.
    Part(Box<Long>),
}

/// Where a request is laid down, and what came of it.
#[derive(Default)]
pub(super) struct Desk(Mutex<OnDesk>);

#[derive(Default)]
enum OnDesk {
    #[default]
    Nothing,
    Job(Job),
    Served(Served),
}

impl Desk {
    /// Takes the next request.
    pub(super) fn poll_job(&self) -> Poll<Job> {
        let mut desk = self.0.lock();
        // Moved only where it is there: it is large.
        match matches!(*desk, OnDesk::Job(_)) {
            true => match replace(&mut *desk, OnDesk::Nothing) {
                OnDesk::Job(job) => Poll::Ready(job),
                _ => Poll::Pending,
            },
            false => Poll::Pending,
        }
    }

    /// Lays down what came of it.
    pub(super) fn put(&self, served: Served) {
        *self.0.lock() = OnDesk::Served(served);
    }
}

/// What is serving a request. Its memory is large, so it serves one request after the other, and none of it
/// is ever moved.
pub(super) struct Serving {
    desk: Arc<Desk>,
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Serving {
    /// Begins to serve a request.
    pub(super) fn lend(job: Job) -> Self {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
        let lent = spare.ok().flatten().unwrap_or_else(|| {
            let desk = Arc::<Desk>::default();
            Self {
                work: Box::pin(serve_jobs(Arc::clone(&desk))),
                desk,
            }
        });
        *lent.desk.0.lock() = OnDesk::Job(job);
        lent
    }

    /// Goes on. Ready when the request is served, or its answer is under way.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Served> {
        // It never ends.
        let _ = self.work.as_mut().poll(cx);
        let mut desk = self.desk.0.lock();
        match matches!(*desk, OnDesk::Served(_)) {
            true => match replace(&mut *desk, OnDesk::Nothing) {
                OnDesk::Served(served) => Poll::Ready(served),
                _ => Poll::Pending,
            },
            false => Poll::Pending,
        }
    }

    /// Keeps what has served its request, unless there is plenty.
    pub(super) fn give_back(self) {
        // While a thread ends there is nobody to keep it for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
    }
}
