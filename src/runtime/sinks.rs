//! The writer threads of a job, and each worker's way to them.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::store::OpenStores;
use crate::config::Plan;
use crate::dedup::Forgotten;
use crate::epoch::Clock;
use crate::error::{Exit, Fatal};
use crate::log::LogPace;
use crate::metrics::{Metrics, WorkerMetrics};
use crate::sink::handles::{CONCURRENT, SinkHandles};
use crate::sink::retry::RetryPolicy;
use crate::sink::retry_budget::RetryBudget;
use crate::sink::writer::{
    self, LogHandle, LogTarget, SinkStatus, StateHandle, StateTarget, WriterHandle, WriterSettings,
    WriterThread,
};

/// Where the first fatal error of a writer is left for the job to find.
#[derive(Clone, Debug, Default)]
pub struct FatalSlot(Arc<Mutex<Option<Fatal>>>);

impl FatalSlot {
    fn leave(&self, fatal: Fatal) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(fatal);
    }

    /// The error, once.
    pub fn take(&self) -> Option<Fatal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The running writers.
pub struct Writers {
    state: WriterThread<StateTarget>,
    log: WriterThread<LogTarget>,
    pace: LogPace,
    /// The fatal error of a writer, if one ended with it.
    pub fatal_error: FatalSlot,
}

impl Writers {
    /// Starts a writer for each sink of a store.
    pub fn start(
        plan: &Plan,
        store: OpenStores,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Fatal> {
        let fatal_error = FatalSlot::default();
        let refused = |error: std::io::Error| {
            Fatal::new(Exit::Internal, format!("no writer thread: {error}"))
        };
        let spawn_error = |name| {
            let fatal_error = fatal_error.clone();
            move |fatal: Fatal| {
                tracing::error!(sink = name, error = %fatal, "a sink ended");
                fatal_error.leave(fatal);
            }
        };
        let retry_budget = retry_budget(plan);
        let settings = |name, rows_max| WriterSettings {
            retry_budget: retry_budget.clone(),
            ..settings(plan, name, rows_max)
        };
        let target = StateTarget::new(store.state, Arc::clone(metrics));
        let rows_max = plan.state_window.rows_max.get();
        let state = writer::spawn(
            &settings("state", rows_max),
            target,
            Arc::clone(clock),
            spawn_error("state"),
        )
        .map_err(refused)?;
        let pace = store.log.pace().unwrap_or_default();
        let dead_letter_writer = StateHandle::new(state.handle().clone()).dead_letter_writer();
        let target = LogTarget::new(store.log, dead_letter_writer, Arc::clone(metrics));
        #[cfg(feature = "faults")]
        let target = {
            let state = StateHandle::new(state.handle().clone());
            target.asking(Box::new(move |events| {
                state.call(move |store| store.known(&events))
            }))
        };
        let rows_max = plan.log_window.rows_max.get();
        let log = writer::spawn(
            &settings("log", rows_max),
            target,
            Arc::clone(clock),
            spawn_error("log"),
        )
        .map_err(refused)?;
        Ok(Self {
            state,
            log,
            pace,
            fatal_error,
        })
    }

    /// The ways in.
    pub fn sinks(&self) -> Sinks {
        Sinks {
            state: self.state.handle().clone(),
            log: self.log.handle().clone(),
            pace: self.pace.clone(),
        }
    }

    /// Ends them without finishing what waits: at the end of the attempts that run.
    pub fn stop(self) {
        self.log.stop();
        self.state.stop();
    }

    /// Finishes what waits and what is done at drain. The log goes first: its dead letters go to the state store.
    pub fn drain(self) {
        self.log.drain();
        self.state.drain();
    }
}

/// One budget for all sinks of the process.
fn retry_budget(plan: &Plan) -> RetryBudget {
    let rate = u32::try_from(plan.retry.retries_per_second_max.get()).unwrap_or(u32::MAX);
    NonZeroU32::new(rate).map_or_else(RetryBudget::default, RetryBudget::per_second)
}

fn settings(plan: &Plan, name: &'static str, rows_max: usize) -> WriterSettings {
    WriterSettings {
        rows_max,
        queue_jobs_max: 64 + plan.workers.get() * 2 * CONCURRENT,
        breaker_opens_after: u32::try_from(plan.retry.attempts_before_breaker.get())
            .unwrap_or(u32::MAX),
        retry: RetryPolicy {
            base: plan.retry.base,
            cap: plan.retry.cap,
            budget: plan.max_outage,
        },
        attempt_limit: plan.retry.attempt_deadline,
        seed: RandomState::new().hash_one(name),
        ..WriterSettings::new(name)
    }
}

/// The ways into the writers; cheap to clone.
#[derive(Clone)]
pub struct Sinks {
    state: WriterHandle<StateTarget>,
    log: WriterHandle<LogTarget>,
    pace: LogPace,
}

impl Sinks {
    /// What the log asks of its windows.
    pub const fn pace(&self) -> &LogPace {
        &self.pace
    }

    /// The state store's other calls.
    pub fn state(&self) -> StateHandle {
        StateHandle::new(self.state.clone())
    }

    /// The log's, for late matches.
    pub fn log(&self) -> LogHandle {
        LogHandle::new(self.log.clone())
    }

    /// How the writers are, by name.
    pub fn statuses(&self) -> [&Arc<SinkStatus>; 2] {
        [self.state.status(), self.log.status()]
    }

    /// One worker's settings for its write operators.
    pub fn worker_handles(
        &self,
        clock: &Arc<dyn Clock>,
        pressed: &Arc<AtomicBool>,
        forgotten: &Forgotten,
        counts: &WorkerMetrics,
    ) -> SinkHandles {
        SinkHandles {
            state: self.state.clone(),
            log: self.log.clone(),
            pace: self.pace.clone(),
            clock: Arc::clone(clock),
            pressed: Arc::clone(pressed),
            forgotten: Rc::clone(forgotten),
            counts: Rc::clone(counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        crate::config::load(None, &Default::default(), &[])
            .unwrap()
            .plan
    }

    #[test]
    fn each_writer_waits_with_a_seed_of_its_own() {
        let plan = plan();
        let seeds = [(); 8].map(|()| settings(&plan, "state", 1).seed);
        let different: std::collections::BTreeSet<u64> = seeds.into_iter().collect();
        assert_eq!(different.len(), seeds.len());
    }

    #[test]
    fn the_retry_budget_is_the_configured_one() {
        let mut plan = plan();
        plan.retry.retries_per_second_max = std::num::NonZeroUsize::MIN;
        let (budget, now) = (retry_budget(&plan), std::time::Duration::from_secs(1));
        assert!(budget.reserve(now).is_zero());
        assert_eq!(budget.reserve(now), std::time::Duration::from_secs(1));
    }
}
