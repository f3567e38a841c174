//! The gateway's part of the `/metrics` page, in Prometheus' text format 0.0.4.

use std::{collections::HashSet, sync::atomic::Ordering, time::SystemTime};

use penstock_config::Certificate;

use super::{
    Cause, ClassMetrics, DeploymentMetrics,
    metric::Metric,
    mirror::{MirrorMetrics, MirrorPart},
    models::ModelPart,
};
use crate::{
    base::tally::Tally,
    count::tokens::ModelMeters,
    socket::{crowd::Crowd, tls::Handshakes},
};

/// The page while it is written. The format wants all lines of a metric together, so everything is
/// added once for each metric, and each time only the lines of that one are written. That costs less
/// than it seems, and of a page that may have a million lines only a few thousand are in memory.
#[derive(Debug)]
pub(crate) struct Page {
    requests: Metric,
    answers: Metric,
    duration: Metric,
    first_byte: Metric,
    queue_wait: Metric,
    in_flight: Metric,
    queued: Metric,
    weight: Metric,
    class_queued: Metric,
    class_wait: Metric,
    ejected: Metric,
    ejections: Metric,
    retries: Metric,
    retries_refused: Metric,
    overflow: Metric,
    connections: Metric,
    refused_headers: Metric,
    shed: Metric,
    accept_errors: Metric,
    handshakes: Metric,
    certificates: Metric,
    mirror: MirrorPart,
    models: ModelPart,
}

impl Page {
    /// Writes a page piece by piece, until `take` wants no more. `fill` adds to it what belongs to
    /// the part with this number, from 0 to `parts` - 1.
    pub(crate) fn write(
        parts: usize,
        fill: impl Fn(&mut Self, usize),
        take: &mut dyn FnMut(String) -> bool,
    ) -> bool {
        let mut page = Self::new();
        for place in 0..page.all().len() {
            page.all()[place].begin();
            for part in 0..parts {
                fill(&mut page, part);
                if !take(page.all()[place].written()) {
                    return false;
                }
            }
            page.all()[place].end();
        }
        true
    }

    fn new() -> Self {
        Self {
            requests: Metric::counter("requests_total", "Requests that ended, by status."),
            answers: Metric::counter(
                "gateway_answers_total",
                "Requests that the gateway answered itself or cut off, by reason.",
            ),
            duration: Metric::histogram(
                "request_duration_seconds",
                "Time from the request head to the end of the answer.",
            ),
            first_byte: Metric::histogram(
                "time_to_first_byte_seconds",
                "Time from the request head to the first byte of the answer's body.",
            ),
            queue_wait: Metric::histogram(
                "queue_wait_seconds",
                "Time in the queue of the requests that were in it.",
            ),
            in_flight: Metric::gauge("in_flight", "Requests that a worker has now."),
            queued: Metric::gauge("queued", "Requests that wait for a worker now."),
            weight: Metric::gauge(
                "deployment_weight",
                "Share of the service's traffic in relation to the other deployments.",
            ),
            class_queued: Metric::gauge(
                "class_queued",
                "Requests of a class that wait for a worker now.",
            ),
            class_wait: Metric::histogram(
                "class_queue_wait_seconds",
                "Time in the queue of the requests of a class that were in it.",
            ),
            ejected: Metric::gauge(
                "workers_ejected",
                "Workers that get no requests now because of how they answered.",
            ),
            ejections: Metric::counter(
                "ejections_total",
                "How often workers were taken out because of how they answered.",
            ),
            retries: Metric::counter(
                "retries_total",
                "Requests that were sent again, by what made that necessary.",
            ),
            retries_refused: Metric::counter(
                "retries_refused_total",
                "Requests that were not sent again because the budget was used up.",
            ),
            overflow: Metric::counter(
                "overflow_total",
                "Requests that a deployment took because no lower tier could serve them in time.",
            ),
            connections: Metric::gauge("connections", "Open connections of clients."),
            refused_headers: Metric::counter(
                "proxy_headers_refused_total",
                "Connections closed because they began with no valid PROXY protocol header, or came from nobody who may send one.",
            ),
            shed: Metric::counter(
                "connections_shed_total",
                "Connections of clients refused or closed because there were too many or they only made work, by reason.",
            ),
            accept_errors: Metric::counter(
                "accept_errors_total",
                "How often this machine lacked what it takes to accept a connection.",
            ),
            handshakes: Metric::counter(
                "tls_handshakes_total",
                "TLS handshakes with clients, by how they ended.",
            ),
            certificates: Metric::gauge(
                "tls_certificate_expiry_timestamp_seconds",
                "When a certificate of a listener ends to be valid, in seconds since 1970.",
            ),
            mirror: MirrorPart::new(),
            models: ModelPart::new(),
        }
    }

    /// In the order of the page.
    fn all(&mut self) -> Vec<&mut Metric> {
        let own = [
            &mut self.requests,
            &mut self.answers,
            &mut self.duration,
            &mut self.first_byte,
            &mut self.queue_wait,
            &mut self.in_flight,
            &mut self.queued,
            &mut self.weight,
            &mut self.class_queued,
            &mut self.class_wait,
            &mut self.ejected,
            &mut self.ejections,
            &mut self.retries,
            &mut self.retries_refused,
            &mut self.overflow,
            &mut self.connections,
            &mut self.refused_headers,
            &mut self.shed,
            &mut self.accept_errors,
            &mut self.handshakes,
            &mut self.certificates,
        ];
        let parts = self.mirror.all().into_iter().chain(self.models.all());
        own.into_iter().chain(parts).collect()
    }

