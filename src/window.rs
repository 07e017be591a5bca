//! When a batch goes to its sink.
//!
//! Batches fill by arrival: while one write is in flight the next batch fills, and it goes when the sink is free, or
//! when it is full in rows or bytes, or when its oldest row is old enough, or when the source stands still at its
//! in-flight limit (then waiting for more rows would be waiting for itself). Low load gives small batches and low
//! latency, high load gives large batches, with nothing to tune.
//!
//! [`Window`] is pure: time is an argument. Its memory is bounded by `rows_max` and `bytes_max` plus one input container.

use std::time::Duration;

/// When to close a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Close at this many rows.
    pub rows_max: usize,
    /// Close at about this many bytes.
    pub bytes_max: usize,
    /// Close when the oldest row has waited this long.
    pub age_max: Duration,
    /// Close as soon as the sink is free, however few rows there are.
    pub eager: bool,
}

/// The conditions outside of the window.
#[derive(Clone, Copy, Debug)]
pub struct WindowConditions {
    /// Monotonic time.
    pub now: Duration,
    /// No batch of this window is being written.
    pub sink_free: bool,
    /// The source waits for settlement, or nothing more will come.
    pub pressed: bool,
    /// How long the sink asks for the oldest row to wait, however free it is.
    pub wait_min: Duration,
}

/// Rows that wait to be written together.
#[derive(Debug)]
pub struct Window<T> {
    limits: WindowLimits,
    rows: Vec<T>,
    bytes: usize,
    born: Option<Duration>,
}

impl<T> Window<T> {
    /// An empty window.
    pub const fn new(limits: WindowLimits) -> Self {
        Self {
            limits,
            rows: Vec::new(),
            bytes: 0,
            born: None,
        }
    }

    /// Adds a row of about `bytes` bytes.
    pub fn push(&mut self, row: T, bytes: usize, now: Duration) {
        self.born.get_or_insert(now);
        self.bytes += bytes;
        self.rows.push(row);
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether no more should be pushed before it was taken.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= self.limits.rows_max || self.bytes >= self.limits.bytes_max
    }

    /// How long until its age alone closes it; none while it is empty.
    pub fn due_in(&self, now: Duration) -> Option<Duration> {
        let born = self.born?;
        Some((born + self.limits.age_max).saturating_sub(now))
    }

    /// The rows, if this is the moment to write them.
    pub fn take_if_due(&mut self, moment: WindowConditions) -> Option<Vec<T>> {
        let born = self.born?;
        let old = moment.now >= born + self.limits.age_max;
        let eager = self.limits.eager && moment.now >= born + moment.wait_min;
        let wanted = moment.sink_free && (eager || old || moment.pressed);
        if !wanted && !self.is_full() {
            return None;
        }
        self.born = None;
        self.bytes = 0;
        Some(std::mem::take(&mut self.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: WindowLimits = WindowLimits {
        rows_max: 10,
        bytes_max: 1_000,
        age_max: Duration::from_millis(100),
        eager: false,
    };

    fn moment(ms: u64, sink_free: bool, pressed: bool) -> WindowConditions {
        WindowConditions {
            now: Duration::from_millis(ms),
            sink_free,
            pressed,
            wait_min: Duration::ZERO,
        }
    }

    fn filled(limits: WindowLimits, rows: usize, bytes: usize) -> Window<usize> {
        let mut window = Window::new(limits);
        for row in 0..rows {
            window.push(row, bytes, Duration::ZERO);
        }
        window
    }

    #[test]
    fn rows_bytes_age_pressure_and_a_free_sink_close_it() {
        assert!(
            filled(LIMITS, 9, 1)
                .take_if_due(moment(0, true, false))
                .is_none()
        );
        assert!(
            filled(LIMITS, 10, 1)
                .take_if_due(moment(0, false, false))
                .is_some()
        );
        assert!(
            filled(LIMITS, 2, 500)
                .take_if_due(moment(0, false, false))
                .is_some()
        );
        assert!(
            filled(LIMITS, 1, 1)
                .take_if_due(moment(99, true, false))
                .is_none()
        );
        assert!(
            filled(LIMITS, 1, 1)
                .take_if_due(moment(100, true, false))
                .is_some()
        );
        assert!(
            filled(LIMITS, 1, 1)
                .take_if_due(moment(0, true, true))
                .is_some()
        );
        let eager = WindowLimits {
            eager: true,
            ..LIMITS
        };
        assert!(
            filled(eager, 1, 1)
                .take_if_due(moment(0, true, false))
                .is_some()
        );
        assert!(
            filled(eager, 1, 1)
                .take_if_due(moment(0, false, false))
                .is_none()
        );
    }

    #[test]
    fn a_sink_that_asks_for_patience_gets_larger_batches() {
        let eager = WindowLimits {
            eager: true,
            ..LIMITS
        };
        let patient = |ms, pressed| WindowConditions {
            wait_min: Duration::from_millis(50),
            ..moment(ms, true, pressed)
        };
        assert!(
            filled(eager, 1, 1)
                .take_if_due(patient(49, false))
                .is_none()
        );
        assert!(
            filled(eager, 1, 1)
                .take_if_due(patient(50, false))
                .is_some()
        );
        assert!(filled(eager, 1, 1).take_if_due(patient(0, true)).is_some());
        assert!(
            filled(eager, 10, 1)
                .take_if_due(patient(0, false))
                .is_some()
        );
    }

    #[test]
    fn an_empty_window_is_never_due() {
        let mut window = Window::<u8>::new(LIMITS);
        assert!(window.take_if_due(moment(1_000, true, true)).is_none());
        assert_eq!(window.due_in(Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn rows_come_out_once_and_in_order(cuts in proptest::collection::vec((1..5usize, 0..60u64, any::<bool>()), 1..100)) {
            let (mut window, mut out, mut next, mut now) = (Window::new(LIMITS), Vec::new(), 0, 0);
            for (rows, wait, free) in cuts {
                now += wait;
                for _ in 0..rows {
                    window.push(next, 10, Duration::from_millis(now));
                    next += 1;
                }
                out.extend(window.take_if_due(moment(now, free, false)).unwrap_or_default());
            }
            out.extend(window.take_if_due(moment(now, true, true)).unwrap_or_default());
            prop_assert_eq!(out, (0..next).collect::<Vec<_>>());
        }
    }
}
