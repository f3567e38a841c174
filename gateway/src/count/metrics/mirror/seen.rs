//! What is seen of an answer: the original's and the copy's are compared by it.

use std::time::Duration;

use crate::base::grpc;

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
}
