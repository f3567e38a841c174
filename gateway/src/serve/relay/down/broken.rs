//! Answers that break: they are cut off, but for streams of models, whose clients are told.

use super::{Down, Ended};
use crate::{
    base::reason::Reason,
    http1::{
        body::{Body, Framing},
        buffer::Buffer,
        chunked::OpenChunk,
        write::{self, Onto},
    },
    serve::relay::client::Client,
    settle::exchange::Exchange,
};

/// What is said of an answer whose framing is wrong.
pub(super) const BAD_CHUNKS: &str = "the body of the answer is not framed as HTTP says";

/// Longest rest of a chunk that is filled up: its size was promised before the worker broke off.
const FILLED_MAX: u64 = 64 * 1024;

impl Down {
    /// It is cut off for this reason, unless it can be told.
    pub(super) fn cut(&mut self, exchange: &mut Exchange, reason: Reason) -> Ended {
        self.worker = None;
        if !self.is_over {
            self.broken = Some(reason);
            exchange.broke_off(reason);
        }
        Ended::CutOff
    }

    /// The same by what the worker has done, in words.
    pub(super) fn cut_by(&mut self, exchange: &mut Exchange, reason: Reason, why: &str) -> Ended {
        let reason = exchange.upload_failure().unwrap_or_else(|| {
            exchange.broken_by(reason, &why);
            reason
        });
        self.cut(exchange, reason)
    }

    /// Ends an answer that has broken by an event which says so, as if it had come to its end; `false` where that
    /// is not possible.
    pub(super) fn tells(&mut self, client: &mut Client, exchange: &mut Exchange) -> bool {
        let Some(reason) = self.broken.take() else {
            return false;
        };
        let open = match self.onto {
            Onto::AsItIs if self.body.is_until_close() => None,
            Onto::AsItIs => match self.body.open_chunk() {
                Some(open) if open.data <= FILLED_MAX => Some(open),
                _ => return false,
            },
            Onto::Plain | Onto::Chunks => None,
        };
        let Some(event) = exchange.error_event(reason) else {
            return false;
        };
        match (self.onto, open) {
            (_, Some(open)) => fill(&mut client.out, open, &event),
            (Onto::Chunks, None) => chunk(&mut client.out, &event),
            (_, None) => client.out.push(&event),
        }
        if open.is_some() || self.onto == Onto::Chunks {
            client.out.push(b"0\r\n\r\n");
        }
        exchange.sent(event.len(), &exchange.clock().moment_at(exchange.now()));
        self.rest = Buffer::default();
        self.body = Body::new(Framing::Length(0));
        (self.is_over, self.waiting_since) = (true, None);
        true
    }
}

/// Writes text into what is open of a chunk, and the rest of it into another one. Empty lines between events mean
/// nothing.
fn fill(out: &mut Buffer, open: OpenChunk, text: &[u8]) {
    let room = usize::try_from(open.data).unwrap_or(usize::MAX);
    let (first, rest) = text.split_at_checked(room).unwrap_or((text, b""));
    out.push(first);
    for _ in first.len()..room {
        out.push(b"\n");
    }
    out.push(open.end);
    if !rest.is_empty() {
        chunk(out, rest);
    }
}

fn chunk(out: &mut Buffer, text: &[u8]) {
    write::chunk_size(out.end(), text.len());
    out.push(text);
    out.push(b"\r\n");
}