    /// Adds the number of downstream connections open now.
    pub(crate) fn add_connections(&mut self, count: usize) {
        self.connections.only(count);
    }

    /// Adds the connections that did not begin with the PROXY protocol header they should have.
    pub(crate) fn add_refused_headers(&mut self, count: u64) {
        self.refused_headers.only(count);
    }

    /// Adds the connections that were too many.
    pub(crate) fn add_crowd(&mut self, crowd: &Crowd, floods: &Tally, accept_errors: &Tally) {
        for (reason, tally) in [
            ("idlest", &crowd.idlest),
            ("full", &crowd.full),
            ("per_address", &crowd.of_one),
            ("flood", floods),
        ] {
            let labels = format_args!("reason=\"{reason}\"");
            self.shed.sample("", labels, tally.count());
        }
        self.accept_errors.only(accept_errors.count());
    }

    /// Adds the handshakes that there were, and until when the certificates are valid.
    pub(crate) fn add_tls(&mut self, handshakes: &Handshakes, certificates: &[Certificate]) {
        for (outcome, count) in handshakes.counts().filter(|(_, count)| *count > 0) {
            let labels = format_args!("result=\"{}\"", outcome.slug());
            self.handshakes.sample("", labels, count);
        }
        let mut seen = HashSet::new();
        for certificate in certificates {
            let file = certificate.file();
            if !seen.insert(file) {
                continue;
            }
            let ends = certificate.ends().duration_since(SystemTime::UNIX_EPOCH);
            let name = certificate.names().first().map_or("", String::as_str);
            let labels = format_args!("file={:?},name={name:?}", file.to_string_lossy());
            let ends = ends.unwrap_or_default().as_secs();
            self.certificates.sample("", labels, ends);
        }
    }

    /// Adds the counts of requests that reached no deployment, of one service or of none.
    pub(crate) fn add_unrouted(&mut self, metrics: &DeploymentMetrics) {
        self.add_counts(metrics);
    }

    /// Adds a deployment with what it has now: requests queued, its weight in the split,
    /// and requests in flight per worker slot.
    pub(crate) fn add(
        &mut self,
        metrics: &DeploymentMetrics,
        queued: usize,
        weight: u32,
        workers: impl Iterator<Item = (u32, u32)>,
    ) {
        self.add_counts(metrics);
        self.queued.sample("", &metrics.labels, queued);
        self.weight.sample("", &metrics.labels, weight);
        for (slot, in_flight) in workers {
            let labels = format_args!("{},worker=\"{slot}\"", metrics.labels);
            self.in_flight.sample("", labels, in_flight);
        }
    }

    /// Adds what is counted of a class.
    pub(crate) fn add_class(&mut self, class: &ClassMetrics) {
        let queued = class.queued.load(Ordering::Relaxed);
        self.class_queued.sample("", &class.labels, queued);
        let wait = std::iter::once(&class.wait);
        self.class_wait.times(&class.labels, wait);
    }

    /// Adds what is counted of the models of a deployment.
    pub(crate) fn add_models(&mut self, metrics: &DeploymentMetrics, meters: &ModelMeters) {
        self.models.add(&metrics.labels, meters);
    }

    /// Adds how many workers of a deployment are ejected now, how often any was, and the retries.
    pub(crate) fn add_health(&mut self, metrics: &DeploymentMetrics, now: usize, total: u64) {
        self.add_sums_of_health(metrics, total);
        self.ejected.sample("", &metrics.labels, now);
    }

    /// Adds what a deployment took from lower tiers, if anything.
    pub(crate) fn add_overflow(&mut self, metrics: &DeploymentMetrics, taken: u64) {
        if taken > 0 {
            self.overflow.sample("", &metrics.labels, taken);
        }
    }

    /// Adds the counts of a deployment that was removed and has no requests any more.
    pub(crate) fn add_last(&mut self, metrics: &DeploymentMetrics, ejections: u64) {
        self.add_counts(metrics);
        self.add_sums_of_health(metrics, ejections);
    }

    fn add_sums_of_health(&mut self, metrics: &DeploymentMetrics, ejections: u64) {
        self.add_retries(metrics);
        if ejections > 0 {
            self.ejections.sample("", &metrics.labels, ejections);
        }
    }

    /// Adds the copies that are mirrored to a deployment: their counts, how many there are now, and
    /// the bytes that are kept for them.
    pub(crate) fn add_copies(
        &mut self,
        metrics: &DeploymentMetrics,
        copies: &MirrorMetrics,
        in_flight: usize,
        buffered: u64,
    ) {
        self.mirror
            .add(&metrics.labels, copies, in_flight, buffered);
    }

    fn add_retries(&mut self, metrics: &DeploymentMetrics) {
        let labels = &metrics.labels;
        for (cause, count) in Cause::ALL.iter().zip(&metrics.retries) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let labels = format_args!("{labels},reason=\"{}\"", cause.slug());
                self.retries.sample("", labels, count);
            }
        }
        let refused = metrics.retries_refused.load(Ordering::Relaxed);
        if refused > 0 {
            self.retries_refused.sample("", labels, refused);
        }
    }

    fn add_counts(&mut self, metrics: &DeploymentMetrics) {
        let labels = &metrics.labels;
        let shards = || metrics.shards.iter();
        self.requests.codes(labels, shards());
        self.answers.reasons(labels, shards());
        self.duration
            .times(labels, shards().map(|counts| &counts.duration));
        self.first_byte
            .times(labels, shards().map(|counts| &counts.first_byte));
        self.queue_wait
            .times(labels, shards().map(|counts| &counts.queue_wait));
    }
}
