//! Why a request gets no worker's answer.

use bytes::Bytes;
use http::Response;

use crate::{
    base::{reason::Reason, refusal::Refusal},
    request::model::Fault,
    settle::upload::UploadFailure,
};

/// Why a request gets no worker's answer.
pub(crate) enum Failure {
    /// The gateway answers itself.
    Refused(Refusal),
    /// So does it, and nothing is wrong.
    Answered(Box<Response<Bytes>>),
    /// Nobody is there to be answered.
    ClientGone,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A body is longer than its service allows.
pub(crate) fn too_large() -> Refusal {
    Refusal::new(
        Reason::BodyTooLarge,
        "the request body is longer than this service allows",
    )
}

/// What is made of a request whose body does not come to its end.
pub(crate) fn by_client(failure: UploadFailure) -> Failure {
    let detail = match failure {
        UploadFailure::TooLarge => return too_large().into(),
        UploadFailure::Aborted => return Failure::ClientGone,
        UploadFailure::Stalled => "the request body stopped coming",
        UploadFailure::TooSlow => "the request body came slower than `timeouts.min_rate` allows",
        UploadFailure::Malformed => "the request body is not framed as HTTP says",
        UploadFailure::TrailersTooLong => {
            "the chunk extensions or trailers of the request body are too long"
        }
        UploadFailure::TwoModels => return not_one_model(Fault::Twice).into(),
        UploadFailure::NoModel => "the request body is not what it must be to tell its model",
    };
    Refusal::new(failure.reason(), detail).into()
}

/// A request does not name one model.
pub(crate) fn not_one_model(fault: Fault) -> Refusal {
    Refusal::new(Reason::BadRequest, fault.detail()).about("model")
}
