//! Families that are one count each: what is counted, its name, and what is said of it.

use crate::metrics::{Counter, Gauge, SinkCounter};

/// Counters without a label.
pub(super) const COUNTERS: [(Counter, &str, &str); 21] = [
    (
        Counter::Settled,
        "webhooks_settled_total",
        "Deliveries that are durable in every sink.",
    ),
    (
        Counter::ReceivedBytes,
        "webhooks_received_bytes_total",
        "Bytes of the deliveries taken.",
    ),
    (
        Counter::Decoded,
        "webhook_events_total",
        "Events decoded from deliveries.",
    ),
    (
        Counter::LateTotalRefused,
        "webhook_late_total_refused_total",
        "Events older than what was pruned; they raised no totals.",
    ),
    (
        Counter::LateMatched,
        "webhook_late_matched_total",
        "Parked events whose recipient became known.",
    ),
    (
        Counter::RecipientsChanged,
        "webhook_recipients_changed_total",
        "Changes of recipients' state rows.",
    ),
    (
        Counter::Completions,
        "webhook_batch_completions_total",
        "Batches whose completion fired.",
    ),
    (
        Counter::DedupEvicted,
        "webhook_dedup_evicted_total",
        "Keys that left memory because it was full.",
    ),
    (
        Counter::DedupExpired,
        "webhook_dedup_expired_total",
        "Keys that left memory because their time was over.",
    ),
    (
        Counter::Checkpoints,
        "webhook_checkpoints_total",
        "Settled positions stored.",
    ),
    (
        Counter::Redelivered,
        "webhook_source_redelivered_total",
        "Messages that the broker delivered again.",
    ),
    (
        Counter::Acknowledged,
        "webhook_source_acknowledged_total",
        "Messages acknowledged, as the broker confirmed.",
    ),
    (
        Counter::AckUnconfirmed,
        "webhook_source_ack_unconfirmed_total",
        "Acknowledgements that the broker did not confirm.",
    ),
    (
        Counter::EnvelopeDiffers,
        "webhook_source_envelope_differs_total",
        "Messages whose headers and subject or key disagree; the headers are right.",
    ),
    (
        Counter::SourceLost,
        "webhook_source_lost_total",
        "Messages that the broker dropped before they were acknowledged.",
    ),
    (
        Counter::RecipientsRead,
        "webhook_recipients_read_total",
        "Rows read from the user's own tables, those of the overlap again and again.",
    ),
    (
        Counter::RecipientsLoaded,
        "webhook_recipients_loaded_total",
        "Recipients from the user's own tables that the store accepted as new.",
    ),
    (
        Counter::RecipientsRefused,
        "webhook_recipients_refused_total",
        "Rows of the user's own tables that were refused: unreadable, or contradicting an accepted one.",
    ),
    (
        Counter::RecipientPolls,
        "webhook_recipient_polls_total",
        "Looks at the user's own tables.",
    ),
    (
        Counter::RecipientPollsFailed,
        "webhook_recipient_polls_failed_total",
        "Looks at the user's own tables that failed; they are repeated.",
    ),
    (
        Counter::RecipientsFed,
        "webhook_recipients_fed_total",
        "Mappings handed to the workers, whoever loaded them.",
    ),
];

/// Counters of each sink.
pub(super) const SINKS: [(SinkCounter, &str, &str); 4] = [
    (
        SinkCounter::Batches,
        "webhook_sink_batches_total",
        "Durable writes.",
    ),
    (
        SinkCounter::Rows,
        "webhook_sink_rows_total",
        "Rows in durable writes.",
    ),
    (
        SinkCounter::Retries,
        "webhook_sink_retries_total",
        "Attempts that failed and were repeated.",
    ),
    (
        SinkCounter::BreakerOpened,
        "webhook_sink_breaker_opened_total",
        "Times the breaker opened.",
    ),
];

/// What is so at the moment.
pub(super) const GAUGES: [(Gauge, &str, &str); 7] = [
    (
        Gauge::OpenBytes,
        "webhook_queue_bytes",
        "Bytes of deliveries that are not yet durable in every sink.",
    ),
    (
        Gauge::OpenEpochs,
        "webhook_open_epochs",
        "Epochs that are not settled.",
    ),
    (
        Gauge::DedupKeys,
        "webhook_dedup_keys",
        "Keys that memory remembers.",
    ),
    (
        Gauge::Parked,
        "webhook_unmatched_parked",
        "Events parked until their recipient is known.",
    ),
    (
        Gauge::SourceLag,
        "webhook_source_lag",
        "Messages that wait at the broker, over all partitions of this member.",
    ),
    (
        Gauge::LogParts,
        "webhook_log_parts",
        "Active parts of the event log's table.",
    ),
    (
        Gauge::RecipientPollAge,
        "webhook_recipient_poll_age_seconds",
        "Seconds since the user's own tables were last read to their end; 0 where there are none.",
    ),
];
