//! Why the gateway answered a request itself.

use http::StatusCode;

/// Every reason for which the gateway answers instead of a worker. Closed, so that the slug can
/// be a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// No service answers to this host and path.
    NoRoute,
    /// No service has the model that was asked for, or not for this client.
    ModelNotFound,
    /// The listener sends everybody to HTTPS.
    HttpsRequired,
    /// The client's network may not use the service.
    Forbidden,
    /// No valid API key, and the service needs one.
    Unauthenticated,
    /// A limit on requests in time, or at once, is used up.
    RateLimited,
    /// As many requests wait as the service's queue may hold.
    QueueFull,
    /// Waited for a worker as long as the service allows.
    QueueTimeout,
    /// Could not have got a worker in time.
    TooLate,
    /// Stopped by the operator.
    Paused,
    /// Starting a worker failed for good.
    StartFailed,
    /// No worker, and none can be started.
    NoWorkers,
    /// No connection to any worker that was tried.
    ConnectFailed,
    /// The worker's connection broke before the answer was complete.
    UpstreamReset,
    /// What the worker sent is not HTTP.
    BadUpstreamResponse,
    /// The worker did not begin its answer in time.
    FirstByteTimeout,
    /// Nothing moved for too long in the middle of a body.
    IdleTimeout,
    /// The request took longer in all than the service allows.
    TotalTimeout,
    /// The deadline that the client set (`grpc-timeout`) passed.
    Deadline,
    /// The request body is longer than the service allows.
    BodyTooLarge,
    /// The request head is longer than allowed, or has too many fields.
    HeaderTooLarge,
    /// The request target is longer than allowed.
    UriTooLong,
    /// Not a request that may be passed on.
    BadRequest,
    /// A method that is never passed on.
    MethodNotAllowed,
    /// A version of HTTP that the gateway does not speak.
    VersionNotSupported,
    /// The client began a request and did not finish sending it in time.
    RequestTimeout,
    /// The client sent its request, or took its answer, slower than the service allows.
    ClientTooSlow,
    /// The gateway is going away and takes nothing new.
    ShuttingDown,
    /// A fault of the gateway itself.
    Internal,
}

/// The gRPC status codes the gateway answers with, by their numbers in the gRPC specification.
mod grpc {
    pub(super) const DEADLINE_EXCEEDED: u8 = 4;
    pub(super) const PERMISSION_DENIED: u8 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(super) const UNIMPLEMENTED: u8 = 12;
    pub(super) const INTERNAL: u8 = 13;
    pub(super) const UNAVAILABLE: u8 = 14;
    pub(super) const UNAUTHENTICATED: u8 = 16;
}

impl Reason {
    /// Every reason, in the order of [`Reason::index`].
    pub(crate) const ALL: [Self; 29] = [
        Self::NoRoute,
        Self::ModelNotFound,
        Self::HttpsRequired,
        Self::Forbidden,
        Self::Unauthenticated,
        Self::RateLimited,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::TooLate,
        Self::Paused,
        Self::StartFailed,
        Self::NoWorkers,
        Self::ConnectFailed,
        Self::UpstreamReset,
        Self::BadUpstreamResponse,
        Self::FirstByteTimeout,
        Self::IdleTimeout,
        Self::TotalTimeout,
        Self::Deadline,
        Self::BodyTooLarge,
        Self::HeaderTooLarge,
        Self::UriTooLong,
        Self::BadRequest,
        Self::MethodNotAllowed,
        Self::VersionNotSupported,
        Self::RequestTimeout,
        Self::ClientTooSlow,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// Its place in [`Reason::ALL`], for tables of counters.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The name that clients, metrics and logs see.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::ModelNotFound => "model_not_found",
            Self::HttpsRequired => "https_required",
            Self::Forbidden => "forbidden",
            Self::Unauthenticated => "unauthenticated",
            Self::RateLimited => "rate_limited",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::TooLate => "too_late",
            Self::Paused => "paused",
            Self::StartFailed => "start_failed",
            Self::NoWorkers => "no_workers",
            Self::ConnectFailed => "connect_failed",
            Self::UpstreamReset => "upstream_reset",
            Self::BadUpstreamResponse => "bad_upstream_response",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::Deadline => "deadline",
            Self::BodyTooLarge => "body_too_large",
            Self::HeaderTooLarge => "header_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::BadRequest => "bad_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::VersionNotSupported => "version_not_supported",
            Self::RequestTimeout => "request_timeout",
            Self::ClientTooSlow => "client_too_slow",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }

