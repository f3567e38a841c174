//! What workers tell of themselves: who is asked, and what is made of the answers.

mod known;

use std::{sync::Arc, time::Duration};

use penstock_config::{Deployment, MetricsPage, Protocol, WorkerMetric};

pub(super) use self::known::Known;
use self::known::News;
use super::{Core, Effect, ScrapeEvent, deployment::DeploymentState, worker::Worker};
use crate::scale::Told;

/// A value counts for so many intervals: one lost answer is no news, three in a row are.
const INTERVALS: u32 = 3;

/// A value counts for this long at least.
const FRESH_MIN: Duration = Duration::from_secs(10);

/// What is to be read of the workers of a deployment.
#[derive(Debug, PartialEq)]
pub struct ScrapeSpec {
    /// What is wanted of the page.
    pub metrics: Vec<Arc<WorkerMetric>>,
    pub(crate) page: MetricsPage,
    pub(crate) protocol: Protocol,
    pub(crate) headers: Vec<(String, String)>,
}

/// What a page says of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The sum of all samples that fit.
    pub value: f64,
    /// Whether it only ever grows, so that its growth is what matters: a counter, or a sum or count of
    /// a histogram or summary.
    pub grows: bool,
}

impl ScrapeSpec {
    /// `None` when no rule asks for anything.
    pub(crate) fn of(deployment: &Deployment) -> Option<Arc<Self>> {
        let metrics = deployment.scaling.worker_metrics();
        if metrics.is_empty() {
            return None;
        }
        // Without it some libraries choose a format of their own.
        let accept = ("accept".to_owned(), "text/plain; version=0.0.4".to_owned());
        Some(Arc::new(Self {
            metrics,
            page: deployment.metrics.clone(),
            protocol: deployment.protocol,
            headers: vec![accept],
        }))
    }

    /// For how long a value counts.
    pub(crate) fn fresh_for(&self) -> Duration {
        (self.page.interval * INTERVALS).max(FRESH_MIN)
    }
}

impl Worker {
    /// Why its metrics could not be read the last time.
    pub(super) fn metrics_failure(&self) -> Option<&str> {
        self.scraping.as_ref()?.failure()
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
    pub(super) fn follow_scrapes(&mut self, effects: &mut Vec<Effect>) {
        for worker in &mut self.workers {
            let wanted = self.scrape.as_ref().filter(|_| worker.is_ready());
            let wanted = wanted.filter(|_| worker.address.is_some());
            let same = match (wanted, worker.scraping.as_ref().map(Known::spec)) {
                (None, None) => true,
                (Some(wanted), Some(known)) => Arc::ptr_eq(wanted, known),
                _ => false,
            };
            if same {
                continue;
            }
            let worker_id = worker.new.id.clone();
            effects.push(match wanted {
                None => Effect::StopScraping(worker_id),
                Some(spec) => Effect::Scrape {
                    worker: worker_id,
                    spec: Arc::clone(spec),
                },
            });
            worker.scraping = wanted.map(|spec| Known::new(Arc::clone(spec)));
        }
    }

    /// What ready workers tell now.
    pub(super) fn told(&self, now: Duration) -> Vec<Told> {
        let Some(spec) = &self.scrape else {
            return Vec::new();
        };
        let ready = self.workers.iter().filter(|worker| worker.is_ready());
        let known: Vec<&Known> = ready
            .filter_map(|worker| worker.scraping.as_ref())
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

impl Core {
    pub(super) fn on_scrape(&mut self, event: ScrapeEvent) {
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(&event.worker) else {
            return;
        };
        let worker = &mut deployment.workers[place];
        let slot = worker.new.slot;
        let Some(known) = &mut worker.scraping else {
            return;
        };
        if !Arc::ptr_eq(&event.spec, known.spec()) {
            return;
        }
        let news = known.take(event.result, now);
        let well = known.failure().is_none();
        deployment.tally.scraped(well);
        match news {
            None => {}
            Some(News::Failing(reason)) => {
                let text = format!("the metrics of worker {slot} cannot be read: {reason}");
                self.note(&key, "metrics_failing", &text);
            }
            Some(News::Works) => {
                let text = format!("the metrics of worker {slot} can be read again");
                self.note(&key, "metrics_read", &text);
            }
        }
    }
}
