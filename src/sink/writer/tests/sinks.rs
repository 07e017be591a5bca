//! The log and the state store behind their writers.

use compact_str::CompactString;
use sha2::{Digest, Sha256};

use super::*;
use crate::event::{Event, Kind, Millis, ReasonCode};
use crate::key::{Bucket, Identity, JoinKey, Shard};
use crate::log::{EventLog, LogRow, Version};
use crate::metrics::{Counter, Metrics};
use crate::state::view::Export;
use crate::state::{
    Applied, BatchRow, Checkpoint, Effect, LatePage, LoadId, LoadKind, LoadOutcome, LoadSummary,
    Mapping, MappingCursor, Outcome, Prune, Pruned, RecipientRow, StateEvent, StateStore,
};

/// A state store that applies everything but what is older than 1970, and keeps dead letters.
#[derive(Default)]
struct Stub {
    dead_letters: Shared<Reject>,
    parked: u64,
}

impl StateStore for Stub {
    fn apply(&mut self, events: &[StateEvent]) -> Result<Applied, SinkError> {
        if events.iter().any(|event| event.time < Millis(0)) {
            return Err(error(Class::Data));
        }
        Ok(Applied {
            outcomes: vec![Outcome::LoggedOnly; events.len()],
            recipients_changed: events.len() as u64,
            ..Applied::default()
        })
    }
    fn write_dead_letters(&mut self, rejects: &[Reject]) -> Result<(), SinkError> {
        self.dead_letters.lock().unwrap().extend_from_slice(rejects);
        Ok(())
    }
    fn begin_load(&mut self, _: LoadKind) -> Result<LoadId, SinkError> {
        Err(error(Class::Bug))
    }
    fn load_recipients(
        &mut self,
        _: LoadId,
        _: &[RecipientRow],
    ) -> Result<Vec<LoadOutcome>, SinkError> {
        Err(error(Class::Bug))
    }
    fn load_batches(&mut self, _: LoadId, _: &[BatchRow]) -> Result<(), SinkError> {
        Err(error(Class::Bug))
    }
    fn finish_load(&mut self, _: LoadId) -> Result<LoadSummary, SinkError> {
        Err(error(Class::Bug))
    }
    fn mappings(
        &mut self,
        _: MappingCursor,
        _: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
        Err(error(Class::Bug))
    }
    fn late_matches(&mut self, _: Identity, _: usize) -> Result<LatePage, SinkError> {
        Err(error(Class::Bug))
    }
    fn parked(&mut self) -> Result<u64, SinkError> {
        self.parked += 1;
        Ok(self.parked)
    }
    fn known(&mut self, _: &[(Bucket, Identity)]) -> Result<Vec<bool>, SinkError> {
        Err(error(Class::Bug))
    }
    fn prune(&mut self, _: &Prune, _: u32) -> Result<Pruned, SinkError> {
        Err(error(Class::Bug))
    }
    fn export(&mut self) -> Result<Export, SinkError> {
        Err(error(Class::Bug))
    }
    fn judge_deadlines(&mut self, _: Millis) -> Result<u64, SinkError> {
        Err(error(Class::Bug))
    }
    fn checkpoint(&mut self, _: &[Checkpoint]) -> Result<(), SinkError> {
        Err(error(Class::Bug))
    }
    fn checkpoints(&mut self, _: &str) -> Result<Vec<Checkpoint>, SinkError> {
        Err(error(Class::Bug))
    }
    fn unpark(&mut self, _: &[Identity]) -> Result<(), SinkError> {
        Err(error(Class::Bug))
    }

    fn drop_dead_letters(&mut self, _: Millis, _: u32) -> Result<u64, SinkError> {
        Err(error(Class::Bug))
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::default())
}

fn state_writer(dead_letters: &Shared<Reject>) -> WriterThread<StateTarget> {
    let store = Stub {
        dead_letters: Arc::clone(dead_letters),
        parked: 0,
    };
    let target = StateTarget::new(Box::new(store), Metrics::new([]));
    spawn(&settings(), target, clock(), |_| {}).unwrap()
}

fn delivery() -> Arc<Delivery> {
    Arc::new(Delivery {
        body: "a body".into(),
        received_at: Millis(7),
        ..Delivery::default()
    })
}

fn row(index: u32) -> LogRow {
    let event = Event {
        identity: Identity(u128::from(index)),
        delivery: delivery(),
        index,
        shard: Shard::default(),
        kind: Kind::Sent,
        bounce_class: None,
        machine: false,
        bucket: Bucket::NONE,
        occurred_at: None,
        message_id: CompactString::default(),
        event_key: CompactString::default(),
        recipient: None,
        ids: None,
        join: JoinKey::default(),
        address: None,
        raw: None,
    };
    LogRow {
        event,
        version: Version::Matched,
        batch_id: CompactString::default(),
        recipient_id: CompactString::default(),
    }
}

