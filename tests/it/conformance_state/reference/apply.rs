//! One event after the other.

use std::collections::{BTreeSet, HashSet};

use super::{BatchName, ReferenceStore};
use hookflow::error::{Class, SinkError};
use hookflow::event::{Event, Millis, Reject};
use hookflow::key::{Bucket, Identity, RejectKey};
use hookflow::state::kernel::{Transition, flag_of};
use hookflow::state::view::DeadLetterView;
use hookflow::state::{Applied, Effect, Outcome, Prune, Pruned, RowId, StateEvent};

/// What one batch leaves behind besides the store's own state.
#[derive(Default)]
struct Traces {
    /// Applied without a place in the ledger.
    late: HashSet<Identity>,
    changed: BTreeSet<RowId>,
    batches: BTreeSet<BatchName>,
    refused: u64,
}

impl ReferenceStore {
    pub(super) fn apply_batch(&mut self, events: &[StateEvent]) -> Result<Applied, SinkError> {
        self.refuse_unknown_rows(events)?;
        let mut outcomes = vec![Outcome::Duplicate; events.len()];
        let mut traces = Traces::default();
        for (outcome, event) in outcomes.iter_mut().zip(events) {
            if !matches!(event.effect, Effect::Park(_)) {
                *outcome = self.take(event, &mut traces);
            }
        }
        for (outcome, event) in outcomes.iter_mut().zip(events) {
            if let Effect::Park(parked) = &event.effect {
                *outcome = self.park(parked, &traces);
            }
        }
        Ok(Applied {
            outcomes,
            late_total_refused: traces.refused,
            completed: self.complete(&traces.batches),
            recipients_changed: traces.changed.len() as u64,
        })
    }

    /// All or nothing: a batch that names a row the store does not hold changes nothing.
    fn refuse_unknown_rows(&self, events: &[StateEvent]) -> Result<(), SinkError> {
        let held = |event: &StateEvent| match event.effect {
            Effect::Apply(row) => self.rows.contains_key(&row),
            _ => true,
        };
        if events.iter().all(held) {
            return Ok(());
        }
        let message = "an event names a state row that the store does not hold";
        Err(SinkError::new("memory", Class::Bug, message))
    }

    fn take(&mut self, event: &StateEvent, traces: &mut Traces) -> Outcome {
        self.parked.remove(&event.identity);
        if event.bucket != Bucket::NONE && event.bucket < self.dropped_before {
            traces.late.insert(event.identity);
            return self.fold(event, false, traces);
        }
        let key = (event.bucket, event.identity);
        if self.ledger.contains_key(&key) {
            return Outcome::Duplicate;
        }
        self.ledger.insert(key, Millis::now());
        self.fold(event, true, traces)
    }

    fn fold(&mut self, event: &StateEvent, new: bool, traces: &mut Traces) -> Outcome {
        let nothing = if new {
            Outcome::LoggedOnly
        } else {
            Outcome::Duplicate
        };
        let flag = flag_of(event.kind, event.bounce_class, event.machine);
        let (Effect::Apply(id), Some(flag)) = (&event.effect, flag) else {
            return nothing;
        };
        let Some(row) = self.rows.get_mut(id) else {
            return nothing;
        };
        let before = row.state;
        let changed = row.state.add(flag, event.time);
        let transition = Transition::between(before.flags, row.state.flags);
        let name = (row.user.clone(), row.batch_id.clone());
        if changed {
            traces.changed.insert(*id);
        }
        if !new {
            traces.refused += 1;
        }
        if let Some(batch) = self.batches.get_mut(&name) {
            batch.counters.transition(transition);
            if new {
                batch.counters.totals.count(flag);
            }
            traces.batches.insert(name);
        }
        if new || transition.set.0 != 0 {
            Outcome::Applied
        } else {
            Outcome::Duplicate
        }
    }

    fn park(&mut self, event: &Event, traces: &Traces) -> Outcome {
        let known = self.ledger.contains_key(&(event.bucket, event.identity))
            || traces.late.contains(&event.identity)
            || self.parked.contains_key(&event.identity);
        if known {
            return Outcome::Duplicate;
        }
        self.parked.insert(event.identity, event.clone());
        Outcome::Unmatched
    }

    fn complete(&mut self, touched: &BTreeSet<BatchName>) -> u64 {
        let now = Millis::now();
        let mut completed = 0;
        for name in touched {
            let all = self.batches.get(name).is_some_and(|b| b.all_finished());
            completed += u64::from(all && self.fire(name, "all", now));
        }
        completed
    }

    pub(super) fn write_dead_letter(&mut self, reject: &Reject) {
        let sha = &reject.body_sha256;
        let key = RejectKey::of(
            &reject.provider,
            &reject.user,
            sha,
            reject.stage,
            reject.index,
        );
        let (seen, stored) = (reject.received_at, Millis::now());
        let letter = self
            .dead_letters
            .entry(key)
            .or_insert_with(|| DeadLetterView {
                id: key.to_string(),
                provider: reject.provider.as_str().into(),
                user: reject.user.as_str().into(),
                stage: reject.stage.name().into(),
                index: reject.index,
                reason_code: reject.reason.code.name().into(),
                reason: reject.reason.text.clone(),
                body_sha256: sha.iter().map(|byte| format!("{byte:02x}")).collect(),
                attempts: 0,
                first_seen: seen,
                last_seen: stored,
                delivery: String::new(),
                headers: Some(String::from_utf8_lossy(reject.headers.as_json()).into_owned()),
                raw: Some(reject.raw.to_vec()),
            });
        letter.attempts += 1;
        letter.delivery = reject.origin.to_string();
        letter.first_seen = letter.first_seen.min(seen);
        letter.last_seen = letter.last_seen.max(stored);
    }

    pub(super) fn drop_old(&mut self, what: &Prune) -> Pruned {
        let mut pruned = Pruned::default();
        let before = what.before.map_or(Bucket::NONE, |at| Bucket::of(Some(at)));
        let mut highest = None;
        self.ledger.retain(|(bucket, _), stored| {
            let untimed = *bucket == Bucket::NONE;
            let old = what.no_time_stored_before.is_some_and(|at| *stored < at);
            if untimed && old {
                pruned.no_time += 1;
            } else if !untimed && *bucket < before {
                highest = highest.max(Some(*bucket));
                pruned.ledger += 1;
            } else {
                return true;
            }
            false
        });
        if let Some(Bucket(hour)) = highest {
            self.dropped_before = self.dropped_before.max(Bucket(hour + 1));
        }
        let letters = self.dead_letters.len();
        let old = |seen: Millis| what.dead_letters_before.is_some_and(|at| seen < at);
        self.dead_letters.retain(|_, letter| !old(letter.last_seen));
        pruned.dead_letters = (letters - self.dead_letters.len()) as u64;
        pruned
    }
}
