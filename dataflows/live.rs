//! Live: a stream that does not end. Everything the sinks hold open holds its position at the source.
//!
//! ```text
//! bridge ─► decode ─► dedup ─► enrich ─► fan out ─► write state ─┐
//!              │                ▲             └───► write log ───┼─► settled
//!              │            recipients                           │
//!              └────────────────────────────────► write rejects ─┘
//! ```

use timely::dataflow::ProbeHandle;
use timely::dataflow::Scope;
use timely::dataflow::operators::{Concatenate, Probe};

use super::Parts;
use crate::decode::operator::decoded;
use crate::dedup::dedup;
use crate::enrich::arrangement::arrange;
use crate::enrich::lookup::enrich;
use crate::epoch::Epoch;
use crate::sink::operator::write;
use crate::sink::rows::fan_out;
use crate::source::bridge::bridge;

/// Builds the dataflow; the probe's frontier says what is settled.
pub fn build(scope: Scope<'_, Epoch>, parts: Parts) -> ProbeHandle<Epoch> {
    let before_writers = parts.bridge.before_writers.clone();
    let runs = bridge(scope, parts.bridge);
    let (events, rejects) = decoded(runs, parts.decode);
    let events = dedup(events, parts.dedup, parts.forgotten);
    let recipients = arrange(scope, parts.recipients, parts.clock);
    let enriched = enrich(events, recipients, parts.counts);
    let (state, log) = fan_out(enriched);
    let written = [
        write(state.probe_with(&before_writers), parts.state),
        write(log.probe_with(&before_writers), parts.log),
        write(rejects.probe_with(&before_writers), parts.rejects),
    ];
    scope.concatenate(written).probe().0
}
