//! Who an event is about: the recipients that the sender knows, and the join of events with them.
//!
//! * [`snapshot`]: recipients and batches from files, in chunks that never end inside a message;
//! * [`tables`]: the same from the user's own tables in Postgres or ClickHouse;
//! * [`directory`]: the decision to which state row an event belongs;
//! * [`arrangement`]: what is known of recipients as differential arrangements;
//! * [`lookup`]: the half join of events with them.
//!
//! Contract: rows come from here and from nowhere else, never from events; a bad row is reported by file, line and reason and
//! the rest goes on, but a file that lacks a column is refused as a whole.

pub mod arrangement;
pub mod directory;
pub mod lookup;
pub mod snapshot;
pub mod tables;

pub use crate::recipient::{Mapping, RowId};
