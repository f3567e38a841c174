//! What comes after a head, a client's or a worker's, by whichever protocol it comes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::content::Content;

/// The body of a request or an answer.
#[derive(Default)]
pub(crate) enum Incoming {
    /// It has none, or it was taken.
    #[default]
    Empty,
    /// By HTTP/1.1.
    Http1(hyper::body::Incoming),
    /// By HTTP/2.
    Http2(Content),
}

/// Why a worker's answer, or a body, did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// Over HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
    /// Over HTTP/1.1 that is passed on as bytes.
    #[error("{text}")]
    Relayed {
        /// Whether what came is no HTTP.
        is_malformed: bool,
        /// What happened, for people.
        text: String,
    },
    /// The head is too long.
    #[error(
        "the answer's head has {size} bytes, and {limit} are allowed by `limits.max_header_bytes`"
    )]
    LongHead {
        /// How long it is.
        size: usize,
        /// How long it may be.
        limit: usize,
    },
}

impl Broken {
    /// Whether what came is not HTTP as it should be, rather than nothing or not enough.
    pub(crate) fn is_parse(&self) -> bool {
        match self {
            Self::Http1(error) => error.is_parse(),
            // Of one stream: what breaks a connection need not have been this answer.
            Self::Http2(error) => error.is_library() && error.is_reset(),
            Self::Relayed { is_malformed, .. } => *is_malformed,
            Self::LongHead { .. } => true,
        }
    }
}

impl Incoming {
    /// What comes of it may wait for long, and be in the way of others.
    pub(crate) fn watch(&mut self) {
        if let Self::Http2(content) = self {
            content.watch();
        }
    }

    /// Whether its peer may have to wait because of what nobody has taken of others.
    pub(crate) fn is_held_up(&self) -> bool {
        match self {
            Self::Http2(content) => content.is_held_up(),
            Self::Empty | Self::Http1(_) => false,
        }
    }

    /// Looks after what comes while nobody wants it. Ready when the rest will not come, as far as that is
    /// seen.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http2(content) => content.poll_ahead(cx),
            Self::Empty | Self::Http1(_) => Poll::Pending,
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => {
                let frame = Pin::new(body).poll_frame(cx);
                frame.map(|frame| frame.map(|frame| frame.map_err(Broken::Http1)))
            }
            Self::Http2(content) => {
                let frame = content.poll_frame(cx);
                frame.map(|frame| frame.map(|frame| frame.map_err(Broken::Http2)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(content) => content.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(content) => content.size_hint(),
        }
    }
}
