//! Late matches: parked events whose recipient is known by now.
//!
//! A match is logged first (version 1, durably; repeating it is harmless), then one transaction applies the event and
//! deletes the parked row. It counts exactly as if it had just arrived. Nothing here reads the arrangements: a
//! sweep asks the store, so no race between parking and loading can strand an event for longer than one pass.
//!
//! An event that the state store refuses becomes a dead letter and leaves the parked table; the others go on.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::reads::StateReads;
use crate::enrich::directory::Match;
use crate::error::SinkError;
use crate::event::{Delivery, Event};
use crate::failpoint::{self, Failpoint};
use crate::key::Identity;
use crate::log::{LogRow, Version};
use crate::metrics::{Counter, Gauge, Metrics};
use crate::sink::rows::{self, StateRow};
use crate::sink::writer::{LogHandle, RowResult, StateHandle};
use crate::state::{LateMatch, Outcome};

/// Parked events of one page, and so at most of one transaction.
const PAGE: usize = 5_000;

/// What a sweep needs.
#[derive(Clone)]
pub struct Sweeper {
    /// Finds parked events that match.
    pub reads: StateReads,
    /// The store that parks and applies.
    pub state: StateHandle,
    /// The log.
    pub log: LogHandle,
    /// The job's counts.
    pub metrics: Arc<Metrics>,
}

impl Sweeper {
    /// Matches everything that can be matched now; how many events left the parked table.
    pub fn sweep(&self) -> Result<u64, SinkError> {
        let (mut next, mut matched) = (Some(Identity::default()), 0);
        while let Some(after) = next {
            let page = self.reads.late_matches(after, PAGE)?;
            next = page.next;
            matched += page.matches.len() as u64;
            if !page.matches.is_empty() {
                self.apply(page.matches)?;
            }
        }
        self.count_parked()?;
        Ok(matched)
    }

    /// Shows how many events are parked.
    pub fn count_parked(&self) -> Result<(), SinkError> {
        self.metrics.set(Gauge::Parked, self.reads.parked()?);
        Ok(())
    }

    fn apply(&self, matches: Vec<LateMatch>) -> Result<(), SinkError> {
        let identities: Vec<Identity> = matches.iter().map(|late| late.event.identity).collect();
        let (state, log): (Vec<StateRow>, Vec<LogRow>) = matches.into_iter().map(rows_of).unzip();
        self.log.append(log)?;
        let verdicts = failpoint::run(Failpoint::LateMatch, || self.state.apply(state))?;
        let applied = RowResult::Done(Outcome::Applied);
        let applied = verdicts.iter().filter(|verdict| **verdict == applied);
        self.metrics
            .count(Counter::LateMatched, applied.count() as u64);
        self.drop_refused(&identities, &verdicts)
    }

    /// Deletes the parked rows of events that are dead letters now: they would be refused by every sweep.
    fn drop_refused(
        &self,
        identities: &[Identity],
        verdicts: &[RowResult<Outcome>],
    ) -> Result<(), SinkError> {
        let refused = identities.iter().zip(verdicts);
        let refused: Vec<Identity> = refused
            .filter(|(_, verdict)| **verdict == RowResult::DeadLetter)
            .map(|(identity, _)| *identity)
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        self.state
            .call_until_done(move |store| store.unpark(&refused))
    }
}

fn rows_of(late: LateMatch) -> (StateRow, LogRow) {
    let mut event = late.event;
    let (delivery, index) = (event.delivery.origin, event.index);
    tracing::debug!(%delivery, index, "a recipient is known now");
    event.delivery = Arc::new(Delivery {
        body: body_of(&event),
        ..(*event.delivery).clone()
    });
    let found = Match {
        row: late.row_id,
        batch_id: late.batch_id,
        recipient_id: late.recipient_id,
    };
    let (state, log) = rows::rows(event, Some(found));
    debug_assert_eq!(log.version, Version::Matched);
    (state, log)
}

