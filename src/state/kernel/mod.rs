//! What every state store decides alike, without a database: pure functions over plain values.
//!
//! A store is the SQL beneath these steps of a write:
//!
//! 1. `LedgerKeys`: the keys to insert, and from the answer a `LedgerVerdict` for each event.
//! 2. `Parking`: which parked rows to delete and which events to park.
//! 3. `RowPatch`: one patch for each state row: flags, earliest and latest times, counted events.
//! 4. `RowPatch::settle`: from a row's flags before and after the patch to `BatchDeltas` and outcomes.
//!
//! And of a load: `JudgedChunk` (which mappings are accepted), `SealDecision` (what the end of a load does to a batch).

mod dead_letters;
mod flags;
mod fold;
mod ledger;
mod loading;
mod parking;
mod patch;
mod sealing;

pub(super) use dead_letters::in_key_order;
pub use flags::{FLAG_COUNT, Flag, Flags, Status, flag_of};
pub use fold::{Deltas, EventTotals, RowState, Transition};
pub(super) use ledger::{LedgerKey, LedgerKeys, LedgerVerdict, initial_outcomes, is_late};
pub(super) use loading::{JudgedChunk, MessageKey};
pub(super) use parking::{ParkRequest, Parking};
pub(super) use patch::{BatchDeltas, RowChange, RowPatch, patches};
pub(super) use sealing::{
    BatchProgress, BatchSeal, BatchTerms, LoadEnding, SealDecision, SealRequest, seal_requests,
};

/// The bug of an event that names a row which only a load could have made.
pub(super) const ROW_MISSING: &str = "an event names a state row that the store does not hold";