/// Refuses every append that holds event 2 or 5.
struct PickyLog(Shared<LogRow>);

impl EventLog for PickyLog {
    fn append(&mut self, rows: &[LogRow]) -> Result<(), SinkError> {
        let refused = [Identity(2), Identity(5)];
        if rows.iter().any(|row| refused.contains(&row.event.identity)) {
            return Err(error(Class::Data));
        }
        self.0.lock().unwrap().extend_from_slice(rows);
        Ok(())
    }
}

#[test]
fn rows_that_the_log_refuses_are_dead_letters_of_the_state_store() {
    let dead_letters: Shared<Reject> = Shared::default();
    let state = state_writer(&dead_letters);
    let rows = Shared::default();
    let log = PickyLog(Arc::clone(&rows));
    let dead_letter_writer = StateHandle::new(state.handle().clone()).dead_letter_writer();
    let target = LogTarget::new(Box::new(log), dead_letter_writer, Metrics::new([]));
    let writer = spawn(&settings(), target, clock(), |_| {}).unwrap();
    let (sender, replies) = unbounded();
    let job = WriteJob::log((0..8).map(row).collect(), reply_to((), sender));
    assert!(writer.handle().submit(job));
    let ((), results) = replies.recv_timeout(LONG).unwrap();
    assert_eq!(refused(&results), [2, 5]);
    assert_eq!(writer.handle().status().dead_letters(), 2);
    writer.drain();
    let dead_letters = dead_letters.lock().unwrap().clone();
    assert_eq!(
        dead_letters
            .iter()
            .map(|reject| reject.index)
            .collect::<Vec<_>>(),
        [2, 5]
    );
    let first = &dead_letters[0];
    assert_eq!(
        (first.stage, first.reason.code),
        (Stage::Log, ReasonCode::Refused)
    );
    assert_eq!(first.raw, "a body");
    assert_eq!(first.body_sha256[..], Sha256::digest("a body")[..]);
    assert_eq!(rows.lock().unwrap().len(), 6);
}

#[test]
fn the_state_store_answers_with_outcomes_and_buries_its_own() {
    let dead_letters: Shared<Reject> = Shared::default();
    let metrics = Metrics::new([]);
    let store = Stub {
        dead_letters: Arc::clone(&dead_letters),
        parked: 0,
    };
    let target = StateTarget::new(Box::new(store), Arc::clone(&metrics));
    let writer = spawn(&settings(), target, clock(), |_| {}).unwrap();
    let event = |time| StateEvent {
        identity: Identity(1),
        bucket: Bucket::NONE,
        kind: Kind::Other,
        bounce_class: None,
        machine: false,
        time: Millis(time),
        effect: Effect::LogOnly,
    };
    let contexts = (0..3)
        .map(|index| DeadLetterContext {
            delivery: delivery(),
            index,
        })
        .collect();
    let (sender, replies) = unbounded();
    let reply = reply_to((), sender);
    assert!(writer.handle().submit(WriteJob::new(
        vec![event(1), event(-1), event(2)],
        contexts,
        reply
    )));
    let ((), results) = replies.recv_timeout(LONG).unwrap();
    let done = RowResult::Done(Outcome::LoggedOnly);
    assert_eq!(results, [done, RowResult::DeadLetter, done]);
    assert_eq!(metrics.get(Counter::RecipientsChanged), 2);
    let dead_letters = dead_letters.lock().unwrap().clone();
    assert_eq!(
        (dead_letters[0].stage, dead_letters[0].index),
        (Stage::State, 1)
    );
    writer.drain();
}

#[test]
fn calls_run_on_the_writers_thread_and_return_what_they_got() {
    let writer = state_writer(&Shared::default());
    let state = StateHandle::new(writer.handle().clone());
    assert_eq!(state.call(|store| store.parked()).unwrap(), 1);
    let other = state.clone();
    let second = std::thread::spawn(move || other.call(|store| store.parked()).unwrap());
    assert_eq!(second.join().unwrap(), 2);
    let failed = state.call(|store| store.judge_deadlines(Millis(0)));
    assert_eq!(failed.unwrap_err().class, Class::Bug);
    writer.drain();
    let gone = state.call(|store| store.parked());
    assert_eq!(gone.unwrap_err().message, "the writer has stopped");
}

#[test]
fn a_call_until_done_outlives_an_outage_but_no_mistake() {
    let writer = state_writer(&Shared::default());
    let state = StateHandle::new(writer.handle().clone());
    let mut left = 7;
    let answer = state.call_until_done(move |store| {
        left -= 1;
        if left >= 0 {
            return Err(error(Class::Outage));
        }
        store.parked()
    });
    assert_eq!(answer.unwrap(), 1);
    assert_eq!(writer.handle().status().retries(), 7);
    let failed = state.call_until_done(|store| store.judge_deadlines(Millis(0)));
    assert_eq!(failed.unwrap_err().class, Class::Bug);
    writer.drain();
}
