//! Finds the samples that are wanted on a page, piece by piece as it comes.

use std::sync::Arc;

use penstock_config::WorkerMetric;

use super::line;
use crate::core::Sample;

/// Longest page that is read. Those of inference servers have some hundred kilobytes at most.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// Longest line.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Numbers beyond this are not counted: added up they would not be exact, or not finite.
const VALUE_MAX: f64 = 1e18;

/// Characters of a line that are shown when it makes no sense.
const EXCERPT: usize = 80;

/// Reads one page.
pub(super) struct Reader<'r> {
    wanted: &'r [Arc<WorkerMetric>],
    found: Vec<Found>,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    lines: usize,
    bytes: usize,
}

/// What was found of one metric.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    sum: Option<f64>,
    /// What a `# TYPE` line says about it.
    grows: Option<bool>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(wanted: &'r [Arc<WorkerMetric>]) -> Self {
        Self {
            wanted,
            found: vec![Found::default(); wanted.len()],
            begun: Vec::new(),
            lines: 0,
            bytes: 0,
        }
    }

    /// Takes in the next piece.
    ///
    /// # Errors
    /// When the page is too long, or has a wanted sample that makes no sense.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<(), String> {
        self.bytes += piece.len();
        if self.bytes > PAGE_BYTES_MAX {
            return Err(format!(
                "the page is longer than {} MiB",
                PAGE_BYTES_MAX >> 20
            ));
        }
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if self.begun.is_empty() {
                self.line(&rest[..end])?;
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(&rest[..end]);
                self.line(&whole)?;
                whole.clear();
                self.begun = whole;
            }
            rest = &rest[end + 1..];
        }
        if self.begun.len() + rest.len() > LINE_BYTES_MAX {
            let long = LINE_BYTES_MAX >> 10;
            let line = self.lines + 1;
            return Err(format!("line {line} of the page is longer than {long} KiB"));
        }
        self.begun.extend_from_slice(rest);
        Ok(())
    }

    /// The samples in the order of the metrics.
    ///
    /// # Errors
    /// When the page ends within a line, so that its last number may be cut.
    pub(super) fn finish(self) -> Result<Vec<Option<Sample>>, String> {
        if !self.begun.trim_ascii().is_empty() {
            return Err("the page ends in the middle of a line".to_owned());
        }
        let samples = self.wanted.iter().zip(&self.found);
        Ok(samples
            .map(|(metric, found)| {
                Some(Sample {
                    value: found.sum?,
                    grows: found
                        .grows
                        .unwrap_or_else(|| metric.name.ends_with("_total")),
                })
            })
            .collect())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.lines += 1;
        let name = line::name(line);
        if name.is_empty() {
            if let Some((name, kind)) = line::declared(line) {
                self.declare(name, kind);
            }
            return Ok(());
        }
        let is_wanted = |metric: &Arc<WorkerMetric>| metric.name.as_bytes() == name;
        if !self.wanted.iter().any(is_wanted) {
            return Ok(());
        }
        let after_name = &line.trim_ascii_start()[name.len()..];
        let parts = line::parts(after_name).ok_or_else(|| {
            let text = String::from_utf8_lossy(line);
            let text: String = text.chars().take(EXCERPT).collect();
            format!("line {} of the page makes no sense: {text:?}", self.lines)
        })?;
        if !parts.value.is_finite() || parts.value.abs() > VALUE_MAX {
            return Ok(());
        }
        for (metric, found) in self.wanted.iter().zip(&mut self.found) {
            let fits = |(name, value): &(String, String)| parts.has(name, value);
            if is_wanted(metric) && metric.labels.iter().all(fits) {
                *found.sum.get_or_insert(0.0) += parts.value;
            }
        }
        Ok(())
    }

    /// A `# TYPE` line. Counters of OpenMetrics are declared without the `_total` of their samples.
    fn declare(&mut self, name: &[u8], kind: &[u8]) {
        for (metric, found) in self.wanted.iter().zip(&mut self.found) {
            let Some(suffix) = metric.name.as_bytes().strip_prefix(name) else {
                continue;
            };
            let grows = match (suffix, kind) {
                (b"" | b"_total", b"counter") => true,
                (b"_sum" | b"_count" | b"_bucket", b"histogram" | b"summary") => true,
                (b"", _) => false,
                _ => continue,
            };
            found.grows.get_or_insert(grows);
        }
    }
}

#[cfg(test)]
mod tests;
