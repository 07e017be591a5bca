//! What people and oracles see of a store: plain structs, times in RFC 3339.
//!
//! [`Export`] is the whole comparable state, sorted by key: two stores that saw the same set of events export the same, but
//! for the moments of completion. [`diff`] is what a dry run prints.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::kernel::{EventTotals, FLAG_COUNT, Flag, RowState};
use super::{LatePage, Mapping, MappingCursor};
use crate::error::SinkError;
use crate::event::Millis;
use crate::key::Identity;

fn rfc3339<S: Serializer>(at: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn rfc3339_option<S: Serializer>(at: &Option<Millis>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}

/// The first and last time of one flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The earliest event.
    #[serde(serialize_with = "rfc3339")]
    pub first: Millis,
    /// The latest event.
    #[serde(serialize_with = "rfc3339")]
    pub last: Millis,
}

/// One message that was sent to a recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageView {
    /// Who carried it.
    pub provider: String,
    /// Its id as the snapshot gives it.
    pub message_id: String,
    /// The address, lower-cased.
    pub recipient: String,
    /// When it was sent, if known.
    #[serde(serialize_with = "rfc3339_option")]
    pub sent_at: Option<Millis>,
}

/// One state row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecipientView {
    /// The tenant.
    pub user: String,
    /// The batch; empty for transactional mail.
    pub batch_id: String,
    /// The recipient within the batch.
    pub recipient_id: String,
    /// The highest flag.
    pub status: &'static str,
    /// Each flag that is set, with its first and last time.
    pub flags: BTreeMap<&'static str, Span>,
    /// The messages that map to it; empty in an [`Export`].
    pub messages: Vec<MessageView>,
}

impl RecipientView {
    /// The flags of a fold with their times.
    pub fn spans(state: &RowState) -> BTreeMap<&'static str, Span> {
        let span = |flag: Flag| Span {
            first: state.first[flag.index()],
            last: state.last[flag.index()],
        };
        state
            .flags
            .iter()
            .map(|flag| (flag.name(), span(flag)))
            .collect()
    }
}

/// One batch with its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchView {
    /// The tenant.
    pub user: String,
    /// The batch.
    pub batch_id: String,
    /// How many recipients it has, if that is known.
    pub total: Option<u64>,
    /// When its total became final.
    #[serde(serialize_with = "rfc3339_option")]
    pub sealed_at: Option<Millis>,
    /// When it completes at the latest.
    #[serde(serialize_with = "rfc3339_option")]
    pub deadline: Option<Millis>,
    /// How often its total was sealed or changed.
    pub generation: u64,
    /// Its distinct state rows; no counter passes it.
    pub recipients: u64,
    /// Recipients that are finished.
    pub finished: u64,
    /// Distinct recipients per flag.
    pub unique: BTreeMap<&'static str, u64>,
    /// Counts of events.
    pub totals: EventTotals,
    /// When this generation completed.
    #[serde(serialize_with = "rfc3339_option")]
    pub completed_at: Option<Millis>,
    /// Why: `all` or `deadline`.
    pub cause: Option<String>,
}

impl BatchView {
    /// The counters by the names of their flags.
    pub fn by_flag(unique: &[u64; FLAG_COUNT]) -> BTreeMap<&'static str, u64> {
        Flag::ALL
            .into_iter()
            .map(|flag| (flag.name(), unique[flag.index()]))
            .collect()
    }
}

/// One row of the completion outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompletionView {
    /// The tenant.
    pub user: String,
    /// The batch.
    pub batch_id: String,
    /// Which sealing of it.
    pub generation: u64,
    /// `all` or `deadline`.
    pub cause: String,
    /// When it fired.
    #[serde(serialize_with = "rfc3339")]
    pub completed_at: Millis,
    /// When the relay delivered it.
    #[serde(serialize_with = "rfc3339_option")]
    pub delivered_at: Option<Millis>,
}

/// One parked event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnmatchedView {
    /// Its identity, in hexadecimal.
    pub identity: String,
    /// Who sent it.
    pub provider: String,
    /// The tenant.
    pub user: String,
    /// What happened.
    pub kind: &'static str,
    /// The message.
    pub message_id: String,
    /// The address, if the event says it.
    pub recipient: Option<String>,
    /// When it happened, if the payload says.
    #[serde(serialize_with = "rfc3339_option")]
    pub occurred_at: Option<Millis>,
    /// When the copy that is parked was received.
    #[serde(serialize_with = "rfc3339")]
    pub received_at: Millis,
    /// When it was parked.
    #[serde(serialize_with = "rfc3339")]
    pub parked_at: Millis,
    /// How many copies came.
    pub attempts: u64,
    /// The delivery that held the parked copy, as the text logs name it.
    pub delivery: String,
}

