//! Averages over a moving window, from buckets of one second.
//!
//! What is recorded is an amount that built up over a stretch of time (request-seconds), so that a
//! request that lived between two reports still counts with its whole duration.

use std::time::Duration;

/// Most buckets of a window; a longer one has wider buckets. With the default of 60 s and 1 s per
/// bucket a window takes half a kilobyte.
const BUCKETS_MAX: u32 = 120;

/// Width of a bucket where the window's length does not ask for another.
const WIDTH: Duration = Duration::from_secs(1);

/// The newest `length` of a measure.
#[derive(Debug, Clone)]
pub struct Window {
    length: f64,
    width: f64,
    /// Ring: bucket number `n` (time divided by width) is at `n % len`.
    buckets: Box<[f64]>,
    /// When the first amount began and up to when amounts are known; seconds.
    known: Option<(f64, f64)>,
}

impl Window {
    /// An empty window.
    pub fn new(length: Duration) -> Self {
        let length = length.max(Duration::from_millis(10));
        let width = WIDTH.min(length / 5).max(length / BUCKETS_MAX);
        let count = (length.as_secs_f64() / width.as_secs_f64()).ceil() as usize + 2;
        Self {
            length: length.as_secs_f64(),
            width: width.as_secs_f64(),
            buckets: vec![0.0; count].into_boxed_slice(),
            known: None,
        }
    }

    /// Adds `amount`, which built up evenly over the time from `now - over` to `now`.
    pub fn record(&mut self, amount: f64, over: Duration, now: Duration) {
        let end = now.as_secs_f64();
        let begin = (end - over.as_secs_f64()).max(end - self.length).max(0.0);
        let begin = begin.max(self.advance(begin, end));
        let span = end - begin;
        for number in self.number(begin)..=self.number(end) {
            let share = if span > 0.0 {
                self.overlap(number, begin, end) / span
            } else {
                1.0
            };
            let place = self.place(number);
            self.buckets[place] += amount * share;
            if span <= 0.0 {
                break;
            }
        }
    }

    /// The average over the window that ends with the newest record. In the beginning the divisor
    /// is the time since the first record (at least one bucket), so that the first seconds are not
    /// thinned out. `None` before anything was recorded.
    pub fn average(&self) -> Option<f64> {
        let (first, last) = self.known?;
        let begin = (last - self.length).max(first);
        let sum: f64 = (self.number(begin)..=self.number(last))
            .map(|number| {
                let covered = self.overlap(number, begin, number as f64 * self.width + self.width);
                self.buckets[self.place(number)] * covered / self.bucket_age(number, first)
            })
            .sum();
        Some(sum / (last - begin).max(self.width.min(self.length)))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.fill(0.0);
        self.known = None;
    }

    /// Moves the ring on to `end`; returns the first time that may still be written.
    fn advance(&mut self, begin: f64, end: f64) -> f64 {
        let Some((first, last)) = self.known else {
            self.known = Some((begin, end));
            return begin;
        };
        if end - last > self.length {
            // Nothing of the old is inside the window, and the time between counts as zero.
            self.buckets.fill(0.0);
        } else {
            for number in self.number(last) + 1..=self.number(end.max(last)) {
                let place = self.place(number);
                self.buckets[place] = 0.0;
            }
        }
        self.known = Some((first, last.max(end)));
        first
    }

    fn number(&self, seconds: f64) -> u64 {
        (seconds / self.width) as u64
    }

    fn place(&self, number: u64) -> usize {
        (number % self.buckets.len() as u64) as usize
    }

    /// Seconds that a bucket and the time from `begin` to `end` have in common.
    fn overlap(&self, number: u64, begin: f64, end: f64) -> f64 {
        let left = number as f64 * self.width;
        (end.min(left + self.width) - begin.max(left)).max(0.0)
    }

    /// Seconds of a bucket that lie after the first record: all of it but for the very first.
    fn bucket_age(&self, number: u64, first: f64) -> f64 {
        let left = number as f64 * self.width;
        (left + self.width - first.max(left)).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(value: f64) -> Duration {
        Duration::from_secs_f64(value)
    }

    fn close(value: Option<f64>, expected: f64) {
        let value = value.expect("something was recorded");
        assert!(
            (value - expected).abs() < 1e-6 * expected.max(1.0),
            "{value} is not {expected}"
        );
    }

    #[test]
    fn a_constant_measure_has_itself_as_average_from_the_first_second_on() {
        let mut window = Window::new(seconds(6.0));
        assert_eq!(window.average(), None);
        for tick in 1..100 {
            window.record(7.0, seconds(1.0), seconds(100.3 + f64::from(tick)));
            close(window.average(), 7.0);
        }
    }

    #[test]
    fn a_request_that_lived_between_two_reports_counts_with_its_duration() {
        let mut window = Window::new(seconds(6.0));
        for tick in 1..=6 {
            let amount = if tick == 3 { 0.03 } else { 0.0 };
            window.record(amount, seconds(1.0), seconds(f64::from(tick)));
        }
        close(window.average(), 0.005);
    }

    #[test]
    fn what_left_the_window_is_forgotten_also_after_a_long_silence() {
        let mut window = Window::new(seconds(6.0));
        window.record(60.0, seconds(6.0), seconds(10.0));
        close(window.average(), 10.0);
        window.record(0.0, seconds(3.0), seconds(13.0));
        close(window.average(), 5.0);
        window.record(0.0, seconds(1.0), seconds(1000.0));
        close(window.average(), 0.0);
        window.record(12.0, seconds(1.0), seconds(1001.0));
        close(window.average(), 2.0);
    }

    #[test]
    fn one_late_report_is_spread_over_the_time_it_covers() {
        let mut late = Window::new(seconds(60.0));
        late.record(0.0, seconds(1.0), seconds(100.0));
        late.record(40.0, seconds(20.0), seconds(120.0));
        late.record(0.0, seconds(50.0), seconds(170.0));
        // 10 of the 20 seconds are still inside.
        close(late.average(), 20.0 / 60.0);
    }

    #[test]
    fn windows_of_any_length_stay_small_and_right() {
        for length in [0.01, 0.5, 5.0, 60.0, 3600.0, 86400.0] {
            let mut window = Window::new(seconds(length));
            assert!(window.buckets.len() <= BUCKETS_MAX as usize + 2);
            let step = length / 50.0;
            for tick in 1..200 {
                window.record(
                    3.0 * step,
                    seconds(step),
                    seconds(7.0 + step * f64::from(tick)),
                );
            }
            close(window.average(), 3.0);
        }
    }
}
