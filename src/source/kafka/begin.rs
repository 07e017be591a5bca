//! Where a partition begins: at what the group has committed, or where the settings say if it has committed nothing.
//!
//! Nothing is ever skipped silently. A commit that the partition no longer reaches (messages were dropped before they were read, or
//! the topic was made anew) is a loss, and [`OnLost`] says what follows. A beginning that the settings chose is committed at once,
//! so that it is chosen once in a group's life.

use super::settings::{OnLost, Start};

/// What the brokers say of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the group has committed.
    pub committed: Option<u64>,
    /// The oldest message.
    pub low: u64,
    /// Where the next message goes.
    pub high: u64,
    /// The first message of the time that [`Start::Time`] names; none if all are older.
    pub at_time: Option<u64>,
    /// The group has committed something of another partition of the topic: this one was added later.
    pub is_added: bool,
}

/// Where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The first offset that is read.
    pub at: u64,
    /// It was chosen here and is to be committed.
    pub is_chosen: bool,
    /// How many messages were dropped before they were read: at least one, where that is not known.
    pub lost: u64,
}

/// Decides it; none where the settings say that a loss ends the job.
pub fn begin(standing: &Standing, start: Start, on_lost: OnLost) -> Result<Begin, u64> {
    let Standing { low, high, .. } = *standing;
    let Some(committed) = standing.committed else {
        let at = match start {
            Start::Latest if !standing.is_added => high,
            Start::Earliest | Start::Latest => low,
            Start::Time(_) => standing.at_time.unwrap_or(high),
        };
        return Ok(Begin {
            at,
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
        (0, _) => Ok(Begin {
            at: committed,
            is_chosen: false,
            lost,
        }),
        (lost, OnLost::Earliest) => Ok(Begin {
            at: low,
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

    const FRESH: Standing = Standing {
        committed: None,
        low: 10,
        high: 20,
        at_time: Some(15),
        is_added: false,
    };

    fn at(standing: &Standing, start: Start) -> (u64, bool) {
        let begin = begin(standing, start, OnLost::Stop).unwrap();
        (begin.at, begin.is_chosen)
    }

    #[test]
    fn a_group_that_committed_nothing_begins_where_it_is_told() {
        assert_eq!(at(&FRESH, Start::Earliest), (10, true));
        assert_eq!(at(&FRESH, Start::Latest), (20, true));
        assert_eq!(at(&FRESH, Start::Time(Millis(1))), (15, true));
        let old = Standing {
            at_time: None,
            ..FRESH
        };
        assert_eq!(at(&old, Start::Time(Millis(1))), (20, true));
        let added = Standing {
            is_added: true,
            ..FRESH
        };
        assert_eq!(at(&added, Start::Latest), (10, true));
    }

    #[test]
    fn what_is_committed_counts_and_a_loss_is_never_silent() {
        for good in [10, 15, 20] {
            let standing = Standing {
                committed: Some(good),
                ..FRESH
            };
            assert_eq!(at(&standing, Start::Latest), (good, false));
        }
        for (committed, lost) in [(7, 3), (21, 1)] {
            let standing = Standing {
                committed: Some(committed),
                ..FRESH
            };
            assert_eq!(begin(&standing, Start::Latest, OnLost::Stop), Err(lost));
            let begun = begin(&standing, Start::Latest, OnLost::Earliest).unwrap();
            assert_eq!((begun.at, begun.lost, begun.is_chosen), (10, lost, true));
        }
    }
}
