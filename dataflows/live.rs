//! Live: a stream that does not end. What the sinks hold open is not committed at the source.
//!
//! ```text
//! bridge ─► decode ─► dedup ─► enrich ─► fan out ─► write state ─┐
//!              │                ▲             └───► write log ───┼─► settled
//!              │            recipients                           │
//!              └────────────────────────────────► write rejects ─┘
//! ```

use timely::dataflow::ProbeHandle;
use timely::dataflow::Scope;

use super::{Parts, pipeline};
use crate::epoch::Epoch;

/// Builds the dataflow over every event; the probe's frontier says what is settled.
pub fn build(scope: Scope<'_, Epoch>, parts: Parts) -> ProbeHandle<Epoch> {
    pipeline::build(scope, parts, |events| events)
}
