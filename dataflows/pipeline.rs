//! What every program shares: records become events, events become rows, and what is durable in every sink is settled.

use timely::dataflow::operators::{Concatenate, Probe};
use timely::dataflow::{ProbeHandle, Scope, StreamVec};

use super::Parts;
use crate::decode::operator::decoded;
use crate::dedup::dedup;
use crate::enrich::arrangement::arrange;
use crate::enrich::lookup::enrich;
use crate::epoch::Epoch;
use crate::event::Event;
use crate::sink::operator::write;
use crate::sink::rows::fan_out;
use crate::source::bridge::bridge;

/// Builds the dataflow; `select` decides which events it is about. The probe's frontier says what is settled.
pub fn build<'scope>(
    scope: Scope<'scope, Epoch>,
    parts: Parts,
    select: impl FnOnce(StreamVec<'scope, Epoch, Event>) -> StreamVec<'scope, Epoch, Event>,
) -> ProbeHandle<Epoch> {
    let before_writers = parts.bridge.before_writers.clone();
    let runs = bridge(scope, parts.bridge);
    let (events, rejects) = decoded(runs, parts.decode);
    let events = dedup(select(events), parts.dedup, parts.forgotten);
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
