//! The part of the account that concerns the tokens of a model's answer.

use std::time::Duration;

use bytes::Bytes;

use super::Exchange;
use crate::{
    base::{clock::Moment, headers::Fields, reason::Reason},
    count::tokens::{Ended, Parts, Watch},
    settle::access_log::ModelRecord,
};

impl Exchange {
    /// Its answer is read as it passes.
    pub(crate) fn is_read_by(&mut self, watch: Watch) {
        self.seldom_mut().watch = Some(Box::new(watch));
    }

    /// Who reads its answer, if anybody does.
    #[inline]
    fn watch(&mut self) -> Option<&mut Watch> {
        self.seldom.as_mut()?.watch.as_deref_mut()
    }

    /// Whether anybody does.
    #[inline]
    pub(crate) fn is_read(&self) -> bool {
        self.reads().is_some()
    }

    #[inline]
    fn reads(&self) -> Option<&Watch> {
        self.seldom.as_ref()?.watch.as_deref()
    }

    /// The head of an answer has come.
    pub(super) fn read_head(&mut self, status: u16, fields: &impl Fields) {
        let meters = self
            .deployment
            .as_ref()
            .map(|deployment| &deployment.models);
        let seldom = self.seldom.as_mut();
        if let Some(watch) = seldom.and_then(|seldom| seldom.watch.as_deref_mut()) {
            watch.answered(status, fields, meters);
        }
    }

    /// The worker was asked for the usage although the client did not ask.
    pub(crate) fn asks_for_usage(&mut self) {
        if let Some(watch) = self.watch() {
            watch.asks();
        }
    }

    /// Whether something may be taken out of the answer that passes.
    pub(crate) fn strips(&self) -> bool {
        self.reads().is_some_and(Watch::strips)
    }

    /// Reads a piece of the answer's body that passes on.
    #[inline]
    pub(crate) fn reads_piece(&mut self, bytes: &[u8], now: Duration) {
        if let Some(watch) = self.watch() {
            let pieces = watch.feed(bytes, now);
            self.came(pieces);
        }
    }

    /// The same of one that something may be taken out of: what passes on.
    pub(crate) fn passes(&mut self, piece: Bytes, moment: &Moment) -> Bytes {
        let Some(watch) = self.watch() else {
            return piece;
        };
        let (passes, pieces) = watch.pass(piece, moment.now());
        self.came(pieces);
        passes
    }

    /// What was held back of an answer that is over.
    pub(crate) fn held_back(&mut self) -> Bytes {
        self.watch().map(Watch::rest).unwrap_or_default()
    }

    fn came(&self, pieces: u64) {
        if let Some(deployment) = self.deployment.as_ref().filter(|_| pieces > 0) {
            deployment.models.came(pieces);
        }
    }

    /// The event that tells an open stream's client that it has broken, where there can be one. What fails by the
    /// client's doing is not told.
    pub(crate) fn error_event(&self, reason: Reason) -> Option<Bytes> {
        let is_ours = matches!(
            reason,
            Reason::UpstreamReset | Reason::IdleTimeout | Reason::TotalTimeout
        );
        let (end, dialect) = self.reads().filter(|_| is_ours)?.tells_errors()?;
        let event = dialect.event_of(reason, reason.title(), self.request_id.as_ref());
        if let Some(deployment) = &self.deployment {
            deployment.models.broke(reason);
        }
        Some(match end {
            [] => event,
            end => [end, &event].concat().into(),
        })
    }

    /// What the log tells of the model.
    pub(super) fn model_record(&self) -> Option<ModelRecord<'_>> {
        let watch = self.reads()?;
        Some(ModelRecord {
            model: watch.model().map(|model| &**model),
            told: watch.told(),
            first_token: watch.first().map(|at| at.saturating_sub(self.started)),
        })
    }

    /// Counts what the answer told, at its end.
    pub(super) fn count_tokens(&self, duration: Duration) {
        let (Some(watch), Some(deployment)) = (self.reads(), &self.deployment) else {
            return;
        };
        let told = watch.told();
        let status;
        let error = match (self.reason, self.status) {
            (Some(reason), _) => Some(reason.slug()),
            (None, code @ 400..) => {
                status = code.to_string();
                Some(&*status)
            }
            _ => None,
        };
        let first = watch.first().map(|at| self.parts(at));
        let key = self.api_key.as_ref().map_or("", |key| &*key.name);
        deployment.models.told(&told, watch.pieces());
        let model = watch.model().map_or("", |model| &**model);
        deployment.models.of(model).ended(
            key,
            &Ended {
                operation: watch.operation(),
                told,
                first,
                per_token: watch.per_token(),
                duration,
                error,
            },
        );
    }

    /// Where the time to the first token went, which came then.
    fn parts(&self, first: Duration) -> Parts {
        let wake = self.seldom.as_ref().map(|seldom| seldom.wake);
        let wake = wake.unwrap_or_default();
        let queue = self.queue_wait().unwrap_or_default().saturating_sub(wake);
        let receive = self.ready_at.saturating_sub(self.started);
        let connect = self.connect_time.unwrap_or_default();
        Parts::of(
            first.saturating_sub(self.started),
            [receive, wake, queue, connect],
        )
    }
}
