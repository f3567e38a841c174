//! What an answer says of the worker that gave it.
//!
//! A status of 500 and above is the worker's failure, whatever the request was: a worker whose GPU has
//! failed often answers every request so while its probes pass. But for 501 and 505: they say that the
//! client used a method or a version of HTTP that the worker does not have. Requests that are at fault themselves
//! hit all workers alike, and one good answer in between is enough to clear a worker; so it is not
//! ejected for a few of them. Envoy (`consecutive_5xx`) and HAProxy (`observe layer7`) see it the same way.

use std::time::{Duration, SystemTime};

use crate::base::{grpc, headers::Fields};

const RETRY_AFTER: &str = "retry-after";

/// What an answer says of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerHealth {
    /// It works.
    Well,
    /// It failed the request.
    Failed,
    /// It has too much to do, or wants to be left alone for so long: neither well nor failed.
    Busy(Option<Duration>),
    /// The trailers will tell.
    Later,
}

impl AnswerHealth {
    /// What the head of an answer says.
    pub(crate) fn of_head(is_grpc: bool, status: u16, fields: &impl Fields) -> Self {
        match status {
            429 => Self::Busy(retry_after(fields)),
            503 if fields.has(RETRY_AFTER) => Self::Busy(retry_after(fields)),
            status if is_failure(status) => Self::Failed,
            200 if is_grpc => match grpc::status(fields) {
                Some(status) => Self::of_grpc(status),
                None => Self::Later,
            },
            _ => Self::Well,
        }
    }

    /// What the trailers of a gRPC answer say.
    pub(crate) fn of_trailers(trailers: &impl Fields) -> Self {
        grpc::status(trailers).map_or(Self::Failed, Self::of_grpc)
    }

    fn of_grpc(status: u32) -> Self {
        if grpc::is_server_error(status) {
            Self::Failed
        } else {
            Self::Well
        }
    }
}

/// Whether a status says that the worker failed.
fn is_failure(status: u16) -> bool {
    matches!(status, 500..=599) && !matches!(status, 501 | 505)
}

/// How long a worker wants to be left alone: whole seconds, or until a date (RFC 9110 §10.2.3).
/// `None` when it says neither.
#[allow(clippy::disallowed_methods, reason = "the worker names a time of day")]
fn retry_after(fields: &impl Fields) -> Option<Duration> {
    let value = str::from_utf8(fields.first(RETRY_AFTER)?).ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::*;

    fn of(is_grpc: bool, status: u16, headers: &[(&'static str, &str)]) -> AnswerHealth {
        let fields = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        AnswerHealth::of_head(is_grpc, status, &fields.collect::<HeaderMap>())
    }

    #[test]
    fn a_status_from_500_is_a_failure_unless_it_is_about_the_request_and_any_below_is_none() {
        for failed in [500, 502, 503, 504, 506, 507, 599] {
            assert_eq!(of(false, failed, &[]), AnswerHealth::Failed, "{failed}");
        }
        for well in [101, 200, 302, 400, 404, 422, 499, 501, 505] {
            assert_eq!(of(false, well, &[]), AnswerHealth::Well, "{well}");
        }
    }

    #[test]
    fn a_worker_may_ask_for_rest_in_seconds_or_until_a_date() {
        let seconds = |value| of(false, 503, &[("retry-after", value)]);
        assert_eq!(
            seconds("7"),
            AnswerHealth::Busy(Some(Duration::from_secs(7)))
        );
        assert_eq!(seconds("soon"), AnswerHealth::Busy(None));
        assert_eq!(seconds("-1"), AnswerHealth::Busy(None));
        let past = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(seconds(past), AnswerHealth::Busy(Some(Duration::ZERO)));
        let AnswerHealth::Busy(Some(rest)) = seconds("Fri, 31 Dec 9999 23:59:59 GMT") else {
            panic!("a date was not understood");
        };
        assert!(rest > Duration::from_secs(1_000_000));
        assert_eq!(of(false, 429, &[]), AnswerHealth::Busy(None));
        assert_eq!(
            of(false, 500, &[("retry-after", "7")]),
            AnswerHealth::Failed,
            "only 429 and 503 ask for rest"
        );
    }

    #[test]
    fn a_grpc_call_is_judged_by_its_status_wherever_it_stands() {
        assert_eq!(of(true, 200, &[]), AnswerHealth::Later);
        for failed in ["2", "4", "13", "14", "15"] {
            let status = [("grpc-status", failed)];
            assert_eq!(of(true, 200, &status), AnswerHealth::Failed, "{failed}");
            let trailers = HeaderMap::from_iter([(grpc::GRPC_STATUS, failed.parse().unwrap())]);
            assert_eq!(
                AnswerHealth::of_trailers(&trailers),
                AnswerHealth::Failed,
                "{failed}"
            );
        }
        for well in ["0", "1", "3", "5", "8", "12", "16"] {
            assert_eq!(
                of(true, 200, &[("grpc-status", well)]),
                AnswerHealth::Well,
                "{well}"
            );
        }
        assert_eq!(
            AnswerHealth::of_trailers(&HeaderMap::new()),
            AnswerHealth::Failed
        );
        assert_eq!(of(false, 200, &[("grpc-status", "14")]), AnswerHealth::Well);
        assert_eq!(of(true, 404, &[]), AnswerHealth::Well);
    }
}
