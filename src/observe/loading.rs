//! How far a load of recipients is: a spinner on a terminal, a log line every ten seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::numbers::{grouped, rate};

/// How often a line is logged where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far a load is.
#[derive(Debug)]
pub struct Loading {
    spinner: Option<ProgressBar>,
    quiet: bool,
    started: Instant,
    line_due: Duration,
}

impl Loading {
    /// A spinner if standard error is a terminal, lines otherwise; nothing at all if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let terminal = !quiet && std::io::stderr().is_terminal();
        Self {
            spinner: terminal.then(ProgressBar::new_spinner),
            quiet,
            started: Instant::now(),
            line_due: LINE_EVERY,
        }
    }

    /// Shows how many rows were read so far.
    pub fn show(&mut self, rows: u64) {
        let elapsed = self.started.elapsed();
        if let Some(spinner) = &self.spinner {
            spinner.set_message(line(rows, elapsed));
            spinner.tick();
        } else if !self.quiet && elapsed >= self.line_due {
            self.line_due = elapsed + LINE_EVERY;
            tracing::info!("{}", line(rows, elapsed));
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }
}

fn line(rows: u64, elapsed: Duration) -> String {
    format!(
        "loading recipients: {} rows, {} rows/s",
        grouped(rows),
        grouped(rate(rows, elapsed) as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_and_how_fast() {
        let line = line(1_200_000, Duration::from_secs(10));
        assert_eq!(line, "loading recipients: 1,200,000 rows, 120,000 rows/s");
    }
}
