//! The decode operator: records in, events and rejects out.
//!
//! * **Pact**: none (pipeline): decoding happens on whichever worker took the parcel, so it scales with the workers.
//! * **State**: none between calls. **Capabilities**: none held.
//! * **Cost**: the parse of an envelope and a body; this is the most expensive step of the job.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::{Decoded, Options, decode, poison};
use crate::epoch::Epoch;
use crate::event::{Delivery, Event, Reject};
use crate::metrics::{Counter, LocalMetrics, Step, WorkerMetrics};
use crate::quarantine::WorkerQuarantine;
use crate::source::envelope::parse_line;
use crate::source::in_flight::InFlight;
use crate::source::{EnvelopeDefaults, Record, Records, message};

/// What one worker's decoding needs.
#[derive(Clone)]
pub struct Settings {
    /// Limits and names.
    pub options: Arc<Options>,
    /// What envelopes leave out.
    pub defaults: Arc<EnvelopeDefaults>,
    /// The worker's counts.
    pub counts: WorkerMetrics,
    /// The bridge's ledger: a delivery that holds many events weighs as many.
    pub ledger: Rc<RefCell<InFlight>>,
    /// Names what is decoded.
    pub quarantine: Rc<RefCell<WorkerQuarantine>>,
}

/// Decodes records into events and rejects.
pub fn decoded<'scope>(
    runs: StreamVec<'scope, Epoch, Records>,
    settings: Settings,
) -> (
    StreamVec<'scope, Epoch, Event>,
    StreamVec<'scope, Epoch, Reject>,
) {
    let mut builder = OperatorBuilder::new("Decode".to_owned(), runs.scope());
    let mut input = builder.new_input(runs, Pipeline);
    let (events_out, events) = builder.new_output::<Vec<Event>>();
    let (rejects_out, rejects) = builder.new_output::<Vec<Reject>>();
    let mut events_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(events_out);
    let mut rejects_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rejects_out);
    builder.build(move |_capabilities| {
        let mut decoded = Decoded::default();
        move |_frontiers| {
            let (mut events_out, mut rejects_out) = (events_out.activate(), rejects_out.activate());
            input.for_each(|cap, runs| {
                let deliveries = runs.iter().map(|run| run.records.len()).sum();
                decode_all(runs, &settings, &mut decoded);
                if let Some(epoch) = cap.least() {
                    let more = decoded.events.len().saturating_sub(deliveries);
                    settings.ledger.borrow_mut().grow(*epoch, more);
                }
                events_out
                    .session(&cap)
                    .give_iterator(decoded.events.drain(..));
                rejects_out
                    .session(&cap)
                    .give_iterator(decoded.rejects.drain(..));
            });
        }
    });
    (events, rejects)
}

fn decode_all(runs: &mut Vec<Records>, settings: &Settings, out: &mut Decoded) {
    let mut counts = settings.counts.borrow_mut();
    let started = Instant::now();
    let mut deliveries = 0;
    for run in runs.drain(..) {
        deliveries += run.records.len() as u64;
        decode_run(run, settings, &mut counts, out);
    }
    counts.count(Counter::Received, deliveries);
    counts.count(Counter::Decoded, out.events.len() as u64);
    if let Ok(divisor) = u32::try_from(deliveries.max(1)) {
        counts.took(Step::Decode, started.elapsed() / divisor, deliveries);
    }
}

/// Decodes a run; what is being decoded is named in the worker's slot.
fn decode_run(run: Records, settings: &Settings, counts: &mut LocalMetrics, out: &mut Decoded) {
    let quarantine = settings.quarantine.borrow();
    let (mut bytes, mut control) = (0, 0);
    let mut records = run.records.into_iter();
    while !records.as_slice().is_empty() {
        let named = quarantine.enter(run.partition, records.as_slice());
        for record in records.by_ref().take(named) {
            bytes += record.bytes() as u64;
            if quarantine.is_poison(run.partition, &record) {
                out.rejects
                    .push(poison::dead_letter(&record, &settings.defaults));
                continue;
            }
            let before = (out.events.len(), out.rejects.len());
            decode_one(record, settings, counts, out);
            control += u64::from(before == (out.events.len(), out.rejects.len()));
        }
    }
    quarantine.leave();
    counts.count(Counter::ReceivedBytes, bytes);
    counts.count(Counter::Control, control);
}

fn decode_one(record: Record, settings: &Settings, counts: &mut LocalMetrics, out: &mut Decoded) {
    let before = out.rejects.len();
    match read(record, settings, counts) {
        Ok(delivery) => {
            #[cfg(feature = "faults")]
            crate::failpoint::faults::decoding(&delivery.body);
            counts.provider(delivery.provider.as_str(), 1);
            decode(&delivery, &settings.options, out);
        }
        Err(reject) => {
            counts.provider(reject.provider.as_str(), 1);
            out.rejects.push(*reject);
        }
    }
    told(out.rejects.get(before..).unwrap_or_default());
}

fn told(rejects: &[Reject]) {
    for reject in rejects {
        tracing::debug!(
            delivery = %reject.origin,
            index = reject.index,
            stage = reject.stage.name(),
            reason = %reject.reason,
            "rejected"
        );
    }
}

/// Reads a record's envelope, in whatever form it came.
fn read(
    record: Record,
    settings: &Settings,
    counts: &mut LocalMetrics,
) -> Result<Arc<Delivery>, Box<Reject>> {
    let limit = settings.options.body_bytes_max;
    match record {
        Record::Ready(delivery) => Ok(delivery),
        Record::Line(origin, text) => {
            parse_line(origin, &text, &settings.defaults, limit).map(Arc::new)
        }
        Record::Message(message) => {
            let parsed = message::parse(&message, &settings.defaults, limit)?;
            counts.count(Counter::EnvelopeDiffers, u64::from(parsed.differs));
            Ok(Arc::new(parsed.delivery))
        }
    }
}
