//! What a client is told about its wait in the queue.
//!
//! HTTP could tell it while it waits, by an interim response (1xx), but hyper cannot send any to a
//! client yet, and most clients would not show it. So it is told with the answer.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

const POSITION: HeaderName = HeaderName::from_static("x-penstock-queue-position");
const ETA: HeaderName = HeaderName::from_static("x-penstock-queue-eta");
const FOR: HeaderName = HeaderName::from_static("x-penstock-queue-for");
const WAIT: HeaderName = HeaderName::from_static("x-penstock-queue-wait");

/// What a request had to expect when it came to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitNotice {
    /// Its position; the next one to be served has 1.
    pub(crate) position: usize,
    /// How long it would most likely wait. `None`: not known.
    pub(crate) eta: Option<Duration>,
    /// What it waited for.
    pub(crate) cause: WaitsFor,
}

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// That one of the workers, which are all busy, takes it.
    Worker,
    /// That a worker has started.
    Start,
    /// That a worker can be started: another deployment has the GPUs.
    Gpu,
}

impl WaitsFor {
    fn label(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Start => "start",
            Self::Gpu => "gpu",
        }
    }
}

impl WaitNotice {
    /// Tells the client, with how long it has `waited` in all.
    pub(crate) fn write(&self, headers: &mut HeaderMap, waited: Option<Duration>) {
        headers.insert(POSITION, self.position.into());
        headers.insert(FOR, HeaderValue::from_static(self.cause.label()));
        if let Some(eta) = self.eta {
            headers.insert(ETA, seconds(eta));
        }
        if let Some(waited) = waited {
            headers.insert(WAIT, seconds(waited));
        }
    }
}

fn seconds(time: Duration) -> HeaderValue {
    let text = format!("{:.3}", time.as_secs_f64());
    HeaderValue::try_from(text).expect("digits and a point")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_told() {
        let told = |eta, waited| {
            let mut headers = HeaderMap::new();
            let wait_notice = WaitNotice {
                position: 7,
                eta,
                cause: WaitsFor::Gpu,
            };
            wait_notice.write(&mut headers, waited);
            let text = |name| {
                headers
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            assert_eq!(text(FOR).unwrap(), "gpu");
            (text(POSITION).unwrap(), text(ETA), text(WAIT))
        };
        assert_eq!(told(None, None), ("7".to_owned(), None, None));
        let (eta, waited) = (Duration::from_secs(90), Duration::from_micros(12_345));
        let (_, eta, waited) = told(Some(eta), Some(waited));
        assert_eq!(
            (eta.unwrap(), waited.unwrap()),
            ("90.000".to_owned(), "0.012".to_owned())
        );
    }
}
