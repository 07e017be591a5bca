//! A replay of a broker's past: from where, and up to when.

use crate::event::Millis;

/// Where a replay begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplayStart {
    /// With the oldest message.
    #[default]
    Beginning,
    /// With the first message that the broker took at this time or later.
    Time(Millis),
    /// With this offset (for NATS a sequence of the stream).
    Offset(u64),
}

/// Which messages are replayed: those that the broker holds when the replay begins, within this range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayRange {
    /// The first.
    pub start: ReplayStart,
    /// Messages that the broker took at this time or later are left out.
    pub until: Option<Millis>,
}
