//! The account of a request's body: how much came, when it last moved, and how it ended. Whoever passes the body
//! on writes it; the account of the whole request reads it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use crate::{base::reason::Reason, socket::connection::Connection, upstream::StreamPlace};

/// What is known of a body that is being sent.
pub(crate) struct Upload {
    connection: Arc<Connection>,
    bytes: AtomicU64,
    moved_ms: AtomicU64,
    ended: AtomicBool,
    /// Whether the head of an answer has passed on.
    answered: AtomicBool,
    failure: AtomicU8,
    /// The place on its connection that it still takes.
    place: Mutex<Option<StreamPlace>>,
}

/// Why a body could not be sent to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum UploadFailure {
    /// It is longer than the service allows.
    TooLarge = 1,
    /// The client stopped sending.
    Stalled = 2,
    /// The client left, or broke the rules of HTTP/2.
    Aborted = 3,
    /// Its framing is not what HTTP/1.1 says.
    Malformed = 4,
    /// Its chunk extensions or trailers are longer than anybody needs.
    TrailersTooLong = 5,
    /// The client sends less than it must.
    TooSlow = 6,
    /// It names two models.
    TwoModels = 7,
    /// It is not what tells a model.
    NoModel = 8,
}

impl UploadFailure {
    /// What it is called.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::TooLarge => Reason::BodyTooLarge,
            Self::Stalled => Reason::RequestTimeout,
            Self::Aborted | Self::Malformed | Self::TwoModels | Self::NoModel => Reason::BadRequest,
            Self::TrailersTooLong => Reason::HeaderTooLarge,
            Self::TooSlow => Reason::ClientTooSlow,
        }
    }
}

fn millis(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(1000)
        .saturating_add(u64::from(time.subsec_millis()))
}

impl Upload {
    /// One of which nothing has been sent.
    pub(crate) fn begin(connection: &Arc<Connection>) -> Self {
        Self {
            connection: Arc::clone(connection),
            bytes: AtomicU64::new(0),
            moved_ms: AtomicU64::new(millis(connection.now())),
            ended: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            failure: AtomicU8::new(0),
            place: Mutex::default(),
        }
    }

    /// The account of another body of the same connection, in the memory of one that is over and that
    /// nobody else holds any more.
    pub(crate) fn after(mut last: Arc<Self>) -> Option<Arc<Self>> {
        let upload = Arc::get_mut(&mut last)?;
        *upload.bytes.get_mut() = 0;
        *upload.moved_ms.get_mut() = millis(upload.connection.now());
        *upload.ended.get_mut() = false;
        *upload.answered.get_mut() = false;
        *upload.failure.get_mut() = 0;
        *upload.place.get_mut() = None;
        Some(last)
    }

    /// So many more bytes of it were read at `now`: how many in all.
    pub(crate) fn read(&self, bytes: u64, now: Duration) -> u64 {
        self.moves(now);
        self.comes(bytes)
    }

    /// So many more bytes of it came: how many in all.
    pub(crate) fn comes(&self, bytes: u64) -> u64 {
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// The client's connection.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Bytes read from the client so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the body was read to its end.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// When something last moved: a piece of this body or, since there is an answer, of that.
    pub(crate) fn moved(&self) -> Duration {
        Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))
    }

    /// A piece of either body moves.
    pub(crate) fn moves(&self, now: Duration) {
        self.moved_ms.store(millis(now), Ordering::Relaxed);
    }

    /// The answer has ended before this body: its stream is open, and keeps its place, for as long as
    /// somebody sends the body.
    pub(crate) fn outlives_answer(&self, place: StreamPlace) {
        *self.place.lock() = Some(place);
    }

    /// Why it ended early, if it did.
    pub(crate) fn failure(&self) -> Option<UploadFailure> {
        match self.failure.load(Ordering::Relaxed) {
            1 => Some(UploadFailure::TooLarge),
            2 => Some(UploadFailure::Stalled),
            3 => Some(UploadFailure::Aborted),
            4 => Some(UploadFailure::Malformed),
            5 => Some(UploadFailure::TrailersTooLong),
            6 => Some(UploadFailure::TooSlow),
            7 => Some(UploadFailure::TwoModels),
            8 => Some(UploadFailure::NoModel),
            _ => None,
        }
    }

    /// It will not come to its end.
    pub(crate) fn fails(&self, failure: UploadFailure) {
        self.failure.store(failure as u8, Ordering::Relaxed);
    }

    /// The head of an answer passes on to the client.
    pub(crate) fn is_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub(crate) fn has_answer(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// It was read to its end and passed on.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.came();
    }

    /// It was read to its end.
    pub(crate) fn came(&self) {
        // What the client sends from now on is the next request.
        self.connection.expects_head.store(true, Ordering::Relaxed);
        self.connection.sends_body.store(false, Ordering::Relaxed);
    }
}
