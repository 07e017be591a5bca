//! Throughput: the live dataflow over a generated load that ends.
//!
//! Whatever differed from the live graph would not be measured, so nothing does. With `--null-sinks` the writers
//! answer at once, and the graph itself is what costs.

use timely::dataflow::ProbeHandle;
use timely::dataflow::Scope;

use super::{Parts, live};
use crate::epoch::Epoch;

/// Builds the dataflow; the probe's frontier says what is settled.
pub fn build(scope: Scope<'_, Epoch>, parts: Parts) -> ProbeHandle<Epoch> {
    live::build(scope, parts)
}
