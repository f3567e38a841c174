//! Deployments look after their workers at set times, whether there are requests or not: ejected ones are
//! readmitted, and fresh ones take more.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep_until};

use crate::{base::clock::Clock, fleet::deployment::DeploymentState};

/// When which deployment has something to do: one entry for each that has workers ejected or fresh.
#[derive(Default)]
pub(crate) struct Reminders {
    /// By the deployment's address, which a weak reference keeps from being used again.
    due: Mutex<HashMap<usize, (Duration, Weak<DeploymentState>)>>,
    sooner: Notify,
}

impl Reminders {
    /// `deployment` is to look after its workers at this time.
    pub(crate) fn at(&self, time: Duration, deployment: &Arc<DeploymentState>) {
        let mut due = self.due.lock();
        let (known, _) = due
            .entry(Arc::as_ptr(deployment).addr())
            .or_insert_with(|| (time, Arc::downgrade(deployment)));
        *known = time.min(*known);
        drop(due);
        self.sooner.notify_one();
    }

    /// Reminds deployments, for as long as it is polled.
    pub(crate) async fn run(&self, clock: Clock) {
        loop {
            let next = self.due.lock().values().map(|(time, _)| *time).min();
            let reached = async {
                match next {
                    Some(time) => sleep_until(clock.instant(time)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.sooner.notified() => {}
                () = reached => self.remind(clock.now()),
            }
        }
    }

    fn remind(&self, now: Duration) {
        let mut reached = Vec::new();
        self.due.lock().retain(|_, (time, deployment)| {
            let is_due = *time <= now;
            if is_due {
                reached.push(Weak::clone(deployment));
            }
            !is_due
        });
        for deployment in reached.iter().filter_map(Weak::upgrade) {
            if let Some(next) = deployment.look_after(now) {
                self.at(next, &deployment);
            }
        }
    }
}
