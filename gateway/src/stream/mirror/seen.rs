//! What is seen of an answer: the original's and the copy's are compared by it.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::{grpc, headers::Fields};

/// An answer that a worker gave to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its status.
    pub(crate) status: u16,
    /// Its `grpc-status`, which for gRPC says more.
    pub(crate) grpc_status: Option<u32>,
    /// From getting the worker to the first byte of its body; `None` without a body.
    pub(crate) first_byte: Option<Duration>,
    /// Length of its body.
    pub(crate) bytes: u64,
}

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
    pub(super) fn link() -> (Self, oneshot::Receiver<Original>) {
        let (copy, original) = oneshot::channel();
        let mirrored = Self {
            copy,
            grpc_status: None,
        };
        (mirrored, original)
    }

    /// The headers or trailers of the original's answer came in.
    pub(crate) fn saw(&mut self, fields: &impl Fields) {
        self.grpc_status = grpc::status(fields).or(self.grpc_status);
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

impl Seen {
    /// Whether the worker did what it was asked, or refused for a reason that is the client's.
    pub(crate) fn is_good(&self) -> bool {
        self.status < 500 && !self.grpc_status.is_some_and(grpc::is_server_error)
    }

    /// Whether two answers are of the same kind: both good, both redirects, …; for gRPC, of the same
    /// status.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.status / 100 == other.status / 100 && self.grpc_status == other.grpc_status
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn seen(status: u16, grpc_status: Option<u32>) -> Seen {
        Seen {
            status,
            grpc_status,
            first_byte: None,
            bytes: 0,
        }
    }

    #[test]
    fn answers_agree_by_the_class_of_their_status_or_their_grpc_status() {
        assert!(seen(200, None).agrees(&seen(204, None)));
        assert!(!seen(200, None).agrees(&seen(302, None)));
        assert!(seen(200, Some(5)).agrees(&seen(200, Some(5))));
        assert!(!seen(200, Some(0)).agrees(&seen(200, Some(13))));
        assert!(!seen(200, Some(0)).agrees(&seen(200, None)));
    }

    #[test]
    fn only_the_servers_own_failures_are_no_good() {
        for good in [seen(200, None), seen(404, None), seen(200, Some(5))] {
            assert!(good.is_good(), "{good:?}");
        }
        for bad in [seen(500, None), seen(503, None), seen(200, Some(13))] {
            assert!(!bad.is_good(), "{bad:?}");
        }
    }

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
