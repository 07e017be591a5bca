//! Replay: a history that ends, or a range of its time: the live dataflow with one more operator.
//!
//! ```text
//! bridge ─► decode ─► select ─► dedup ─► enrich ─► fan out ─► write state ─┐
//!              │                           ▲            └───► write log ───┼─► settled
//!              │                       recipients                          │
//!              └──────────────────────────────────────────► write rejects ─┘
//! ```

use timely::dataflow::ProbeHandle;
use timely::dataflow::Scope;

use super::{Parts, pipeline};
use crate::epoch::Epoch;
use crate::select::select;

/// Builds the dataflow over the events of a time range; the probe's frontier says what is settled.
pub fn build(scope: Scope<'_, Epoch>, parts: Parts) -> ProbeHandle<Epoch> {
    let range = parts.range;
    pipeline::build(scope, parts, |events| select(events, range))
}
