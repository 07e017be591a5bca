//! What is counted: closed sets, so that a counter is a place in an array and a label can never grow without bound.

use crate::event::ReasonCode;

macro_rules! closed_set {
    ($(#[$doc:meta])* $type:ident { $($(#[$each:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $($(#[$each])* $name,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: &'static [$type] = &[$($type::$name,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name used in outputs.
            pub const fn name(self) -> &'static str {
                match self { $($type::$name => $text,)* }
            }
        }
    };
}

closed_set! {
    /// What only ever grows.
    Counter {
        /// Deliveries taken from the source.
        Received = "received",
        /// Deliveries that are durable in every sink: what the watchdog takes for progress.
        Settled = "settled",
        /// Bytes of them.
        ReceivedBytes = "received_bytes",
        /// Events decoded.
        Decoded = "decoded",
        /// Deliveries that held no event.
        Control = "control",
        /// Events dropped by the memory layer.
        DuplicateMemory = "duplicate_memory",
        /// Events that the state store knew already.
        DuplicateStore = "duplicate_store",
        /// Events folded into a recipient's state.
        Applied = "applied",
        /// Events parked because no recipient was known when they came.
        Unmatched = "unmatched",
        /// Events of a kind that counts for nothing.
        LoggedOnly = "logged_only",
        /// Events older than what was pruned; they raised no totals.
        LateTotalRefused = "late_total_refused",
        /// Parked events (of this job or an earlier one) that were applied later; not among the applied.
        LateMatched = "late_matched",
        /// Joins that found their recipient.
        LookupHit = "lookup_hit",
        /// Joins that did not.
        LookupMiss = "lookup_miss",
        /// State rows that changed.
        RecipientsChanged = "recipients_changed",
        /// Batches whose completion fired.
        Completions = "completions",
        /// Keys that left memory because it was full.
        DedupEvicted = "dedup_evicted",
        /// Keys that left memory because their time was over.
        DedupExpired = "dedup_expired",
        /// Settled positions stored.
        Checkpoints = "checkpoints",
        /// Messages that the broker delivered again.
        Redelivered = "redelivered",
        /// Messages acknowledged, as the broker confirmed.
        Acknowledged = "acknowledged",
        /// Acknowledgements that the broker did not confirm; they are sent again or redelivered.
        AckUnconfirmed = "ack_unconfirmed",
        /// Messages whose headers and subject or key disagree; the headers are right.
        EnvelopeDiffers = "envelope_differs",
        /// Messages that the broker dropped before they were acknowledged.
        SourceLost = "source_lost",
        /// Rows read from the user's own tables, those of the overlap again and again.
        RecipientsRead = "recipients_read",
        /// Recipients from there that the store accepted as new.
        RecipientsLoaded = "recipients_loaded",
        /// Rows from there that were refused: unreadable, or contradicting an accepted one.
        RecipientsRefused = "recipients_refused",
        /// Looks at the user's own tables.
        RecipientPolls = "recipient_polls",
        /// Looks that failed; they are repeated.
        RecipientPollsFailed = "recipient_polls_failed",
        /// Mappings handed to the workers, whoever loaded them.
        RecipientsFed = "recipients_fed",
    }
}

closed_set! {
    /// What goes up and down.
    Gauge {
        /// Events that are not yet durable in every sink.
        OpenEvents = "open_events",
        /// Bytes of the deliveries that are not.
        OpenBytes = "open_bytes",
        /// Epochs that are not settled.
        OpenEpochs = "open_epochs",
        /// Keys that memory remembers.
        DedupKeys = "dedup_keys",
        /// Events parked in the state store.
        Parked = "parked",
        /// Messages that wait at the broker, over all partitions of this member.
        SourceLag = "source_lag",
        /// Active parts of the event log's table.
        LogParts = "log_parts",
        /// Seconds since the user's own tables were last read to their end; 0 where there are none.
        RecipientPollAge = "recipient_poll_age",
    }
}

closed_set! {
    /// A part of an event's way whose duration is measured.
    Step {
        /// Reading a delivery's body.
        Decode = "decode",
        /// Asking memory about a group of events.
        Dedup = "dedup",
        /// Joining a group of events with the recipients.
        Enrich = "enrich",
        /// One write of the state store.
        StateWrite = "state_write",
        /// One write of the event log.
        LogWrite = "log_write",
        /// One write of dead letters.
        RejectWrite = "reject_write",
        /// From reading a delivery to its being durable in every sink.
        Settle = "settle",
        /// From when a broker took a message to its being durable in every sink, by the clocks of both.
        EndToEnd = "end_to_end",
    }
}

closed_set! {
    /// A sink.
    Sink {
        /// The state store.
        State = "state",
        /// The event log.
        Log = "log",
        /// The dead letters.
        Reject = "reject",
    }
}

closed_set! {
    /// What is counted of a sink.
    SinkCounter {
        /// Writes that are durable.
        Batches = "batches",
        /// Rows in them.
        Rows = "rows",
        /// Attempts that failed and were repeated.
        Retries = "retries",
        /// Times its breaker opened.
        BreakerOpened = "breaker_opened",
    }
}

/// The reasons of dead letters, in the order of their places.
pub(super) const REASONS: [ReasonCode; 10] = [
    ReasonCode::BadDelivery,
    ReasonCode::UnknownProvider,
    ReasonCode::BadEncoding,
    ReasonCode::Limit,
    ReasonCode::BadSyntax,
    ReasonCode::BadShape,
    ReasonCode::NoIdentity,
    ReasonCode::BadIdentity,
    ReasonCode::Refused,
    ReasonCode::Poison,
];

/// The place of a reason; exhaustive, so a new reason cannot be forgotten here.
pub(super) const fn reason_place(code: ReasonCode) -> usize {
    match code {
        ReasonCode::BadDelivery => 0,
        ReasonCode::UnknownProvider => 1,
        ReasonCode::BadEncoding => 2,
        ReasonCode::Limit => 3,
        ReasonCode::BadSyntax => 4,
        ReasonCode::BadShape => 5,
        ReasonCode::NoIdentity => 6,
        ReasonCode::BadIdentity => 7,
        ReasonCode::Refused => 8,
        ReasonCode::Poison => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place() {
        for (place, code) in REASONS.into_iter().enumerate() {
            assert_eq!(reason_place(code), place);
        }
    }
}
