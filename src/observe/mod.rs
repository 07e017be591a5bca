//! Watching a job: what it counts, whether it is well, and what it did.
//!
//! * [`metrics`], [`http`]: the tally for Prometheus, health and readiness for supervisors;
//! * [`health`], [`watchdog`]: pure judgements: ready or not and why; moving or standing still;
//! * [`logs`], [`progress`], [`loading`], [`summary`]: text for people, and JSON for programs.
//!
//! Contract: everything here reads the [`Tally`](crate::tally::Tally) and the [`Board`]; nothing here can slow or stop a
//! job. No address, payload or secret appears in any output of this room.

mod board;
pub mod health;
pub mod http;
pub mod loading;
pub mod logs;
pub mod metrics;
pub mod numbers;
pub mod progress;
pub mod summary;
pub mod usage;
pub mod watchdog;

pub use board::Board;
