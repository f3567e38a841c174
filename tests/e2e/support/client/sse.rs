//! Server-sent events.

use http_body_util::BodyExt;

use super::Exchange;
use crate::support::soon;

/// Reads the `data` of one event after the other.
pub(crate) struct Events {
    exchange: Exchange,
    buffer: String,
}

impl Events {
    pub(crate) fn new(exchange: Exchange) -> Self {
        assert_eq!(exchange.status(), 200);
        assert_eq!(
            exchange.response.headers()["content-type"],
            "text/event-stream"
        );
        Self {
            exchange,
            buffer: String::new(),
        }
    }

    /// The next event; `None` at the end of the answer.
    pub(crate) async fn next(&mut self) -> Option<String> {
        soon("the next event", self.try_next())
            .await
            .expect("an event or the end")
    }

    /// The same; the error is what the client saw.
    pub(crate) async fn try_next(&mut self) -> hyper::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let event: String = self.buffer.drain(..end + 2).collect();
                let data: Vec<&str> = event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data: "))
                    .collect();
                return Ok(Some(data.join("\n")));
            }
            let Some(frame) = self.exchange.response.frame().await.transpose()? else {
                return Ok(None);
            };
            if let Ok(data) = frame.into_data() {
                self.buffer
                    .push_str(std::str::from_utf8(&data).expect("events of UTF-8"));
            }
        }
    }

    /// All events until the end.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}
