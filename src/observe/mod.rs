//! Watching a job: what it counts, whether it is well, and what it did.
//!
//! * [`prometheus`], [`http`]: the metrics for Prometheus, health and readiness for supervisors;
//! * [`health`], [`watchdog`]: pure judgements: ready or not and why; moving or standing still;
//! * [`logs`], [`progress`], [`loading`], [`summary`]: text for people, and JSON for programs.
//!
//! Contract: everything here reads the [`Metrics`](crate::metrics::Metrics) and the [`Board`]; nothing here can slow or stop a
//! job. No address, payload or secret appears in any output of this module.

mod board;
pub mod health;
pub mod http;
pub mod loading;
pub mod logs;
pub mod numbers;
pub mod progress;
pub mod prometheus;
pub mod summary;
pub mod usage;
pub mod watchdog;

pub use board::Board;
