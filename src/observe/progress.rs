//! How far a job is: a bar on a terminal, a log line every ten seconds elsewhere.
//!
//! The job calls [`Progress::show`] a few times a second; between two updates it only reads a clock.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::numbers::{bytes, elapsed, grouped, rate};

/// How often a line is logged where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What the input is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Files, standard input.
    Bytes,
    /// A generator, a broker.
    Deliveries,
}

/// What is seen of a job at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressReading {
    /// Input that is settled, in the unit of the job.
    pub done: u64,
    /// How many there are, if that is known.
    pub total: Option<u64>,
    /// Events decoded.
    pub events: u64,
    /// Events that are not durable yet.
    pub open: u64,
}

/// Shows how far a job is.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    unit: Unit,
    quiet: bool,
    line_due: Duration,
}

impl Progress {
    /// A bar if standard error is a terminal, lines otherwise; nothing at all if `quiet`.
    pub fn new(quiet: bool, unit: Unit) -> Self {
        let terminal = !quiet && std::io::stderr().is_terminal();
        Self {
            bar: terminal.then(ProgressBar::new_spinner),
            unit,
            quiet,
            line_due: LINE_EVERY,
        }
    }

    /// Shows what is seen at `now`, the time since the job started.
    pub fn show(&mut self, now: Duration, seen: ProgressReading) {
        if let Some(bar) = &self.bar {
            show_bar(bar, self.unit, now, seen);
        } else if !self.quiet && now >= self.line_due {
            self.line_due = now + LINE_EVERY;
            tracing::info!("{}", line(self.unit, now, seen));
        }
    }

    /// Takes the bar away, so that what is printed next stands alone.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn show_bar(bar: &ProgressBar, unit: Unit, now: Duration, seen: ProgressReading) {
    if let Some(total) = seen.total
        && bar.length() != Some(total)
    {
        let template = "{wide_bar:.cyan/blue} {msg}";
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_length(total);
    }
    bar.set_position(seen.done);
    bar.set_message(line(unit, now, seen));
}

/// `1.2 GiB of 3.4 GiB, 1,234,567 events, 234,567/s, 12.3 s left`
fn line(unit: Unit, now: Duration, seen: ProgressReading) -> String {
    let mut parts = Vec::with_capacity(4);
    if let Some(total) = seen.total {
        parts.push(match unit {
            Unit::Bytes => format!("{} of {}", bytes(seen.done), bytes(total)),
            Unit::Deliveries => format!("{} of {} deliveries", grouped(seen.done), grouped(total)),
        });
    }
    parts.push(format!("{} events", grouped(seen.events)));
    parts.push(format!("{}/s", grouped(rate(seen.events, now) as u64)));
    match left(now, seen) {
        Some(left) if left > Duration::ZERO => parts.push(format!("{} left", elapsed(left))),
        _ => parts.push(format!("{} not durable yet", grouped(seen.open))),
    }
    parts.join(", ")
}

/// How long the rest takes at the speed so far.
fn left(now: Duration, seen: ProgressReading) -> Option<Duration> {
    let total = seen.total?;
    let speed = rate(seen.done, now);
    (speed > 0.0)
        .then(|| Duration::try_from_secs_f64(total.saturating_sub(seen.done) as f64 / speed).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_done_and_what_is_left() {
        let seen = ProgressReading {
            done: 1 << 30,
            total: Some(4 << 30),
            events: 5_000_000,
            open: 10,
        };
        let text = line(Unit::Bytes, Duration::from_secs(20), seen);
        assert_eq!(
            text,
            "1.0 GiB of 4.0 GiB, 5,000,000 events, 250,000/s, 1 min 00 s left"
        );
    }

    #[test]
    fn no_length_and_no_time_are_no_trouble() {
        let text = line(Unit::Bytes, Duration::ZERO, ProgressReading::default());
        assert_eq!(text, "0 events, 0/s, 0 not durable yet");
        let ended = ProgressReading {
            done: 5,
            total: Some(5),
            ..ProgressReading::default()
        };
        assert!(line(Unit::Deliveries, Duration::from_secs(1), ended).ends_with("not durable yet"));
    }

    #[test]
    fn quiet_is_quiet() {
        let mut progress = Progress::new(true, Unit::Bytes);
        progress.show(Duration::from_secs(100), ProgressReading::default());
        assert!(progress.bar.is_none() && progress.line_due == LINE_EVERY);
    }
}
