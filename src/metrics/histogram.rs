//! How values histogram: an HDR histogram with the bounds that all of them share.

use std::time::Duration;

/// The highest value kept; larger ones count as it (an hour of microseconds, or as many rows).
const HIGHEST: u64 = 3_600_000_000;

/// A distribution of whole numbers: microseconds or rows, within 1 percent. About 25 KB.
#[derive(Clone, Debug)]
pub struct Histogram {
    histogram: Option<hdrhistogram::Histogram<u64>>,
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            histogram: hdrhistogram::Histogram::new_with_bounds(1, HIGHEST, 2).ok(),
            sum: 0,
        }
    }
}

impl Histogram {
    /// WorkerMetrics a value.
    pub fn add(&mut self, value: u64) {
        self.add_times(value, 1);
    }

    /// WorkerMetrics a value that occurred so many times.
    pub fn add_times(&mut self, value: u64, times: u64) {
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record_n(value.min(HIGHEST), times);
            self.sum = self.sum.saturating_add(value.saturating_mul(times));
        }
    }

    /// WorkerMetrics a duration, in microseconds.
    pub fn add_duration(&mut self, time: Duration, times: u64) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(HIGHEST);
        self.add_times(micros, times);
    }

    /// Adds all of another, and empties it.
    pub fn take_from(&mut self, other: &mut Histogram) {
        let (Some(into), Some(from)) = (&mut self.histogram, &mut other.histogram) else {
            return;
        };
        if from.is_empty() {
            return;
        }
        if into.add(&*from).is_ok() {
            self.sum = self.sum.saturating_add(other.sum);
        }
        from.reset();
        other.sum = 0;
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.histogram
            .as_ref()
            .map_or(0, hdrhistogram::Histogram::len)
    }

    /// Their sum.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The value that this share (0 to 1) of them does not exceed; 0 if there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        self.histogram
            .as_ref()
            .map_or(0, |histogram| histogram.value_at_quantile(share))
    }

    /// The largest.
    pub fn max(&self) -> u64 {
        self.histogram
            .as_ref()
            .map_or(0, hdrhistogram::Histogram::max)
    }

    /// How many are at most `bound`.
    pub fn at_most(&self, bound: u64) -> u64 {
        self.histogram
            .as_ref()
            .map_or(0, |histogram| histogram.count_between(0, bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_loses_nothing_and_empties_the_other() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        (1..=50).for_each(|n| a.add(n));
        (51..=100).for_each(|n| b.add(n));
        a.take_from(&mut b);
        assert_eq!((a.count(), a.sum(), b.count(), b.sum()), (100, 5_050, 0, 0));
        assert_eq!((a.quantile(0.5), a.max(), a.at_most(10)), (50, 100, 10));
    }

    #[test]
    fn what_is_too_large_counts_as_the_largest() {
        let mut histogram = Histogram::default();
        histogram.add_duration(Duration::from_secs(1 << 40), 1);
        assert_eq!(histogram.count(), 1);
        assert!(histogram.max() >= HIGHEST);
    }
}