/// What a dead letter of a late match holds, as the body of its delivery is not kept while it is parked: the event in normal
/// form, with its slice of the body where that was kept. No two events have the same.
fn body_of(event: &Event) -> Bytes {
    let ids = event.ids.as_ref();
    let raw = event.raw.as_deref().map(String::from_utf8_lossy);
    let body = json!({
        "identity": event.identity.to_string(),
        "kind": event.kind.name(),
        "bounce_class": event.bounce_class.map(|class| class.name()),
        "machine": event.machine,
        "message_id": event.message_id,
        "event_key": event.event_key,
        "recipient": event.recipient,
        "occurred_at": event.occurred_at.map(|at| at.to_string()),
        "batch_id": ids.map(|ids| &ids.batch_id),
        "recipient_id": ids.map(|ids| &ids.recipient_id),
        "raw": raw,
    });
    body.to_string().into()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::decode;
    use crate::enrich::directory::tests::event;
    use crate::epoch::MonotonicClock;
    use crate::error::Class;
    use crate::event::{Reject, Stage};
    use crate::log::{EventLog, LogRow};
    use crate::sink::writer::{self, LogTarget, StateTarget, WriterSettings};
    use crate::state::sqlite::SqliteStore;
    use crate::state::{Effect, LoadKind, RecipientRow, StateEvent, StateStore};

    /// An event that is parked, about message `m-<n>`.
    fn parked(n: u64) -> Event {
        let mut event = event(n, &format!("m-{n}"), None, None);
        event.raw = None;
        event
    }

    fn park(event: Event) -> StateEvent {
        StateEvent {
            effect: Effect::Park(Box::new(event.clone())),
            ..rows::rows(event, None).0.0
        }
    }

    /// The mapping of that event's message.
    fn recipient(event: &Event) -> RecipientRow {
        let id = format!("r-{}", event.message_id);
        RecipientRow {
            user: event.delivery.user.clone(),
            provider: event.delivery.provider.clone(),
            message_id: event.message_id.to_string(),
            join: event.join,
            recipient: String::new(),
            address: crate::key::AddressKey::of(""),
            batch_id: "b".into(),
            recipient_id: id.as_str().into(),
            row: crate::key::RowKey::of(&event.delivery.user, "b", &id),
            sent_at: None,
        }
    }

    /// The identities of logged rows.
    type Logged = Arc<Mutex<BTreeSet<Identity>>>;

    /// A log that refuses every append that holds one of some identities.
    struct RefusingLog {
        logged: Logged,
        refused: HashSet<Identity>,
    }

    impl EventLog for RefusingLog {
        fn append(&mut self, rows: &[LogRow]) -> Result<(), SinkError> {
            let mut identities = rows.iter().map(|row| row.event.identity);
            if identities.clone().any(|one| self.refused.contains(&one)) {
                return Err(SinkError::new("test", Class::Data, "a row is refused"));
            }
            self.logged.lock().unwrap().extend(&mut identities);
            Ok(())
        }
    }

    /// A job's writers over a store in a folder.
    struct World {
        sweeper: Sweeper,
        folder: tempfile::TempDir,
        logged: Logged,
        dead_letters: Arc<Mutex<Vec<Reject>>>,
    }

    impl World {
        /// Events 0.. are parked and their recipients loaded; the log refuses those `refused`.
        fn new(count: u64, refused: &[u64]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut store = SqliteStore::open(folder.path()).unwrap();
            let events: Vec<Event> = (0..count).map(parked).collect();
            let parks: Vec<StateEvent> = events.iter().cloned().map(park).collect();
            store.apply(&parks).unwrap();
            let load = store.begin_load(LoadKind::Full).unwrap();
            let rows: Vec<RecipientRow> = events.iter().map(recipient).collect();
            store.load_recipients(load, &rows).unwrap();
            store.finish_load(load).unwrap();
            Self::over(folder, store, refused.iter().map(|n| parked(*n).identity))
        }

        fn over(
            folder: tempfile::TempDir,
            store: SqliteStore,
            refused: impl Iterator<Item = Identity>,
        ) -> Self {
            let metrics = Metrics::new(decode::providers());
            let clock = || Arc::new(MonotonicClock::start(Duration::from_millis(1)));
            let target = StateTarget::new(Box::new(store), Arc::clone(&metrics));
            let settings = WriterSettings::new("state");
            let state = writer::spawn(&settings, target, clock(), |_| {}).unwrap();
            let handle = StateHandle::new(state.handle().clone());
            let logged = Logged::default();
            let log = RefusingLog {
                logged: Arc::clone(&logged),
                refused: refused.collect(),
            };
            let dead_letters = Arc::<Mutex<Vec<Reject>>>::default();
            let into = Arc::clone(&dead_letters);
            let write_dead_letters = move |rejects: &[Reject]| {
                into.lock().unwrap().extend_from_slice(rejects);
                Ok(())
            };
            let target = LogTarget::new(
                Box::new(log),
                Box::new(write_dead_letters),
                Arc::clone(&metrics),
            );
            let settings = WriterSettings::new("log");
            let log = writer::spawn(&settings, target, clock(), |_| {}).unwrap();
            let sweeper = Sweeper {
                reads: StateReads::new(None, handle.clone()),
                state: handle,
                log: LogHandle::new(log.handle().clone()),
                metrics,
            };
            Self {
                sweeper,
                folder,
                logged,
                dead_letters,
            }
        }
    }

    #[test]
    fn refused_parked_event_becomes_a_dead_letter_and_the_others_match() {
        let world = World::new(3, &[]);
        // The store refuses every change of the second row, as it refuses a value that cannot be stored.
        let conn = rusqlite::Connection::open(world.folder.path().join("state.db")).unwrap();
        let trigger =
            "CREATE TRIGGER refusal BEFORE UPDATE ON recipients WHEN old.recipient_id = 'r-m-1'
            BEGIN SELECT RAISE(ABORT, 'refused'); END";
        conn.execute_batch(trigger).unwrap();
        assert_eq!(world.sweeper.sweep().unwrap(), 3);
        let metrics = &world.sweeper.metrics;
        assert_eq!(metrics.get(Counter::LateMatched), 2);
        assert_eq!(world.sweeper.reads.parked().unwrap(), 0);
        let letter: (String, Vec<u8>) = conn
            .query_row("SELECT stage, raw FROM dead_letters", (), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(letter.0, "state");
        assert!(String::from_utf8(letter.1).unwrap().contains("m-1"));
        assert_eq!(world.sweeper.sweep().unwrap(), 0);
    }

    #[test]
    fn late_matches_that_the_log_refuses_become_one_dead_letter_each() {
        let world = World::new(4, &[1, 2]);
        world.sweeper.sweep().unwrap();
        assert_eq!(world.logged.lock().unwrap().len(), 2);
        let dead_letters = world.dead_letters.lock().unwrap();
        assert_eq!(dead_letters.len(), 2);
        assert!(dead_letters.iter().all(|reject| reject.stage == Stage::Log));
        assert!(dead_letters.iter().all(|reject| !reject.raw.is_empty()));
        assert_ne!(dead_letters[0].body_sha256, dead_letters[1].body_sha256);
        assert_eq!(world.sweeper.metrics.get(Counter::LateMatched), 4);
    }

    #[test]
    fn late_matches_below_the_pruned_hours_count_as_late_totals() {
        let world = World::new(2, &[]);
        let conn = rusqlite::Connection::open(world.folder.path().join("state.db")).unwrap();
        let hour = "INSERT OR REPLACE INTO meta (name, value) VALUES ('dropped_before', 4000000)";
        conn.execute(hour, ()).unwrap();
        conn.execute("UPDATE unmatched SET bucket = 400000", ())
            .unwrap();
        world.sweeper.sweep().unwrap();
        let refused = world.sweeper.metrics.get(Counter::LateTotalRefused);
        assert_eq!(refused, 2);
    }

    #[test]
    fn reads_go_on_while_the_writer_is_busy() {
        let world = World::new(2, &[]);
        let reader = crate::state::sqlite::SqliteReader::open(world.folder.path()).unwrap();
        let state = world.sweeper.state;
        let reads = StateReads::new(Some(Box::new(reader)), state.clone());
        let (release, released) = crossbeam_channel::bounded::<()>(0);
        let (begin, begun) = crossbeam_channel::bounded::<()>(0);
        let busy = std::thread::spawn(move || {
            state.call(move |_| {
                begin.send(()).unwrap();
                released
                    .recv()
                    .map_err(|_| SinkError::new("test", Class::Bug, "no release"))
            })
        });
        begun.recv().unwrap();
        assert_eq!(reads.parked().unwrap(), 2);
        assert_eq!(
            reads.late_matches(Identity(0), 10).unwrap().matches.len(),
            2
        );
        release.send(()).unwrap();
        busy.join().unwrap().unwrap();
    }
}
