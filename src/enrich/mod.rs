//! Whose event is it: the join of events against recipient snapshots.

pub mod arrangement;
pub mod directory;
pub mod lookup;

pub use crate::sink::state::{Mapping, RowId};