/// One dead letter; raw bytes and headers only where one is asked for by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetterView {
    /// Its key, in hexadecimal.
    pub id: String,
    /// Empty if unknown.
    pub provider: String,
    /// Empty if unknown.
    pub user: String,
    /// Where it was refused.
    pub stage: String,
    /// Which element.
    pub index: u32,
    /// For programs.
    pub reason_code: String,
    /// For people.
    pub reason: String,
    /// SHA-256 of the whole body, in hexadecimal.
    pub body_sha256: String,
    /// How many copies came.
    pub attempts: u64,
    /// When the earliest copy was received.
    #[serde(serialize_with = "rfc3339")]
    pub first_seen: Millis,
    /// When the latest copy was stored: its age counts from here.
    #[serde(serialize_with = "rfc3339")]
    pub last_seen: Millis,
    /// The delivery that held the copy stored last, as the text logs of its run name it.
    pub delivery: String,
    /// The request's headers, as the text of a JSON object; bytes that are not UTF-8 are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
    /// The whole body or the bad element.
    #[serde(skip)]
    pub raw: Option<Vec<u8>>,
}

/// How much of everything a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreCounts {
    /// State rows.
    pub recipients: u64,
    /// Message mappings.
    pub messages: u64,
    /// Batches.
    pub batches: u64,
    /// Batches of which the current generation is complete.
    pub completed: u64,
    /// Identities in the ledger.
    pub ledger: u64,
    /// Parked events.
    pub unmatched: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// The whole comparable state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Export {
    /// By user, batch, recipient.
    pub recipients: Vec<RecipientView>,
    /// By user, batch.
    pub batches: Vec<BatchView>,
    /// By user, batch, generation.
    pub completions: Vec<CompletionView>,
    /// The hour below which the ledger was pruned.
    pub dropped_before: u32,
}

impl Export {
    /// Without what the promise leaves open: moments and causes of completions, and earlier firings.
    #[must_use]
    pub fn comparable(mut self) -> Self {
        for batch in &mut self.batches {
            batch.completed_at = batch.completed_at.map(|_| Millis(0));
            batch.cause = None;
        }
        self.completions.clear();
        self
    }
}

/// A read-only view of a store, for people, programs and oracles. It holds up nobody who writes.
pub trait StateReader: Send {
    /// See [`StateStore::mappings`](super::StateStore::mappings).
    fn mappings(
        &mut self,
        after: MappingCursor,
        limit: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError>;

    /// See [`StateStore::late_matches`](super::StateStore::late_matches). A page is read in one consistent moment.
    fn late_matches(&mut self, after: Identity, rows: usize) -> Result<LatePage, SinkError>;

    /// How many events are parked.
    fn parked(&mut self) -> Result<u64, SinkError>;

    /// The state rows that a recipient id, an address (without regard to case) or a message id names, with all their
    /// messages. May ask no index: for people, not for loops.
    fn recipient(&mut self, needle: &str) -> Result<Vec<RecipientView>, SinkError>;

    /// All batches with their counters, by user and id.
    fn batches(&mut self) -> Result<Vec<BatchView>, SinkError>;

    /// All completions, delivered or not.
    fn completions(&mut self) -> Result<Vec<CompletionView>, SinkError>;

    /// Everything that can be compared, for oracles and dry runs.
    fn export(&mut self) -> Result<Export, SinkError>;

    /// Parked events, the longest parked first.
    fn unmatched(&mut self, limit: u64) -> Result<Vec<UnmatchedView>, SinkError>;

    /// Dead letters without their bytes, the latest first.
    fn dead_letters(&mut self, limit: u64) -> Result<Vec<DeadLetterView>, SinkError>;

    /// One dead letter with headers and raw bytes, by its id in hexadecimal (or the beginning of it, if that names one).
    fn dead_letter(&mut self, id: &str) -> Result<Option<DeadLetterView>, SinkError>;

    /// How much of everything there is.
    fn counts(&mut self) -> Result<StoreCounts, SinkError>;
}

/// What a run changed, as a dry run reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateDiff {
    /// State rows that changed or are new.
    pub recipients_changed: u64,
    /// Batches that changed: before (none if new) and after.
    pub batches: Vec<(Option<BatchView>, BatchView)>,
}

/// Compares two exports of one store, taken before and after.
pub fn diff(before: &Export, after: &Export) -> StateDiff {
    let key = |row: &RecipientView| {
        let (user, batch, id) = (&row.user, &row.batch_id, &row.recipient_id);
        (user.clone(), batch.clone(), id.clone())
    };
    let old: BTreeMap<_, _> = before.recipients.iter().map(|r| (key(r), r)).collect();
    let changed = |row: &&RecipientView| old.get(&key(row)) != Some(row);
    StateDiff {
        recipients_changed: after.recipients.iter().filter(changed).count() as u64,
        batches: changed_batches(before, after),
    }
}

fn changed_batches(before: &Export, after: &Export) -> Vec<(Option<BatchView>, BatchView)> {
    let key = |batch: &BatchView| (batch.user.clone(), batch.batch_id.clone());
    let old: BTreeMap<_, _> = before.batches.iter().map(|b| (key(b), b)).collect();
    after
        .batches
        .iter()
        .map(|batch| (old.get(&key(batch)).copied(), batch))
        .filter(|(was, is)| *was != Some(*is))
        .map(|(was, is)| (was.cloned(), is.clone()))
        .collect()
}
