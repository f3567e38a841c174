//! How an original ended, as its copy is told.

use std::time::Duration;

use http::HeaderMap;
use tokio::sync::oneshot;

use crate::{base::grpc, count::metrics::Seen};

/// How an original ended, as its copy is told. It is told nothing when the client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Original {
    /// A worker answered it.
    Answered(Seen),
    /// The gateway answered it, or cut the worker's answer off.
    Refused,
}

/// An original's link to its copy. Dropped without a word it gives the copy up.
pub(crate) struct Mirrored {
    copy: oneshot::Sender<Original>,
    grpc_status: Option<u32>,
}

impl Mirrored {
    /// The original's and the copy's end of a link.
    pub(crate) fn link() -> (Self, oneshot::Receiver<Original>) {
        let (copy, original) = oneshot::channel();
        let mirrored = Self {
            copy,
            grpc_status: None,
        };
        (mirrored, original)
    }

    /// The headers or trailers of the original's answer came in.
    pub(crate) fn saw(&mut self, headers: &HeaderMap) {
        self.grpc_status = grpc::status(headers).or(self.grpc_status);
    }

    /// A worker answered the original to its end: with this status, this first byte, so many bytes.
    pub(crate) fn answered(self, status: u16, first_byte: Option<Duration>, bytes: u64) {
        let seen = Seen {
            status,
            grpc_status: self.grpc_status,
            first_byte,
            bytes,
        };
        // A copy that is over does not want to know.
        let _ = self.copy.send(Original::Answered(seen));
    }

    /// The gateway answered the original, or cut its answer off.
    pub(crate) fn refused(self) {
        let _ = self.copy.send(Original::Refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_that_is_dropped_says_nothing() {
        let (mirrored, original) = Mirrored::link();
        drop(mirrored);
        assert!(original.await.is_err());
        let (mut mirrored, original) = Mirrored::link();
        mirrored.saw(&HeaderMap::from_iter([(
            grpc::GRPC_STATUS,
            "7".parse().unwrap(),
        )]));
        mirrored.saw(&HeaderMap::new());
        mirrored.answered(200, None, 3);
        let Ok(Original::Answered(seen)) = original.await else {
            panic!("nothing was said");
        };
        assert_eq!((seen.grpc_status, seen.bytes), (Some(7), 3));
    }
}
