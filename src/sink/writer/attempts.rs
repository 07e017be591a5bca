//! Between two attempts: what a failure means, how long to wait, and whether to go on at all.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::WriterSettings;
use super::status::SinkStatus;
use crate::epoch::Clock;
use crate::error::{Class, Exit, Fatal, SinkError};
use crate::sink::breaker::{Breaker, BreakerState};
use crate::sink::retry::{Decision, Retry};
use crate::sink::retry_budget::RetryBudget;

/// That many failures of class [`Class::Retry`] in a row count as an outage.
const BUSY_MAX: u32 = 10;

/// The clock is read again at least that often, because it may jump.
const SLICE: Duration = Duration::from_millis(50);

/// Why a writer ends early.
#[derive(Debug)]
pub(super) enum WriterStop {
    Stopped,
    Fatal(Fatal),
}

pub(super) struct AttemptControl {
    clock: Arc<dyn Clock>,
    status: Arc<SinkStatus>,
    stopped: Receiver<()>,
    retry: Retry<ChaCha8Rng>,
    retry_budget: RetryBudget,
    breaker: Breaker,
    rows_max: usize,
    probe_rows: usize,
    attempt_limit: Duration,
}

impl AttemptControl {
    pub(super) fn new(
        settings: &WriterSettings,
        clock: Arc<dyn Clock>,
        status: Arc<SinkStatus>,
        stopped: Receiver<()>,
    ) -> Self {
        let random = ChaCha8Rng::seed_from_u64(settings.seed);
        Self {
            breaker: Breaker::new(settings.breaker_opens_after, status.breaker_cell()),
            retry: Retry::new(settings.retry, random),
            retry_budget: settings.retry_budget.clone(),
            rows_max: settings.rows_max.max(1),
            probe_rows: settings.probe_rows.max(1),
            attempt_limit: settings.attempt_limit,
            clock,
            status,
            stopped,
        }
    }

    pub(super) fn status(&self) -> &SinkStatus {
        &self.status
    }

    pub(super) const fn stopped(&self) -> &Receiver<()> {
        &self.stopped
    }

    /// How many rows the next attempt may hold: few while it is a probe.
    pub(super) fn rows_now(&mut self) -> usize {
        match self.breaker.poll(self.clock.elapsed()) {
            BreakerState::Closed => self.rows_max,
            BreakerState::HalfOpen | BreakerState::Open => self.probe_rows.min(self.rows_max),
        }
    }

    /// Runs one attempt, for all to see.
    pub(super) fn attempt<R>(
        &self,
        call: impl FnOnce() -> Result<R, SinkError>,
    ) -> Result<R, SinkError> {
        self.status
            .attempt_begins(self.clock.elapsed(), self.attempt_limit);
        let result = call();
        self.status.attempt_ends();
        result
    }

    /// The sink answered.
    pub(super) fn succeeded(&mut self) {
        if self.retry.failures() == 0 {
            return;
        }
        if self.status.breaker() != BreakerState::Closed {
            tracing::info!(sink = self.status.name(), "sink is back, breaker closed");
        }
        self.retry.reset();
        self.breaker.success();
    }

    /// An attempt failed: waits until the next one is due, or says that there is none.
    pub(super) fn failed(&mut self, error: SinkError) -> Result<(), WriterStop> {
        self.status.failed(error.to_string());
        if matches!(error.class, Class::Data | Class::Bug) {
            return Err(WriterStop::Fatal(error.into()));
        }
        self.status.retried();
        let now = self.clock.elapsed();
        let Decision::Wait(wait) = self.retry.next(now) else {
            return Err(WriterStop::Fatal(outlasted(&error)));
        };
        if error.class == Class::Outage || self.retry.failures() > BUSY_MAX {
            self.outage(now, wait, &error);
        }
        let until = self.breaker.probe_at().unwrap_or(now.saturating_add(wait));
        self.wait(until.max(now.saturating_add(self.retry_budget.reserve(now))))
    }

    fn outage(&mut self, now: Duration, wait: Duration, error: &SinkError) {
        let was = self.breaker.poll(now);
        self.breaker.failure(now, wait);
        if was == BreakerState::Closed && self.status.breaker() == BreakerState::Open {
            tracing::warn!(sink = self.status.name(), %error, "sink is out, breaker open");
        }
    }

    fn wait(&self, until: Duration) -> Result<(), WriterStop> {
        loop {
            let now = self.clock.elapsed();
            if now >= until {
                return Ok(());
            }
            match self.stopped.recv_timeout((until - now).min(SLICE)) {
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody is left who could be answered, or could ask for a stop.
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Err(WriterStop::Stopped),
            }
        }
    }
}

fn outlasted(error: &SinkError) -> Fatal {
    let message =
        format!("{error}\nthe sink was out for longer than the limit; nothing is lost, run again");
    Fatal::new(Exit::Unfinished, message)
}
