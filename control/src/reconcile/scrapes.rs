//! What workers tell of themselves: who is asked, and what is made of the answers.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{Reconciler, deployment::DeploymentState, worker::Worker};
use crate::{
    scale::Told,
    scrape::{Known, News, ScrapeEvent, ScrapeGuard, ScrapeSpec, watch},
};

/// A worker that is asked for its metrics.
pub(super) struct Scraping {
    known: Known,
    /// Asks until dropped.
    _guard: ScrapeGuard,
}

impl Worker {
    /// Why its metrics could not be read the last time.
    pub(super) fn metrics_failure(&self) -> Option<&str> {
        self.scraping.as_ref()?.known.failure()
    }
}

impl DeploymentState {
    /// Takes over what new settings ask for. Unless it changed, workers are asked on as they are.
    pub(super) fn follow_scrape_spec(&mut self) {
        let wanted = ScrapeSpec::of(&self.spec);
        if wanted.as_deref() != self.scrape.as_deref() {
            self.scrape = wanted;
        }
    }

    /// Asks all workers that are ready, if rules want to know, and no others.
    pub(super) fn follow_scrapes(&mut self, events: &mpsc::UnboundedSender<ScrapeEvent>) {
        for worker in &mut self.workers {
            let wanted = self.scrape.as_ref().filter(|_| worker.is_ready());
            let known = worker
                .scraping
                .as_ref()
                .map(|scraping| scraping.known.spec());
            let same = match (wanted, known) {
                (None, None) => true,
                (Some(wanted), Some(known)) => Arc::ptr_eq(wanted, known),
                _ => false,
            };
            if same {
                continue;
            }
            worker.scraping = wanted.zip(worker.address).map(|(spec, address)| Scraping {
                known: Known::new(Arc::clone(spec)),
                _guard: watch(
                    worker.new.id.clone(),
                    address,
                    Arc::clone(spec),
                    events.clone(),
                ),
            });
        }
    }

    /// What ready workers tell now.
    pub(super) fn told(&self, now: Duration) -> Vec<Told> {
        let Some(spec) = &self.scrape else {
            return Vec::new();
        };
        let ready = self.workers.iter().filter(|worker| worker.is_ready());
        let known: Vec<&Known> = ready
            .filter_map(|worker| Some(&worker.scraping.as_ref()?.known))
            .filter(|known| Arc::ptr_eq(known.spec(), spec))
            .collect();
        let metrics = spec.metrics.iter().enumerate();
        metrics
            .map(|(place, metric)| {
                let mut told = Told {
                    metric: Arc::clone(metric),
                    sum: 0.0,
                    fresh: 0,
                    oldest: Duration::ZERO,
                };
                for (value, age) in known.iter().filter_map(|known| known.fresh(place, now)) {
                    told.sum += value;
                    told.fresh += 1;
                    told.oldest = told.oldest.max(age);
                }
                told
            })
            .collect()
    }
}

impl Reconciler {
    pub(super) fn on_scrape(&mut self, event: ScrapeEvent) {
        let now = self.clock.now();
        let Some((key, deployment, place)) = self.worker_mut(&event.worker) else {
            return;
        };
        let worker = &mut deployment.workers[place];
        let slot = worker.new.slot;
        let Some(scraping) = &mut worker.scraping else {
            return;
        };
        if !Arc::ptr_eq(&event.spec, scraping.known.spec()) {
            return;
        }
        let news = scraping.known.take(event.result, now);
        let well = scraping.known.failure().is_none();
        deployment.metrics.scraped(well);
        match news {
            None => {}
            Some(News::Failing(reason)) => {
                let text = format!("the metrics of worker {slot} cannot be read: {reason}");
                self.note(&key, "metrics_failing", &text, now);
            }
            Some(News::Works) => {
                let text = format!("the metrics of worker {slot} can be read again");
                self.note(&key, "metrics_read", &text, now);
            }
        }
    }
}
