//! Counts of mirrored copies, and the comparison with their originals.

mod dropped;
mod seen;

use std::sync::atomic::{AtomicU64, Ordering};

use penstock_config::fleet::MirrorLoad;

use super::{histogram::Histogram, metric::Metric};

pub(crate) use self::{dropped::Dropped, seen::Seen};

/// The counts of copies for one deployment. Not one set per thread: nothing is counted of requests
/// that are not copied, and the copy itself costs a thousand times as much.
#[derive(Debug, Default)]
pub(crate) struct MirrorMetrics {
    sent: AtomicU64,
    ok: AtomicU64,
    failed: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    same: AtomicU64,
    different: AtomicU64,
    original: Side,
    copy: Side,
}

/// What is compared of one side.
#[derive(Debug, Default)]
struct Side {
    first_byte: Histogram,
    bytes: AtomicU64,
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl MirrorMetrics {
    /// A copy has got a worker.
    pub(crate) fn sent(&self) {
        add(&self.sent, 1);
    }

    /// A copy is over: answered to the end, well or not, or dropped.
    pub(crate) fn ended(&self, outcome: Result<bool, Dropped>) {
        match outcome {
            Ok(true) => add(&self.ok, 1),
            Ok(false) => add(&self.failed, 1),
            Err(why) => add(&self.dropped[why.index()], 1),
        }
    }

    /// The sums of it, with so many copies that wait or are in flight.
    pub(crate) fn report(&self, in_flight: usize) -> MirrorLoad {
        MirrorLoad {
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            sent: read(&self.sent),
            dropped: self.dropped.iter().map(read).sum(),
            same: read(&self.same),
            different: read(&self.different),
        }
    }

    /// Both were answered to the end.
    pub(crate) fn compared(&self, original: &Seen, copy: &Seen) {
        add(
            if original.agrees(copy) {
                &self.same
            } else {
                &self.different
            },
            1,
        );
        self.original.record(original);
        self.copy.record(copy);
    }
}

impl Side {
    fn record(&self, seen: &Seen) {
        if let Some(first_byte) = seen.first_byte {
            self.first_byte.record(first_byte);
        }
        add(&self.bytes, seen.bytes);
    }
}

/// The part of the metrics page that is about copies.
#[derive(Debug)]
pub(super) struct MirrorPart {
    sent: Metric,
    requests: Metric,
    dropped: Metric,
    in_flight: Metric,
    buffered: Metric,
    status: Metric,
    first_byte: Metric,
    bytes: Metric,
}

impl MirrorPart {
    pub(super) fn new() -> Self {
        Self {
            sent: Metric::counter(
                "mirror_sent_total",
                "Mirrored copies that were sent to a worker.",
            ),
            requests: Metric::counter(
                "mirror_requests_total",
                "Mirrored copies that are over, by result.",
            ),
            dropped: Metric::counter(
                "mirror_dropped_total",
                "Mirrored copies that were not answered to the end, by reason.",
            ),
            in_flight: Metric::gauge(
                "mirror_in_flight",
                "Mirrored copies that wait or are in flight now.",
            ),
            buffered: Metric::gauge(
                "mirror_buffered_bytes",
                "Bytes of bodies kept for mirrored copies now.",
            ),
            status: Metric::counter(
                "mirror_comparison_status_total",
                "Originals and copies both answered to the end, by whether their status agrees.",
            ),
            first_byte: Metric::histogram(
                "mirror_comparison_first_byte_seconds",
                "Time from getting the worker to the first byte of the answer's body, of both.",
            ),
            bytes: Metric::counter(
                "mirror_comparison_bytes_total",
                "Bytes of answers, of both.",
            ),
        }
    }

    /// Adds a deployment that ever had a copy.
    pub(super) fn add(
        &mut self,
        labels: &str,
        metrics: &MirrorMetrics,
        in_flight: usize,
        buffered: u64,
    ) {
        let dropped = metrics.dropped.each_ref().map(read);
        let all_dropped: u64 = dropped.iter().sum();
        let (ok, failed) = (read(&metrics.ok), read(&metrics.failed));
        if in_flight == 0 && ok + failed + all_dropped == 0 {
            return;
        }
        self.sent.sample("", labels, read(&metrics.sent));
        for (result, count) in [("ok", ok), ("failed", failed), ("dropped", all_dropped)] {
            let labels = format_args!("{labels},result=\"{result}\"");
            self.requests.sample("", labels, count);
        }
        for (why, count) in Dropped::ALL.iter().zip(dropped) {
            let labels = format_args!("{labels},reason=\"{}\"", why.slug());
            self.dropped.sample("", labels, count);
        }
        self.in_flight.sample("", labels, in_flight);
        self.buffered.sample("", labels, buffered);
        for (agrees, count) in [("same", &metrics.same), ("different", &metrics.different)] {
            let labels = format_args!("{labels},status=\"{agrees}\"");
            self.status.sample("", labels, read(count));
        }
        for (of, side) in [("original", &metrics.original), ("copy", &metrics.copy)] {
            let labels = format!("{labels},of=\"{of}\"");
            self.first_byte
                .times(&labels, std::iter::once(&side.first_byte));
            self.bytes.sample("", &labels, read(&side.bytes));
        }
    }

    /// In the order of the page.
    pub(super) fn all(&mut self) -> [&mut Metric; 8] {
        [
            &mut self.sent,
            &mut self.requests,
            &mut self.dropped,
            &mut self.in_flight,
            &mut self.buffered,
            &mut self.status,
            &mut self.first_byte,
            &mut self.bytes,
        ]
    }
}
