//! Why a request is sent again.

/// Every cause. Closed, so that the slug can be a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No connection could be opened.
    ConnectFailed,
    /// The worker said that it did not process it.
    NotProcessed,
    /// The connection broke before an answer.
    UpstreamReset,
    /// No answer began in time.
    FirstByteTimeout,
    /// The answer had one of the statuses that the operator listed.
    Status,
    /// The worker asked for rest.
    RetryAfter,
    /// A gRPC call was answered by UNAVAILABLE.
    GrpcUnavailable,
}

impl Cause {
    /// Every cause, in the order of [`Cause::index`].
    pub(crate) const ALL: [Self; 7] = [
        Self::ConnectFailed,
        Self::NotProcessed,
        Self::UpstreamReset,
        Self::FirstByteTimeout,
        Self::Status,
        Self::RetryAfter,
        Self::GrpcUnavailable,
    ];

    /// Its place in [`Cause::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The name that metrics show.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connect_failed",
            Self::NotProcessed => "not_processed",
            Self::UpstreamReset => "upstream_reset",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::Status => "status",
            Self::RetryAfter => "retry_after",
            Self::GrpcUnavailable => "grpc_unavailable",
        }
    }

    /// Whether no worker has begun the request.
    pub(crate) fn is_unbegun(self) -> bool {
        matches!(self, Self::ConnectFailed | Self::NotProcessed)
    }

    /// Whether there is an answer, which the client can have when no other worker is there.
    pub(crate) fn has_answer(self) -> bool {
        matches!(
            self,
            Self::Status | Self::RetryAfter | Self::GrpcUnavailable
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_stands_at_its_index_and_has_a_slug_of_its_own() {
        let mut slugs: Vec<_> = Cause::ALL.iter().map(|cause| cause.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Cause::ALL.len());
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(cause.index(), index, "{cause:?}");
        }
    }
}
