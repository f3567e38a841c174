//! A body that is held until its model has come. What is held lies in memory that is lent.

use std::{future::poll_fn, sync::Arc, time::Duration};

use penstock_config::Timeouts;

use crate::{
    base::{
        reason::Reason,
        refusal::Refusal,
        reserve::{Reserve, Reserved},
    },
    request::model::Found,
    serve::failure::{Failure, by_client, not_one_model},
    settle::exchange::Exchange,
    socket::connection::Connection,
    stream::request_body::ClientBody,
};

/// Bytes of a body within which its model must come. A client may well send its files first.
const HELD_MAX: usize = 32 << 20;

/// Bytes behind the model within which it is looked for what else counts.
const LOOKED_AT_MAX: usize = 1 << 20;

/// What a request may hold without asking: less than its head may have.
const HELD_FREE: u64 = 16 << 10;

/// How long nothing may come of a body whose model has not come.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// When a client that found no memory for its body had better come again.
const MEMORY_AGAIN: Duration = Duration::from_secs(1);

/// What is held of a body.
pub(super) struct Held {
    /// What is known of it.
    pub(super) found: Found,
    /// What was lent for it.
    pub(super) memory: Vec<Reserved>,
    reserve: Arc<Reserve>,
    seen: usize,
    room: u64,
}

impl Held {
    /// Nothing of a body of this content type; a form only where there may be one.
    pub(super) fn of(
        content_type: Option<&[u8]>,
        may_be_form: bool,
        connection: &Connection,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            found: Found::of(content_type, may_be_form).map_err(not_one_model)?,
            memory: Vec::new(),
            reserve: Arc::clone(&connection.thread.named),
            seen: 0,
            room: HELD_FREE,
        })
    }

    /// Holds it until its model has come, or all of it.
    pub(super) async fn until_model(
        &mut self,
        exchange: &mut Exchange,
        body: &mut ClientBody,
    ) -> Result<(), Failure> {
        self.until(exchange, body, HELD_MAX, |found| found.model().is_some())
            .await?;
        if self.seen > HELD_MAX && self.found.model().is_none() {
            let mib = HELD_MAX >> 20;
            let detail =
                format!("the model does not come within the first {mib} MiB of the request");
            return Err(Refusal::new(Reason::BodyTooLarge, detail)
                .about("model")
                .into());
        }
        Ok(())
    }

    /// Holds it until all of it has come, unless it is long, or there is no memory for it.
    pub(super) async fn until_done(
        &mut self,
        exchange: &mut Exchange,
        body: &mut ClientBody,
    ) -> Result<(), Failure> {
        let most = (self.seen + LOOKED_AT_MAX).min(HELD_MAX);
        let is_enough = |found: &Found| found.has_options() || found.is_done();
        match self.until(exchange, body, most, is_enough).await {
            Err(Failure::Refused(refusal)) if refusal.reason == Reason::QueueFull => Ok(()),
            other => other,
        }
    }

    /// Holds it until it has told whether it asks for a stream, or all of it has come, unless it is long.
    pub(super) async fn until_whole(
        &mut self,
        exchange: &mut Exchange,
        body: &mut ClientBody,
    ) -> Result<(), Failure> {
        let is_enough = |found: &Found| found.streams() || found.is_done();
        // What comes before the model is held in any case, however long it is.
        let most = (self.seen + LOOKED_AT_MAX).min(HELD_MAX);
        self.until(exchange, body, most, is_enough).await
    }

    async fn until(
        &mut self,
        exchange: &mut Exchange,
        body: &mut ClientBody,
        most: usize,
        is_enough: impl Fn(&Found) -> bool,
    ) -> Result<(), Failure> {
        let timeouts = Timeouts {
            idle: SILENCE_MAX,
            ..Timeouts::default()
        };
        body.limit(None, &timeouts, false);
        loop {
            let piece = body.held().get(self.seen..).unwrap_or_default();
            self.found.feed(piece).map_err(not_one_model)?;
            self.seen += piece.len();
            if is_enough(&self.found) || body.is_whole() || self.seen > most {
                exchange.is_ready(exchange.now());
                return Ok(());
            }
            if self.seen as u64 > self.room / 2 {
                let lent = self.reserve.lend(self.room).ok_or_else(no_memory)?;
                self.memory.push(lent);
                self.room *= 2;
            }
            body.watch();
            let wanted = self.seen as u64 + 1;
            let came = poll_fn(|cx| body.poll_early(cx, wanted)).await;
            came.map_err(by_client)?;
        }
    }
}

fn no_memory() -> Refusal {
    let detail = "the gateway holds as many long requests as it has memory for; naming `model` first avoids that";
    Refusal::new(Reason::QueueFull, detail).retry_after(MEMORY_AGAIN)
}
