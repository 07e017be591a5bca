//! State rows under one transaction: read, fold, write what changed.

use std::collections::BTreeMap;

use rusqlite::{CachedStatement, Connection};

use super::super::fold::{Deltas, FLAG_COUNT, Flag, Flags, RowState, Status};
use super::super::hits::{Hit, Verdict, fold_hit, hits, written_status};
use super::super::{Applied, RowId, StateEvent};
use crate::error::{Class, SinkError};
use crate::event::Millis;

/// By how much each batch's counters grow, by the number of the batch.
pub(super) type Grown = BTreeMap<i64, Deltas>;

const READ: &str = "SELECT batch, flags,
    first_sent, first_deferred, first_dropped, first_failed, first_bounced_soft, first_bounced_hard,
    first_delivered, first_opened, first_clicked, first_unsubscribed, first_complained, first_machine_opened,
    last_sent, last_deferred, last_dropped, last_failed, last_bounced_soft, last_bounced_hard,
    last_delivered, last_opened, last_clicked, last_unsubscribed, last_complained, last_machine_opened
    FROM recipients WHERE id = ?1";

const WRITE: &str = "UPDATE recipients SET flags = ?1, status = ?2,
    first_sent = ?3, first_deferred = ?4, first_dropped = ?5, first_failed = ?6, first_bounced_soft = ?7,
    first_bounced_hard = ?8, first_delivered = ?9, first_opened = ?10, first_clicked = ?11,
    first_unsubscribed = ?12, first_complained = ?13, first_machine_opened = ?14,
    last_sent = ?15, last_deferred = ?16, last_dropped = ?17, last_failed = ?18, last_bounced_soft = ?19,
    last_bounced_hard = ?20, last_delivered = ?21, last_opened = ?22, last_clicked = ?23,
    last_unsubscribed = ?24, last_complained = ?25, last_machine_opened = ?26
    WHERE id = ?27";

/// Folds all new and late events into their rows, in the order of the rows; returns how batches grow.
pub(super) fn fold(
    conn: &Connection,
    events: &[StateEvent],
    verdicts: &[Verdict],
    applied: &mut Applied,
) -> Result<Grown, SinkError> {
    let mut grown = Grown::new();
    let hits = hits(events, verdicts);
    let mut rows = Rows::prepare(conn)?;
    for group in hits.chunk_by(|a, b| a.row == b.row) {
        rows.fold_one(events, group, applied, &mut grown)?;
    }
    Ok(grown)
}

/// The two statements, prepared once a batch.
struct Rows<'conn> {
    read: CachedStatement<'conn>,
    write: CachedStatement<'conn>,
}

impl<'conn> Rows<'conn> {
    fn prepare(conn: &'conn Connection) -> Result<Self, SinkError> {
        Ok(Self {
            read: conn.prepare_cached(READ)?,
            write: conn.prepare_cached(WRITE)?,
        })
    }

    fn fold_one(
        &mut self,
        events: &[StateEvent],
        group: &[Hit],
        applied: &mut Applied,
        grown: &mut Grown,
    ) -> Result<(), SinkError> {
        let Some(row) = group.first().map(|hit| hit.row) else {
            return Ok(());
        };
        let (batch, before) = self.load(row)?;
        let mut deltas = Deltas::default();
        let mut state = before;
        for hit in group {
            fold_hit(hit, events, &mut state, &mut deltas, applied);
        }
        if state != before {
            self.store(row, &state, written_status(&state, group))?;
            applied.recipients_changed += 1;
            deltas.transition(state.since(&before));
        }
        if let (Some(batch), false) = (batch, deltas.is_empty()) {
            grown.entry(batch).or_default().add(&deltas);
        }
        Ok(())
    }

    fn load(&mut self, row: RowId) -> Result<(Option<i64>, RowState), SinkError> {
        let mut found = self.read.query([row.0])?;
        let Some(columns) = found.next()? else {
            let message = "an event names a state row that the store does not hold";
            return Err(SinkError::new("sqlite", Class::Bug, message));
        };
        Ok((columns.get(0)?, read_state(columns, 1)?))
    }

    fn store(&mut self, row: RowId, state: &RowState, status: Status) -> rusqlite::Result<()> {
        let write = &mut self.write;
        write.raw_bind_parameter(1, state.flags.0)?;
        write.raw_bind_parameter(2, status as i64)?;
        for flag in Flag::ALL {
            let at = flag.index();
            let set = state.flags.has(flag);
            write.raw_bind_parameter(3 + at, set.then_some(state.first[at].0))?;
            write.raw_bind_parameter(3 + FLAG_COUNT + at, set.then_some(state.last[at].0))?;
        }
        write.raw_bind_parameter(3 + 2 * FLAG_COUNT, row.0)?;
        write.raw_execute().map(drop)
    }
}

/// Reads the flags at column `at`, and behind them the twelve first and the twelve last times.
pub(super) fn read_state(columns: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<RowState> {
    let mut state = RowState {
        flags: Flags(columns.get(at)?),
        ..RowState::default()
    };
    for flag in state.flags.iter() {
        let index = flag.index();
        state.first[index] = Millis(columns.get(at + 1 + index)?);
        state.last[index] = Millis(columns.get(at + 1 + FLAG_COUNT + index)?);
    }
    Ok(state)
}
