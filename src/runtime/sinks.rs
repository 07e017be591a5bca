//! The writer threads of a job, and each worker's way to them.

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
use crate::sink::outlet::{CONCURRENT, Outlet};
use crate::sink::retry::RetryPolicy;
use crate::sink::writer::{
    self, LogHandle, LogTarget, SinkStatus, StateHandle, StateTarget, WriterHandle, WriterSettings,
    WriterThread,
};

/// Where the first fatal error of a writer is left for the job to find.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<Fatal>>>);

impl Trouble {
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
    /// What they could not bear.
    pub trouble: Trouble,
}

impl Writers {
    /// Starts a writer for each sink of a store.
    pub fn start(
        plan: &Plan,
        store: OpenStores,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Fatal> {
        let trouble = Trouble::default();
        let refused = |error: std::io::Error| {
            Fatal::new(Exit::Watchdog, format!("no writer thread: {error}"))
        };
        let spawn_error = |name| {
            let trouble = trouble.clone();
            move |fatal: Fatal| {
                tracing::error!(sink = name, error = %fatal, "a sink ended");
                trouble.leave(fatal);
            }
        };
        let settings = |name, rows_max, seed| settings(plan, name, rows_max, seed);
        let target = StateTarget::new(store.state, Arc::clone(metrics));
        let rows_max = plan.state_window.rows_max.get();
        let state = writer::spawn(
            &settings("state", rows_max, 1),
            target,
            Arc::clone(clock),
            spawn_error("state"),
        )
        .map_err(refused)?;
        let pace = store.log.pace().unwrap_or_default();
        let burier = StateHandle::new(state.handle().clone()).burier();
        let target = LogTarget::new(store.log, burier, Arc::clone(metrics));
        #[cfg(feature = "faults")]
        let target = {
            let state = StateHandle::new(state.handle().clone());
            target.asking(Box::new(move |events| {
                state.call(move |store| store.known(&events))
            }))
        };
        let rows_max = plan.log_window.rows_max.get();
        let log = writer::spawn(
            &settings("log", rows_max, 2),
            target,
            Arc::clone(clock),
            spawn_error("log"),
        )
        .map_err(refused)?;
        Ok(Self {
            state,
            log,
            pace,
            trouble,
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

    /// Finishes what waits and what is done at drain. The log goes first: its dead letters go to the state store.
    pub fn drain(self) {
        self.log.drain();
        self.state.drain();
    }
}

fn settings(plan: &Plan, name: &'static str, rows_max: usize, seed: u64) -> WriterSettings {
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
        seed,
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
    pub fn outlet(
        &self,
        clock: &Arc<dyn Clock>,
        pressed: &Arc<AtomicBool>,
        forgotten: &Forgotten,
        counts: &WorkerMetrics,
    ) -> Outlet {
        Outlet {
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
