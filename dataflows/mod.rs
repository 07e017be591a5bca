//! The programs: one file, one dataflow, one `build` function.
//!
//! A dataflow is built identically on every worker, so `build` is an ordinary function of the scope and its parts: it
//! composes operators and holds no logic and no I/O. The parts are what the runtime gives each worker. What all programs have in
//! common is built in one place (`pipeline`).

pub mod live;
mod pipeline;
pub mod replay;
pub mod throughput;

use std::sync::Arc;

use crate::decode::operator::DecodeContext;
use crate::dedup;
use crate::enrich::arrangement::Recipients;
use crate::epoch::Clock;
use crate::event::Reject;
use crate::log::LogRow;
use crate::metrics::WorkerMetrics;
use crate::select::Range;
use crate::sink::operator;
use crate::sink::outlet::{LogAnswer, RejectAnswer, StateAnswer};
use crate::sink::rows::StateRow;
use crate::source::bridge::Bridge;

/// What one worker builds its dataflow from.
pub struct Parts {
    /// Where deliveries come from.
    pub bridge: Bridge,
    /// How they are decoded.
    pub decode: DecodeContext,
    /// What memory remembers.
    pub dedup: dedup::Settings,
    /// Identities that the sinks dead-lettered.
    pub forgotten: dedup::Forgotten,
    /// Which events a replay is about.
    pub range: Range,
    /// Where recipients come from.
    pub recipients: Recipients,
    /// The job's clock.
    pub clock: Arc<dyn Clock>,
    /// The worker's counts.
    pub counts: WorkerMetrics,
    /// How state is written.
    pub state: operator::Settings<StateRow, StateAnswer>,
    /// How the log is written.
    pub log: operator::Settings<LogRow, LogAnswer>,
    /// How dead letters are written.
    pub rejects: operator::Settings<Reject, RejectAnswer>,
}
