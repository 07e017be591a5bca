//! The decode operator: records in, events and rejects out.
//!
//! * **Pact**: none (pipeline): decoding happens on whichever worker took the parcel, so it scales with the workers.
//! * **State**: none between calls. **Capabilities**: none held.
//! * **Cost**: the parse of an envelope and a body; this is the most expensive step of the job.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::{Decoded, Options, decode};
use crate::epoch::Epoch;
use crate::event::{Event, Reject};
use crate::source::envelope::parse_line;
use crate::source::ledger::Ledger;
use crate::source::{EnvelopeDefaults, Record};

/// What decoding a container of records yielded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records taken.
    pub deliveries: u64,
    /// Raw bytes taken.
    pub bytes: u64,
    /// Events made of them.
    pub events: u64,
    /// Rejects made of them.
    pub rejects: u64,
    /// Deliveries that held neither.
    pub control: u64,
}

/// What one worker's decoding needs.
#[derive(Clone)]
pub struct Settings {
    /// Limits and names.
    pub options: Arc<Options>,
    /// What envelopes leave out.
    pub defaults: Arc<EnvelopeDefaults>,
    /// Told of every container.
    pub count: Arc<dyn Fn(Counts) + Send + Sync>,
    /// The bridge's ledger: a delivery that holds many events weighs as many.
    pub ledger: Rc<RefCell<Ledger>>,
}

/// Decodes records into events and rejects.
pub fn decoded<'scope>(
    records: StreamVec<'scope, Epoch, Record>,
    settings: Settings,
) -> (StreamVec<'scope, Epoch, Event>, StreamVec<'scope, Epoch, Reject>) {
    let mut builder = OperatorBuilder::new("Decode".to_owned(), records.scope());
    let mut input = builder.new_input(records, Pipeline);
    let (events_out, events) = builder.new_output::<Vec<Event>>();
    let (rejects_out, rejects) = builder.new_output::<Vec<Reject>>();
    let mut events_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(events_out);
    let mut rejects_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rejects_out);
    builder.build(move |_capabilities| {
        let mut decoded = Decoded::default();
        move |_frontiers| {
            let (mut events_out, mut rejects_out) = (events_out.activate(), rejects_out.activate());
            input.for_each(|cap, records| {
                let counts = decode_all(records, &settings, &mut decoded);
                if let Some(epoch) = cap.least() {
                    let more = counts.events.saturating_sub(counts.deliveries) as usize;
                    settings.ledger.borrow_mut().grow(*epoch, more);
                }
                (settings.count)(counts);
                events_out.session(&cap).give_iterator(decoded.events.drain(..));
                rejects_out.session(&cap).give_iterator(decoded.rejects.drain(..));
            });
        }
    });
    (events, rejects)
}

fn decode_all(records: &mut Vec<Record>, settings: &Settings, out: &mut Decoded) -> Counts {
    let mut counts = Counts::default();
    for record in records.drain(..) {
        let before = (out.events.len(), out.rejects.len());
        counts.deliveries += 1;
        counts.bytes += record.bytes() as u64;
        decode_one(record, settings, out);
        let after = (out.events.len(), out.rejects.len());
        counts.events += (after.0 - before.0) as u64;
        counts.rejects += (after.1 - before.1) as u64;
        counts.control += u64::from(before == after);
    }
    counts
}

fn decode_one(record: Record, settings: &Settings, out: &mut Decoded) {
    let delivery = match record {
        Record::Ready(delivery) => delivery,
        Record::Line(origin, text) => {
            let limit = settings.options.body_bytes_max;
            match parse_line(origin, &text, &settings.defaults, limit) {
                Ok(delivery) => Arc::new(delivery),
                Err(reject) => {
                    out.rejects.push(*reject);
                    return;
                }
            }
        }
    };
    decode(&delivery, &settings.options, out);
}
