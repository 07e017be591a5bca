//! State rows in one transaction: read, merge the patch, write what changed.

use rusqlite::{Connection, Statement};

use super::super::kernel::{
    BatchDeltas, FLAG_COUNT, Flag, Flags, ROW_MISSING, RowChange, RowPatch, RowState, Status,
};
use super::super::{Applied, RowId};
use crate::error::{Class, SinkError};
use crate::event::Millis;

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

/// Applies the patches in the order of their rows; returns how batches grow.
pub(super) fn apply(
    conn: &Connection,
    patches: &[RowPatch],
    applied: &mut Applied,
) -> Result<BatchDeltas, SinkError> {
    let mut grown = BatchDeltas::new();
    let mut read = conn.prepare_cached(READ)?;
    let mut write = conn.prepare_cached(WRITE)?;
    for patch in patches {
        let (batch, before) = load(&mut read, patch.row)?;
        let mut state = before;
        state.merge(&patch.state);
        let change = RowChange {
            batch,
            before: before.flags,
            after: state.flags,
            written: state != before,
        };
        if change.written {
            store(&mut write, patch.row, &state, patch.status(state.flags))?;
        }
        patch.settle(&change, applied, &mut grown);
    }
    Ok(grown)
}

fn load(read: &mut Statement<'_>, row: RowId) -> Result<(Option<i64>, RowState), SinkError> {
    let mut found = read.query([row.0])?;
    let Some(columns) = found.next()? else {
        return Err(SinkError::new("sqlite", Class::Bug, ROW_MISSING));
    };
    Ok((columns.get(0)?, read_state(columns, 1)?))
}

fn store(
    write: &mut Statement<'_>,
    row: RowId,
    state: &RowState,
    status: Status,
) -> rusqlite::Result<()> {
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
