//! Where a partition begins: at what the group has committed, or where the settings say if it has committed nothing.
//!
//! Nothing is ever skipped silently. A commit that the partition no longer reaches (messages were dropped before they were read, or
//! the topic was made anew) is a loss, and [`OnLost`] says what follows. A beginning that the settings chose is committed at once,
//! so that it is chosen once in a group's life.

use super::config::{OnLost, StartOffset};

/// What the brokers say of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// What the group has committed.
    pub committed: Option<u64>,
    /// The oldest message.
    pub low: u64,
    /// Where the next message goes.
    pub high: u64,
    /// The first message of the time that [`StartOffset::Time`] names; none if all are older.
    pub at_time: Option<u64>,
    /// The group has committed something of another partition of the topic: this one was added later.
    pub is_added: bool,
}

/// Where a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStart {
    /// The first offset that is read.
    pub offset: u64,
    /// It was chosen here and is to be committed.
    pub is_chosen: bool,
    /// How many messages were dropped before they were read: at least one, where that is not known.
    pub lost: u64,
}

/// Decides where a partition begins. The error is the number of lost messages, where the settings say that a loss ends the job.
pub fn choose(
    found: &PartitionOffsets,
    start: StartOffset,
    on_lost: OnLost,
) -> Result<PartitionStart, u64> {
    let PartitionOffsets { low, high, .. } = *found;
    let Some(committed) = found.committed else {
        let offset = match start {
            StartOffset::Latest if !found.is_added => high,
            StartOffset::Earliest | StartOffset::Latest => low,
            StartOffset::Time(_) => found.at_time.unwrap_or(high),
        };
        return Ok(PartitionStart {
            offset,
            is_chosen: true,
            lost: 0,
        });
    };
    let lost = match committed {
        committed if committed < low => low - committed,
        committed if committed > high => 1,
        _ => 0,
    };
    match (lost, on_lost) {
        (0, _) => Ok(PartitionStart {
            offset: committed,
            is_chosen: false,
            lost,
        }),
        (lost, OnLost::Earliest) => Ok(PartitionStart {
            offset: low,
            is_chosen: true,
            lost,
        }),
        (lost, OnLost::Stop) => Err(lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Millis;

    const FRESH: PartitionOffsets = PartitionOffsets {
        committed: None,
        low: 10,
        high: 20,
        at_time: Some(15),
        is_added: false,
    };

    fn at(found: &PartitionOffsets, start: StartOffset) -> (u64, bool) {
        let chosen = choose(found, start, OnLost::Stop).unwrap();
        (chosen.offset, chosen.is_chosen)
    }

    #[test]
    fn a_group_that_committed_nothing_begins_where_it_is_told() {
        assert_eq!(at(&FRESH, StartOffset::Earliest), (10, true));
        assert_eq!(at(&FRESH, StartOffset::Latest), (20, true));
        assert_eq!(at(&FRESH, StartOffset::Time(Millis(1))), (15, true));
        let old = PartitionOffsets {
            at_time: None,
            ..FRESH
        };
        assert_eq!(at(&old, StartOffset::Time(Millis(1))), (20, true));
        let added = PartitionOffsets {
            is_added: true,
            ..FRESH
        };
        assert_eq!(at(&added, StartOffset::Latest), (10, true));
    }

    #[test]
    fn what_is_committed_counts_and_a_loss_is_never_silent() {
        for good in [10, 15, 20] {
            let found = PartitionOffsets {
                committed: Some(good),
                ..FRESH
            };
            assert_eq!(at(&found, StartOffset::Latest), (good, false));
        }
        for (committed, lost) in [(7, 3), (21, 1)] {
            let found = PartitionOffsets {
                committed: Some(committed),
                ..FRESH
            };
            assert_eq!(choose(&found, StartOffset::Latest, OnLost::Stop), Err(lost));
            let begun = choose(&found, StartOffset::Latest, OnLost::Earliest).unwrap();
            assert_eq!(
                (begun.offset, begun.lost, begun.is_chosen),
                (10, lost, true)
            );
        }
    }
}
