//! The runtime: threads, start, supervision, drain.
//!
//! ```text
//! source thread ─► records ─► timely workers ─► batches ─► writer threads (state, log)
//!      ▲                           │ settled positions           ▲
//!      │ stop                      ▼                             │ checkpoints, late matches, loads
//!  the job (this thread) ◄── settlement thread ─────────── sweeper, loader
//! ```
//!
//! Contract: [`run`] returns when everything that was read is settled and what is done at drain is done, or with the
//! reason why that cannot be; a job that ends with an error leaves nothing acknowledged that is not durable.

mod completion_file;
mod completions;
mod housekeeping;
mod input;
mod job;
mod load;
mod loader;
mod outbox;
pub mod own_stores;
mod polls;
mod reads;
mod report;
pub mod request;
mod retention;
mod running;
mod sample;
mod settlement;
pub mod signals;
pub mod sinks;
pub mod store;
mod sweep_schedule;
mod sweeper;
mod tables;
mod watch;
mod workers;

pub use job::run;
pub use load::{LoadRequest, load};
pub use loader::Report as LoadReport;
pub use request::{Input, JobRequest, Rate, Sample, SinkMode, SnapshotFiles, TimeRange};
pub use sample::holds_only_sample;
pub use store::store_contents;