    /// The status of the answer.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoRoute | Self::ModelNotFound => StatusCode::NOT_FOUND,
            Self::HttpsRequired => StatusCode::PERMANENT_REDIRECT,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::RateLimited | Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::QueueTimeout
            | Self::FirstByteTimeout
            | Self::IdleTimeout
            | Self::TotalTimeout
            | Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::TooLate
            | Self::Paused
            | Self::StartFailed
            | Self::NoWorkers
            | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectFailed | Self::UpstreamReset | Self::BadUpstreamResponse => {
                StatusCode::BAD_GATEWAY
            }
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::VersionNotSupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::RequestTimeout | Self::ClientTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `grpc-status` of the answer to a gRPC call. Where a reason has no natural code, it is
    /// the one that gRPC's "HTTP to gRPC Status Code Mapping" gives for [`Reason::status`].
    pub(crate) fn grpc_code(self) -> u8 {
        match self {
            Self::NoRoute
            | Self::ModelNotFound
            | Self::HttpsRequired
            | Self::MethodNotAllowed
            | Self::VersionNotSupported => grpc::UNIMPLEMENTED,
            Self::Forbidden => grpc::PERMISSION_DENIED,
            Self::Unauthenticated => grpc::UNAUTHENTICATED,
            Self::RateLimited | Self::QueueFull | Self::BodyTooLarge | Self::HeaderTooLarge => {
                grpc::RESOURCE_EXHAUSTED
            }
            Self::QueueTimeout
            | Self::FirstByteTimeout
            | Self::IdleTimeout
            | Self::TotalTimeout
            | Self::Deadline
            | Self::RequestTimeout
            | Self::ClientTooSlow => grpc::DEADLINE_EXCEEDED,
            Self::TooLate
            | Self::Paused
            | Self::StartFailed
            | Self::NoWorkers
            | Self::ShuttingDown
            | Self::ConnectFailed
            | Self::UpstreamReset
            | Self::BadUpstreamResponse => grpc::UNAVAILABLE,
            Self::UriTooLong | Self::BadRequest | Self::Internal => grpc::INTERNAL,
        }
    }

    /// Whether it may be better when the client tries again, and costs nobody much. A request that took too
    /// long at a worker would take as long again.
    pub(crate) fn may_be_tried_again(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::QueueFull
                | Self::QueueTimeout
                | Self::TooLate
                | Self::NoWorkers
                | Self::ConnectFailed
                | Self::UpstreamReset
                | Self::BadUpstreamResponse
                | Self::ShuttingDown
                | Self::Internal
                | Self::RequestTimeout
        )
    }

    /// The kind of error that clients of the OpenAI API know it by.
    pub(crate) fn openai_type(self) -> &'static str {
        openai_type_of(self.status())
    }

    /// A short sentence for people, the same for every occurrence (RFC 9457 `title`).
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::NoRoute => "No service at this address",
            Self::ModelNotFound => "There is no such model",
            Self::HttpsRequired => "HTTPS is needed",
            Self::Forbidden => "This client may not use the service",
            Self::Unauthenticated => "A valid API key is needed",
            Self::RateLimited => "A limit is used up",
            Self::QueueFull => "Too many requests are waiting",
            Self::QueueTimeout => "No worker became free in time",
            Self::TooLate => "No worker can be free in time",
            Self::Paused => "The service is paused",
            Self::StartFailed => "No worker could be started",
            Self::NoWorkers => "The service has no worker",
            Self::ConnectFailed => "The worker could not be reached",
            Self::UpstreamReset => "The worker broke off",
            Self::BadUpstreamResponse => "The worker's answer is not valid HTTP",
            Self::FirstByteTimeout => "The worker did not answer in time",
            Self::IdleTimeout => "The transfer stood still for too long",
            Self::TotalTimeout => "The request took too long",
            Self::Deadline => "The deadline of the call has passed",
            Self::BodyTooLarge => "The request body is too long",
            Self::HeaderTooLarge => "The request head is too long",
            Self::UriTooLong => "The request target is too long",
            Self::BadRequest => "Not a valid request",
            Self::MethodNotAllowed => "This method is not passed on",
            Self::VersionNotSupported => "Not a version of HTTP that is spoken here",
            Self::RequestTimeout => "The request did not arrive in time",
            Self::ClientTooSlow => "The client is too slow",
            Self::ShuttingDown => "The gateway is shutting down",
            Self::Internal => "The gateway failed",
        }
    }
}

/// What the OpenAI API calls an error of this status.
pub(crate) fn openai_type_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_index_and_has_a_slug_of_its_own() {
        let mut slugs: Vec<_> = Reason::ALL.iter().map(|reason| reason.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Reason::ALL.len());
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason:?}");
        }
    }

    #[test]
    fn a_reason_for_which_the_client_may_try_again_says_so_in_both_protocols() {
        for reason in Reason::ALL {
            if reason.grpc_code() == grpc::UNAVAILABLE {
                assert!(matches!(reason.status().as_u16(), 502 | 503), "{reason:?}");
            }
            if reason.status() == StatusCode::GATEWAY_TIMEOUT {
                assert_eq!(reason.grpc_code(), grpc::DEADLINE_EXCEEDED, "{reason:?}");
            }
        }
    }
}
