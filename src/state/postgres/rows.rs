//! State rows under one transaction: lock and read, fold, write what changed.
//!
//! Most flags of a row stay as they are, and most of those that events set were not set before. So a row's times are read only
//! where an event sets a flag that it has already, and those that changed travel in two arrays for all rows, into which each row
//! points: an array a column would cost the server more than the update itself.

use std::fmt::Write as _;
use std::sync::LazyLock;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::super::Applied;
use super::super::kernel::{
    BatchDeltas, FLAG_COUNT, Flag, Flags, ROW_MISSING, RowChange, RowPatch, RowState, Status,
};
use super::class::bug;
use super::values::{Timestamptz, TupleId};
use crate::error::SinkError;

/// Locks rows in the order of their ids, in which they are given, and reads them: batch, flags and, where a flag that is asked for is
/// set, all times. They are found one after another, as everywhere (see `connect::BY_KEY`).
pub(super) static READ: LazyLock<String> = LazyLock::new(|| {
    let times = ["first", "last"].map(|which| {
        let columns = Flag::ALL.map(|flag| format!("r.{which}_{}", flag.name()));
        columns.join(", ")
    });
    format!(
        "SELECT r.* FROM unnest($1::bigint[], $2::smallint[]) AS a (id, asked)
         CROSS JOIN LATERAL (SELECT r.id, r.batch, r.flags, r.ctid, CASE WHEN r.flags & a.asked <> 0 THEN ARRAY[{}] END
             FROM recipients AS r WHERE r.id = a.id OFFSET 0 FOR NO KEY UPDATE) AS r",
        times.join(", "),
    )
});

/// In a row's `marks`: bits that say where among its times those of one flag stand, counted from 1; 0 = they stay.
const PLACE_BITS: usize = 4;
/// ... and behind those of all flags: its flags.
const FLAGS_SHIFT: usize = PLACE_BITS * FLAG_COUNT;

/// Writes rows, which this transaction has locked, where they lie: flags, status, and the times that changed. Nobody moves a row
/// that is locked; the id is compared to see whether one did, in a form (`+ 0`) that leads to no walk through an index.
pub(super) static WRITE: LazyLock<String> = LazyLock::new(|| {
    let mut sql = format!(
        "UPDATE recipients AS r SET flags = (a.marks >> {FLAGS_SHIFT})::smallint, status = a.status"
    );
    for flag in Flag::ALL {
        let shift = PLACE_BITS * flag.index();
        let mask = 15_i64 << shift;
        for (which, times) in [("first", "$5"), ("last", "$6")] {
            let column = format!("{which}_{}", flag.name());
            write!(
                sql,
                ", {column} = CASE WHEN (a.marks & {mask}) = 0 THEN r.{column}
                 ELSE ({times}::timestamptz[])[a.before + ((a.marks & {mask}) >> {shift})::integer] END"
            )
            .unwrap_or_default();
        }
    }
    sql.push_str(
        " FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::integer[], $7::tid[]) AS a (id, marks, status, before, place)
          WHERE r.ctid = a.place AND r.id + 0 = a.id",
    );
    sql
});

/// Locks and reads the rows of the patches.
pub(super) async fn read(
    client: &Client,
    statement: &Statement,
    patches: &[RowPatch],
) -> Result<Vec<Row>, SinkError> {
    if patches.is_empty() {
        return Ok(Vec::new());
    }
    let (ids, asked): (Vec<i64>, Vec<i16>) = patches
        .iter()
        .map(|patch| (patch.row.0, patch.state.flags.0.cast_signed()))
        .unzip();
    let rows = client.query(statement, &[&ids, &asked]).await?;
    if rows.len() == ids.len() {
        return Ok(rows);
    }
    Err(bug(ROW_MISSING))
}

/// Merges the patches into the rows that were read for them.
pub(super) fn merge(
    patches: &[RowPatch],
    read: &[Row],
    applied: &mut Applied,
) -> Result<ChangedRows, SinkError> {
    let mut changed = ChangedRows::default();
    for (patch, line) in patches.iter().zip(read) {
        let row = LockedRow::read(line, patch.row.0)?;
        let mut state = row.state;
        state.merge(&patch.state);
        let change = RowChange {
            batch: row.batch,
            before: row.state.flags,
            after: state.flags,
            written: state != row.state,
        };
        if change.written {
            changed.add(&row, &state, patch.status(state.flags));
        }
        patch.settle(&change, applied, &mut changed.grown);
    }
    Ok(changed)
}

/// What was read of one row: all its flags; its times too, where an event sets one that it has.
struct LockedRow {
    id: i64,
    batch: Option<i64>,
    place: TupleId,
    state: RowState,
}

