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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::directory::tests::event;

    #[test]
    fn a_range_goes_by_event_time_and_else_by_receive_time() {
        let range = Range {
            from: Some(Millis(5)),
            to: Some(Millis(7)),
        };
        let held = |occurred_at: Option<i64>, received_at: i64| {
            let mut event = event(1, "m", None, None);
            event.occurred_at = occurred_at.map(Millis);
            let delivery = std::sync::Arc::make_mut(&mut event.delivery);
            delivery.received_at = Millis(received_at);
            range.holds(&event)
        };
        let times: Vec<i64> = (0..10).filter(|at| held(Some(*at), 100)).collect();
        assert_eq!(times, [5, 6]);
        assert!(held(None, 6) && !held(None, 7));
    }
}
