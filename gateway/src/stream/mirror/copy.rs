//! One copy: sent to a worker, its answer read and thrown away, and compared with the original's.

use std::{sync::Arc, time::Duration};

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use penstock_config::Service;
use tokio::{sync::oneshot, time::sleep_until};

use crate::{
    base::grpc,
    count::{
        clients::ClientId,
        metrics::{Dropped, Seen},
        open::Entry,
    },
    fleet::{
        deployment::{CopyLease, DeploymentState, Load, Waking},
        pick_by::PickBy,
        queue::Place,
    },
    settle::{original::Original, thread::Thread},
    stream::{copied_body::Watch, request_body::UpstreamBody},
    upstream::{Answer, Fault, SendError, Wire, answer_health::AnswerHealth},
};

/// A copy that is about to be sent.
pub(super) struct Copy {
    pub(super) request: Request<UpstreamBody>,
    /// Its body, if it has one.
    pub(super) body: Option<Watch>,
    pub(super) is_grpc: bool,
    pub(super) pick_by: PickBy,
    /// Its worker; `None` when it has to wait for one.
    pub(super) lease: Option<CopyLease>,
    pub(super) guards: Guards,
    /// Longest time to the end of its answer.
    pub(super) timeout: Duration,
    /// What the user set for the service.
    pub(super) service: Arc<Service>,
    pub(super) target: Arc<DeploymentState>,
    pub(super) thread: Arc<Thread>,
}

/// What a copy holds from its beginning to its end; given back on drop.
pub(super) struct Guards {
    /// Its place among the copies of the target.
    pub(super) _place: Place,
    /// Keeps the target awake.
    pub(super) _waking: Option<Waking>,
    /// Counts as load of the target.
    pub(super) load: Option<Load>,
}

/// Runs a copy in a task of its own, on this thread. It is given up when `original` ends without a
/// word, which means that the client left.
pub(super) fn spawn(copy: Copy, original: oneshot::Receiver<Original>) {
    tokio::spawn(run(copy, original));
}

async fn run(copy: Copy, mut original: oneshot::Receiver<Original>) {
    let target = Arc::clone(&copy.target);
    // Boxed, so that what waits for the original below is small.
    let (outcome, known) = Box::pin(finish(copy, &mut original)).await;
    let metrics = &target.copies.metrics;
    metrics.ended(outcome.as_ref().map(Seen::is_good).map_err(|why| *why));
    let Ok(seen) = outcome else { return };
    let original = match known {
        Some(known) => Ok(known),
        None => original.await,
    };
    if let Ok(Original::Answered(of_original)) = original {
        metrics.compared(&of_original, &seen);
    }
}

/// Waits for the copy's answer, or for a reason to give it up. Also how the original ended, if it has.
async fn finish(
    mut copy: Copy,
    original: &mut oneshot::Receiver<Original>,
) -> (Result<Seen, Dropped>, Option<Original>) {
    let clock = copy.thread.clock();
    let timeout = sleep_until(clock.instant(clock.now() + copy.timeout));
    let mut timeout = std::pin::pin!(timeout);
    let body = copy.body.take();
    let body_failed = async {
        match &body {
            Some(body) => body.failed().await,
            None => std::future::pending().await,
        }
    };
    let mut body_failed = std::pin::pin!(body_failed);
    let mut answered = std::pin::pin!(answer(copy, body.as_ref()));
    let mut known = None;
    loop {
        let outcome = tokio::select! {
            biased;
            outcome = answered.as_mut() => outcome,
            why = body_failed.as_mut() => Err(why),
            ended = &mut *original, if known.is_none() => match ended {
                Ok(ended) => {
                    known = Some(ended);
                    continue;
                }
                Err(_) => Err(Dropped::ClientGone),
            },
            () = timeout.as_mut() => Err(Dropped::Timeout),
        };
        return (outcome, known);
    }
}

