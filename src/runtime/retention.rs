//! How long dead letters are kept: those stored longer ago are dropped now and then, in bounded steps between other writes.

use std::time::{Duration, Instant};

use crate::error::SinkError;
use crate::event::Millis;
use crate::sink::writer::StateHandle;

/// Dead letters that one transaction drops.
const ROWS_MAX: u32 = 500;

/// Transactions of one round; the rest is dropped in the next round.
const STEPS_MAX: u32 = 200;

/// How long after a round that did not finish the next one follows.
const SOON: Duration = Duration::from_secs(5);

/// How long after the start of a job the first are dropped.
const FIRST: Duration = Duration::from_secs(60);

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);

/// Drops old dead letters.
pub struct DeadLetterRetention {
    state: StateHandle,
    /// None: they are kept for ever.
    keep: Option<Duration>,
    due: Instant,
}

impl DeadLetterRetention {
    /// Keeps dead letters for that long.
    pub fn new(state: StateHandle, keep: Option<Duration>) -> Self {
        Self {
            state,
            keep,
            due: Instant::now() + FIRST,
        }
    }

    /// When the next ones are dropped; none if they are kept for ever.
    pub fn due(&self) -> Option<Instant> {
        self.keep.map(|_| self.due)
    }

    /// Drops what is too old; a store that is out is tried again at the next time.
    pub fn enforce(&mut self) {
        self.due = Instant::now() + EVERY;
        match self.drop_older_than_kept(Millis::now()) {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(
                dropped,
                "dead letters older than dead_letters.keep were dropped"
            ),
            Err(error) => tracing::warn!(%error, "old dead letters were not dropped"),
        }
    }

    /// Each step is a call of its own, so that events are written in between.
    fn drop_older_than_kept(&mut self, now: Millis) -> Result<u64, SinkError> {
        let Some(keep) = self.keep else { return Ok(0) };
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let before = Millis(now.0.saturating_sub(keep));
        let mut dropped = 0;
        for _ in 0..STEPS_MAX {
            let step = self
                .state
                .call(move |store| store.drop_dead_letters(before, ROWS_MAX))?;
            dropped += step;
            if step < u64::from(ROWS_MAX) {
                return Ok(dropped);
            }
        }
        self.due = Instant::now() + SOON;
        Ok(dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::epoch::MonotonicClock;
    use crate::event::{Reason, ReasonCode, Reject, Stage};
    use crate::metrics::Metrics;
    use crate::sink::writer::{self, StateTarget, WriterSettings};
    use crate::state::StateStore as _;
    use crate::state::sqlite::SqliteStore;

    const DAY: Duration = Duration::from_secs(86_400);

    /// A dead letter whose delivery was received in 2020.
    fn reject(index: u32) -> Reject {
        Reject {
            origin: Default::default(),
            provider: Default::default(),
            user: Default::default(),
            stage: Stage::Decode,
            index,
            reason: Reason::new(ReasonCode::BadShape, "no field"),
            raw: Default::default(),
            body_sha256: [0; 32],
            headers: Default::default(),
            received_at: Millis(1_600_000_000_000),
        }
    }

    #[test]
    fn dead_letters_are_dropped_by_the_time_of_storing() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(folder.path()).unwrap();
        let rejects: Vec<Reject> = (0..1_205).map(reject).collect();
        store.write_dead_letters(&rejects).unwrap();
        let conn = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
        let target = StateTarget::new(Box::new(store), Metrics::new([]));
        let clock = Arc::new(MonotonicClock::start(Duration::from_millis(1)));
        let settings = WriterSettings::new("state");
        let writer = writer::spawn(&settings, target, clock, |_| {}).unwrap();
        let state = StateHandle::new(writer.handle().clone());
        let mut retention = DeadLetterRetention::new(state.clone(), Some(DAY));
        assert_eq!(retention.drop_older_than_kept(Millis::now()).unwrap(), 0);
        let old = Millis::now().0 - 2 * 86_400_000;
        conn.execute(
            "UPDATE dead_letters SET last_seen = ?1 WHERE place > 3",
            [old],
        )
        .unwrap();
        assert_eq!(
            retention.drop_older_than_kept(Millis::now()).unwrap(),
            1_201
        );
        let left: i64 = conn
            .query_row("SELECT count(*) FROM dead_letters", (), |row| row.get(0))
            .unwrap();
        assert_eq!(left, 4);
        let mut kept = DeadLetterRetention::new(state, None);
        assert_eq!(kept.due(), None);
        assert_eq!(kept.drop_older_than_kept(Millis(i64::MAX)).unwrap(), 0);
        writer.drain();
    }
}
