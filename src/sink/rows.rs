//! One enriched event becomes a row for each sink.
//!
//! * **Pact**: pipeline. **State**, **capabilities**: none.
//! * **Cost**: a few copied numbers; the event itself moves into the log's row. Only an unmatched one is cloned.

use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::writer::DeadLetterContext;
use crate::enrich::directory::Match;
use crate::enrich::lookup::Enriched;
use crate::epoch::Epoch;
use crate::event::{Event, Kind};
use crate::log::{LogRow, Version};
use crate::state::{Effect, StateEvent};

/// A row of the state store, and what its dead letter would be made from.
pub type StateRow = (StateEvent, DeadLetterContext);

/// The rows of one event. Pure.
pub fn rows(event: Event, found: Option<Match>) -> (StateRow, LogRow) {
    let version = if found.is_some() {
        Version::Matched
    } else {
        Version::Unmatched
    };
    let effect = match &found {
        _ if event.kind == Kind::Other => Effect::LogOnly,
        Some(found) => Effect::Apply(found.row),
        None => Effect::Park(Box::new(event.clone())),
    };
    let state = StateEvent {
        identity: event.identity,
        bucket: event.bucket,
        kind: event.kind,
        bounce_class: event.bounce_class,
        machine: event.machine,
        time: event.time(),
        effect,
    };
    let context = DeadLetterContext {
        delivery: Arc::clone(&event.delivery),
        index: event.index,
    };
    let (batch_id, recipient_id) = match found {
        Some(found) => (found.batch_id, found.recipient_id),
        None => Default::default(),
    };
    let log = LogRow {
        event,
        version,
        batch_id,
        recipient_id,
    };
    ((state, context), log)
}

/// Splits enriched events into the rows of the two sinks.
pub fn fan_out<'scope>(
    enriched: StreamVec<'scope, Epoch, Enriched>,
) -> (
    StreamVec<'scope, Epoch, StateRow>,
    StreamVec<'scope, Epoch, LogRow>,
) {
    let mut builder = OperatorBuilder::new("FanOut".to_owned(), enriched.scope());
    let mut input = builder.new_input(enriched, Pipeline);
    let (state_out, state) = builder.new_output::<Vec<StateRow>>();
    let (log_out, log) = builder.new_output::<Vec<LogRow>>();
    let mut state_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(state_out);
    let mut log_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(log_out);
    builder.build(move |_capabilities| {
        move |_frontiers| {
            let (mut state_out, mut log_out) = (state_out.activate(), log_out.activate());
            input.for_each(|cap, enriched| {
                let mut states = state_out.session(&cap);
                let mut logs = log_out.session(&cap);
                for (event, found) in enriched.drain(..) {
                    let (state, log) = rows(event, found);
                    if let Effect::Park(event) = &state.0.effect {
                        let (delivery, index) = (event.delivery.origin, event.index);
                        tracing::debug!(%delivery, index, "no recipient is known yet");
                    }
                    states.give(state);
                    logs.give(log);
                }
            });
        }
    });
    (state, log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::RowId;
    use crate::enrich::directory::tests::event;

    fn found() -> Option<Match> {
        Some(Match {
            row: RowId(7),
            batch_id: "b".into(),
            recipient_id: "r".into(),
        })
    }

    #[test]
    fn a_match_is_applied_and_logged_with_its_ids() {
        let ((state, _), log) = rows(event(1, "m", None, None), found());
        assert!(matches!(state.effect, Effect::Apply(RowId(7))));
        assert_eq!(
            (log.version, log.batch_id.as_str()),
            (Version::Matched, "b")
        );
    }

    #[test]
    fn a_miss_is_parked_and_logged_as_unmatched() {
        let ((state, _), log) = rows(event(1, "m", None, None), None);
        assert!(matches!(state.effect, Effect::Park(_)));
        assert_eq!(log.version, Version::Unmatched);
    }

    #[test]
    fn an_unknown_kind_is_logged_only_and_needs_no_recipient() {
        let mut other = event(1, "m", None, None);
        other.kind = Kind::Other;
        let ((state, _), _) = rows(other, None);
        assert!(matches!(state.effect, Effect::LogOnly));
    }

    #[test]
    fn an_unknown_kind_has_version_zero_while_its_recipient_is_unknown() {
        let mut other = event(1, "m", None, None);
        other.kind = Kind::Other;
        let (_, unknown) = rows(other.clone(), None);
        let (_, known) = rows(other, found());
        assert_eq!(
            (unknown.version, unknown.recipient_id.as_str()),
            (Version::Unmatched, "")
        );
        assert_eq!(
            (known.version, known.recipient_id.as_str()),
            (Version::Matched, "r")
        );
    }
}
