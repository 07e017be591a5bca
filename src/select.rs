//! Which events a replay is about: those of a range of time.
//!
//! * **Pact**: pipeline. **State**, **capabilities**: none. **Cost**: two comparisons an event.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Filter;

use crate::epoch::Epoch;
use crate::event::{Event, Millis};

/// A range of event time: from inclusive, to exclusive. An event without a time counts at its receive time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first moment.
    pub from: Option<Millis>,
    /// The first moment after it.
    pub to: Option<Millis>,
}

impl Range {
    /// Whether the event is in it.
    pub fn holds(&self, event: &Event) -> bool {
        let time = event.time();
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }
}

/// Keeps the events of a range.
pub fn select<'scope>(
    events: StreamVec<'scope, Epoch, Event>,
    range: Range,
) -> StreamVec<'scope, Epoch, Event> {
    events.filter(move |event| range.holds(event))
}
