//! What is told of a request when it is over: to the counts, to its copy and to the log.

use std::time::Duration;

use penstock_config::ServiceName;

use super::Exchange;
use crate::{
    base::reason::Reason,
    count::recent::Ended,
    settle::{access_log::AccessRecord, original::Mirrored},
};

impl Exchange {
    /// What it comes to in the counts of the last minute.
    pub(super) fn ended(&self, duration: Duration) -> Ended {
        let was_cut = self.reason.is_some() && self.status < 400;
        Ended {
            first_byte: self.first_byte.map(|at| at.saturating_sub(self.started)),
            // What the gateway refuses at once would make a service seem fast.
            whole: self.reason.is_none().then_some(duration),
            failed: self.complete && (self.status >= 500 || was_cut),
            left: !self.complete,
        }
    }

    /// Tells the copy how its original ended; by not telling it, that the client left.
    pub(super) fn tell(&self, copy: Mirrored) {
        let first_byte = self.first_byte.map(|at| at.saturating_sub(self.leased_at));
        match (self.complete, self.reason) {
            (true, None) => copy.answered(self.status, first_byte, self.bytes_out),
            (true, Some(_)) => copy.refused(),
            (false, _) => {}
        }
    }

    pub(super) fn log(&mut self, duration: Duration, first_byte: Option<Duration>) {
        let Some(head) = self.logged.take() else {
            return;
        };
        let Some(log) = &*self.connection.thread.shared.access_log.load() else {
            return;
        };
        let deployment = self.deployment.as_deref();
        let seldom = self.seldom.as_deref();
        let (method, host, path) = head.parts();
        log.record(&AccessRecord {
            request_id: self.id(),
            client: self.connection.peer,
            method,
            host,
            path,
            protocol: head.protocol,
            service: deployment
                .map(|deployment| &deployment.service)
                .or_else(|| Some(&seldom?.turned_away.as_deref()?.spec.name))
                .map(ServiceName::as_str),
            deployment: deployment.map(|deployment| deployment.name.as_str()),
            api_key: self.api_key.as_deref().map(|key| &*key.name),
            class: self.class().map(|class| &*class.name),
            worker: self.worker_slot,
            status: self.status,
            reason: self.reason.map(Reason::slug),
            detail: seldom.and_then(|seldom| seldom.detail.as_deref()),
            bytes_in: self.upload.as_ref().map_or(0, |upload| upload.bytes()),
            bytes_out: self.bytes_out,
            queue_wait: self.queue_wait(),
            connect: self.connect_time,
            first_byte,
            duration,
            retries: self.retries,
            model: self.model_record(),
        });
    }
}