/// Sends the copy and reads its answer to the end.
async fn answer(copy: Copy, body: Option<&Watch>) -> Result<Seen, Dropped> {
    let Copy {
        mut request,
        is_grpc,
        pick_by,
        lease,
        guards,
        service,
        target,
        thread,
        ..
    } = copy;
    let counts = guards.load.is_some();
    let lease = match lease {
        Some(lease) => lease,
        None => wait(&target, &pick_by, counts).await?,
    };
    let begun = thread.now();
    target.copies.metrics.sent();
    let worker = lease.lease().worker();
    let wire = Wire::of(&target.view().spec);
    let sent = thread
        .upstreams
        .send(
            worker,
            &wire,
            &mut request,
            &service.timeouts,
            begun,
            Entry::default(),
        )
        .await;
    let answer = match sent {
        Ok(answer) => answer,
        Err(SendError::Connect(error)) => {
            match error.fault {
                Fault::Worker => lease.lease().failed(None, thread.now()),
                Fault::Busy => lease.lease().is_busy(None, thread.now()),
                Fault::Here => {}
            }
            return Err(Dropped::ConnectFailed);
        }
        Err(SendError::NotProcessed { .. }) => return Err(Dropped::UpstreamReset),
        Err(SendError::Broken(_) | SendError::ClientGone) => {
            return Err(broken(&thread, &lease, body));
        }
    };
    let reading = Reading {
        thread: &thread,
        lease: &lease,
        body,
        is_grpc,
        begun,
    };
    let seen = reading.to_end(answer).await?;
    if counts {
        target
            .service_time
            .record(thread.now().saturating_sub(begun));
    }
    Ok(seen)
}

async fn wait(
    target: &Arc<DeploymentState>,
    pick_by: &PickBy,
    counts: bool,
) -> Result<CopyLease, Dropped> {
    let begun = target.now();
    let lease = target.wait_for_copy(pick_by, counts).await?;
    if counts {
        target.wait.record(target.now().saturating_sub(begun));
    }
    Ok(lease)
}

/// The connection broke: because the body did, or by the worker's doing.
fn broken(thread: &Thread, lease: &CopyLease, body: Option<&Watch>) -> Dropped {
    body.and_then(Watch::failure).unwrap_or_else(|| {
        // What is being sent may have been refused early: see `Exchange::broke_off`.
        if body.is_none_or(Watch::is_read) {
            lease.lease().failed(Some(ClientId::COPIES), thread.now());
        }
        Dropped::UpstreamReset
    })
}

/// A copy whose answer is being read.
struct Reading<'c> {
    thread: &'c Thread,
    lease: &'c CopyLease,
    body: Option<&'c Watch>,
    is_grpc: bool,
    /// When the worker got it.
    begun: Duration,
}

impl Reading<'_> {
    /// Reads the answer and throws it away.
    async fn to_end(&self, answer: Answer) -> Result<Seen, Dropped> {
        let head = &answer.response;
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            // Nobody asked for it.
            return Err(self.broken());
        }
        let answer_health =
            AnswerHealth::of_head(self.is_grpc, head.status().as_u16(), head.headers());
        self.judge(answer_health);
        let mut seen = Seen {
            status: head.status().as_u16(),
            grpc_status: grpc::status(head.headers()),
            first_byte: None,
            bytes: 0,
        };
        let mut incoming = answer.response.into_body();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|_| self.broken())?;
            seen.first_byte.get_or_insert_with(|| self.took());
            seen.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if let Some(trailers) = frame.trailers_ref() {
                seen.grpc_status = grpc::status(trailers).or(seen.grpc_status);
            }
        }
        let now = self.thread.now();
        match (answer_health, seen.is_good()) {
            (AnswerHealth::Later, true) => self.lease.lease().recovered(now),
            (AnswerHealth::Later, false) => self.lease.lease().failed(Some(ClientId::COPIES), now),
            _ => {}
        }
        // A connection on which the request is still being sent cannot take another one.
        if self.body.is_none_or(Watch::is_read) {
            self.thread.upstreams.give_back(answer.handback, now);
        }
        Ok(seen)
    }

    /// Books for the worker what the head says. For it a copy is a request like any other.
    fn judge(&self, answer_health: AnswerHealth) {
        let (lease, now) = (self.lease.lease(), self.thread.now());
        match answer_health {
            AnswerHealth::Well => lease.answered(self.took(), now),
            AnswerHealth::Later => lease.began(self.took(), now),
            AnswerHealth::Busy(rest) => lease.is_busy(rest, now),
            AnswerHealth::Failed => lease.failed(Some(ClientId::COPIES), now),
        }
    }

    fn took(&self) -> Duration {
        self.thread.now().saturating_sub(self.begun)
    }

    fn broken(&self) -> Dropped {
        broken(self.thread, self.lease, self.body)
    }
}