impl LockedRow {
    fn read(line: &Row, id: i64) -> Result<Self, SinkError> {
        if line.try_get::<_, i64>(0)? != id {
            return Err(bug("state rows were read in another order"));
        }
        let mut state = RowState {
            flags: Flags(line.try_get::<_, i16>(2)?.cast_unsigned()),
            ..RowState::default()
        };
        let times: Option<Vec<Option<Timestamptz>>> = line.try_get(4)?;
        if let Some((first, last)) = times
            .as_deref()
            .and_then(|t| t.split_at_checked(FLAG_COUNT))
        {
            let slots = state.first.iter_mut().chain(&mut state.last);
            for (slot, time) in slots.zip(first.iter().chain(last)) {
                *slot = time.map_or(*slot, |time| time.0);
            }
        }
        Ok(Self {
            id,
            batch: line.try_get(1)?,
            place: line.try_get(3)?,
            state,
        })
    }
}

/// Rows to be written, and what their change means for batches.
#[derive(Default)]
pub(super) struct ChangedRows {
    ids: Vec<i64>,
    places: Vec<TupleId>,
    marks: Vec<i64>,
    status: Vec<i16>,
    /// How many times stand before those of each row.
    before: Vec<i32>,
    first: Vec<Timestamptz>,
    last: Vec<Timestamptz>,
    pub(super) grown: BatchDeltas,
}

impl ChangedRows {
    fn add(&mut self, row: &LockedRow, state: &RowState, status: Status) {
        let start = self.first.len();
        let mut marks = i64::from(state.flags.0) << FLAGS_SHIFT;
        for flag in Flag::ALL
            .into_iter()
            .filter(|f| differs(*f, &row.state, state))
        {
            let at = flag.index();
            self.first.push(Timestamptz(state.first[at]));
            self.last.push(Timestamptz(state.last[at]));
            marks |= ((self.first.len() - start) as i64) << (PLACE_BITS * at);
        }
        self.ids.push(row.id);
        self.places.push(row.place);
        self.marks.push(marks);
        self.status.push(status as i16);
        self.before.push(i32::try_from(start).unwrap_or(i32::MAX));
    }

    /// Sends the rows. The commit is under way behind them, so what is said of a row that moved is an alarm and takes nothing back.
    pub(super) async fn write(
        &self,
        client: &Client,
        statement: &Statement,
    ) -> Result<(), SinkError> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let columns: [&(dyn ToSql + Sync); 7] = [
            &self.ids,
            &self.marks,
            &self.status,
            &self.before,
            &self.first,
            &self.last,
            &self.places,
        ];
        let written = client.execute(statement, &columns).await?;
        if written == self.ids.len() as u64 {
            Ok(())
        } else {
            Err(bug("a state row moved while it was locked"))
        }
    }
}

/// Whether a flag's times are to be written.
fn differs(flag: Flag, before: &RowState, state: &RowState) -> bool {
    let at = flag.index();
    state.flags.has(flag)
        && (!before.flags.has(flag)
            || state.first[at] != before.first[at]
            || state.last[at] != before.last[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Millis;

    fn locked(id: i64, state: RowState) -> LockedRow {
        LockedRow {
            id,
            batch: None,
            place: TupleId::default(),
            state,
        }
    }

    #[test]
    fn marks_say_where_the_times_of_a_flag_stand() {
        let mut changed = ChangedRows::default();
        let before = RowState::of(Flag::Sent, Millis(1));
        let mut state = before;
        state.add(Flag::Delivered, Millis(2));
        state.add(Flag::MachineOpened, Millis(3));
        for id in [7, 8] {
            changed.add(&locked(id, before), &state, state.flags.status());
        }
        assert_eq!(changed.before, [0, 2]);
        let times = [2, 3, 2, 3].map(|at| Timestamptz(Millis(at)));
        assert_eq!(
            (&changed.first[..], &changed.last[..]),
            (&times[..], &times[..])
        );
        let place = |flag: Flag| changed.marks[0] >> (PLACE_BITS * flag.index()) & 15;
        let places = [Flag::Sent, Flag::Delivered, Flag::MachineOpened].map(place);
        assert_eq!(places, [0, 1, 2]);
        assert_eq!(changed.marks[0] >> FLAGS_SHIFT, i64::from(state.flags.0));
    }

    #[test]
    fn the_marks_of_all_flags_fit() {
        let mut all = RowState::default();
        for flag in Flag::ALL {
            all.add(flag, Millis(1));
        }
        let mut changed = ChangedRows::default();
        changed.add(&locked(1, RowState::default()), &all, all.flags.status());
        assert!(changed.marks[0] > 0 && FLAG_COUNT < 1 << PLACE_BITS);
        assert_eq!(changed.marks[0] >> FLAGS_SHIFT, i64::from(all.flags.0));
    }
}
