//! State rows under one transaction: lock and read, fold, write what changed.
//!
//! Nearly every row of a batch is hit by events of one flag, so only that flag's times are read, and the statement that
//! writes them takes one pair of times a row. Rows that several flags changed go through a statement with all columns.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::super::fold::{Deltas, FLAG_COUNT, Flag, Flags, RowState, Status};
use super::super::hits::{Hit, Verdict, fold_hit, hits, written_status};
use super::super::{Applied, RowId, StateEvent};
use super::class::bug;
use super::connect::Connection;
use super::values::Stamp;
use crate::error::SinkError;

/// By how much each batch's counters grow, by the number of the batch.
pub(super) type Grown = BTreeMap<i64, Deltas>;

/// Locks rows in the order of their ids and reads them: batch, flags, and the times of the one flag that is asked for.
static READ: LazyLock<String> = LazyLock::new(|| {
    let times = |which: &str| {
        let mut sql = "CASE a.flag".to_owned();
        for flag in Flag::ALL {
            write!(sql, " WHEN {} THEN r.{which}_{}", flag.index(), flag.name())
                .unwrap_or_default();
        }
        sql.push_str(" END");
        sql
    };
    format!(
        "SELECT r.id, a.flag, r.batch, r.flags, {}, {}
         FROM unnest($1::bigint[], $2::smallint[]) AS a (id, flag) JOIN recipients AS r ON r.id = a.id
         ORDER BY r.id, a.flag FOR NO KEY UPDATE OF r",
        times("first"),
        times("last"),
    )
});

/// Writes rows of which one flag changed.
pub(super) static WRITE_ONE: LazyLock<String> = LazyLock::new(|| {
    let mut sql = "UPDATE recipients AS r SET flags = a.flags, status = a.status".to_owned();
    for flag in Flag::ALL {
        let (name, index) = (flag.name(), flag.index());
        for which in ["first", "last"] {
            write!(
                sql,
                ", {which}_{name} = CASE a.flag WHEN {index} THEN a.{which} ELSE r.{which}_{name} END"
            )
            .unwrap_or_default();
        }
    }
    sql.push_str(
        " FROM unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::timestamptz[],
          $6::timestamptz[]) AS a (id, flags, status, flag, first, last) WHERE r.id = a.id",
    );
    sql
});

/// Writes rows of which any flags changed: times that are not given stay.
pub(super) static WRITE_ANY: LazyLock<String> = LazyLock::new(|| {
    let mut set = String::new();
    let (mut arrays, mut names) = (String::new(), String::new());
    for (which, base) in [("first", 4), ("last", 4 + FLAG_COUNT)] {
        for flag in Flag::ALL {
            let (name, place) = (flag.name(), base + flag.index());
            write!(
                set,
                ", {which}_{name} = coalesce(a.{which}_{name}, r.{which}_{name})"
            )
            .unwrap_or_default();
            write!(arrays, ", ${place}::timestamptz[]").unwrap_or_default();
            write!(names, ", {which}_{name}").unwrap_or_default();
        }
    }
    format!(
        "UPDATE recipients AS r SET flags = a.flags, status = a.status{set}
         FROM unnest($1::bigint[], $2::smallint[], $3::smallint[]{arrays}) AS a (id, flags, status{names})
         WHERE r.id = a.id"
    )
});

/// The events of a batch that reach rows.
pub(super) struct Folding {
    hits: Vec<Hit>,
    ids: Vec<i64>,
    flags: Vec<i16>,
}

impl Folding {
    /// What reaches rows, by the verdicts.
    pub(super) fn of(events: &[StateEvent], verdicts: &[Verdict]) -> Self {
        let hits = hits(events, verdicts);
        let mut asked: Vec<(RowId, Flag)> = hits.iter().map(|hit| (hit.row, hit.flag)).collect();
        asked.sort_unstable();
        asked.dedup();
        let (ids, flags) = asked
            .into_iter()
            .map(|(row, flag)| (row.0, flag as i16))
            .unzip();
        Self { hits, ids, flags }
    }

    /// Locks and reads the rows.
    pub(super) async fn read(&self, connection: &Connection) -> Result<Vec<Row>, SinkError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let statement = connection.statement(&READ).await?;
        let rows = connection
            .client
            .query(&statement, &[&self.ids, &self.flags])
            .await?;
        if rows.len() == self.ids.len() {
            return Ok(rows);
        }
        Err(bug(
            "an event names a state row that the store does not hold",
        ))
    }

    /// Folds the events into the rows that were read.
    pub(super) fn fold(
        &mut self,
        read: Vec<Row>,
        events: &[StateEvent],
        applied: &mut Applied,
    ) -> Result<Changed, SinkError> {
        let mut changed = Changed::default();
        let mut read = read.iter().peekable();
        for group in self.hits.chunk_by(|a, b| a.row == b.row) {
            let Some(row) = group.first().map(|hit| hit.row) else {
                continue;
            };
            let mut found = Found::default();
            while let Some(line) = read.next_if(|line| line.try_get(0).ok() == Some(row.0)) {
                found.take(line)?;
            }
            let before = found.state;
            let mut deltas = Deltas::default();
            let mut state = before;
            for hit in group {
                fold_hit(hit, events, &mut state, &mut deltas, applied);
            }
            if state != before {
                changed.note(row, &before, &state, written_status(&state, group));
                applied.recipients_changed += 1;
                deltas.transition(state.since(&before));
            }
            if let (Some(batch), false) = (found.batch, deltas.is_empty()) {
                changed.grown.entry(batch).or_default().add(&deltas);
            }
        }
        Ok(changed)
    }
}

/// What was read of one row: all its flags, and the times of those that its events set.
#[derive(Default)]
struct Found {
    batch: Option<i64>,
    state: RowState,
}

impl Found {
    fn take(&mut self, line: &Row) -> Result<(), SinkError> {
        self.batch = line.try_get(2)?;
        self.state.flags = Flags(line.try_get::<_, i16>(3)?.cast_unsigned());
        let flag: i16 = line.try_get(1)?;
        let times: (Option<Stamp>, Option<Stamp>) = (line.try_get(4)?, line.try_get(5)?);
        if let (Ok(at), (Some(first), Some(last))) = (usize::try_from(flag), times)
            && let (Some(slot), Some(end)) =
                (self.state.first.get_mut(at), self.state.last.get_mut(at))
        {
            (*slot, *end) = (first.0, last.0);
        }
        Ok(())
    }
}

/// Rows to be written, and what their change means for batches.
#[derive(Default)]
pub(super) struct Changed {
    one: OneFlag,
    any: AnyFlags,
    pub(super) grown: Grown,
}

/// Columns of rows of which one flag changed.
#[derive(Default)]
struct OneFlag {
    ids: Vec<i64>,
    flags: Vec<i16>,
    status: Vec<i16>,
    flag: Vec<i16>,
    first: Vec<Stamp>,
    last: Vec<Stamp>,
}

/// Columns of rows of which several flags changed.
#[derive(Default)]
struct AnyFlags {
    ids: Vec<i64>,
    flags: Vec<i16>,
    status: Vec<i16>,
    first: [Vec<Option<Stamp>>; FLAG_COUNT],
    last: [Vec<Option<Stamp>>; FLAG_COUNT],
}

impl Changed {
    fn note(&mut self, row: RowId, before: &RowState, state: &RowState, status: Status) {
        let differs = |flag: &Flag| {
            let at = flag.index();
            state.flags.has(*flag)
                && (!before.flags.has(*flag)
                    || state.first[at] != before.first[at]
                    || state.last[at] != before.last[at])
        };
        let mut changed = Flag::ALL.into_iter().filter(differs);
        match (changed.next(), changed.next()) {
            (Some(flag), None) => self.one.push(row, state, status, flag),
            _ => self.any.push(row, state, status, differs),
        }
    }

    /// Sends the rows of which one flag changed.
    pub(super) async fn write_one(
        &self,
        connection: &Connection,
        statement: &Statement,
    ) -> Result<(), SinkError> {
        let one = &self.one;
        if one.ids.is_empty() {
            return Ok(());
        }
        let columns: [&(dyn ToSql + Sync); 6] = [
            &one.ids,
            &one.flags,
            &one.status,
            &one.flag,
            &one.first,
            &one.last,
        ];
        connection.client.execute(statement, &columns).await?;
        Ok(())
    }

    /// Sends the others.
    pub(super) async fn write_any(
        &self,
        connection: &Connection,
        statement: &Statement,
    ) -> Result<(), SinkError> {
        let any = &self.any;
        if any.ids.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<&(dyn ToSql + Sync)> = vec![&any.ids, &any.flags, &any.status];
        for times in any.first.iter().chain(&any.last) {
            columns.push(times);
        }
        connection.client.execute(statement, &columns).await?;
        Ok(())
    }
}

impl OneFlag {
    fn push(&mut self, row: RowId, state: &RowState, status: Status, flag: Flag) {
        self.ids.push(row.0);
        self.flags.push(state.flags.0.cast_signed());
        self.status.push(status as i16);
        self.flag.push(flag as i16);
        self.first.push(Stamp(state.first[flag.index()]));
        self.last.push(Stamp(state.last[flag.index()]));
    }
}

impl AnyFlags {
    fn push(
        &mut self,
        row: RowId,
        state: &RowState,
        status: Status,
        differs: impl Fn(&Flag) -> bool,
    ) {
        self.ids.push(row.0);
        self.flags.push(state.flags.0.cast_signed());
        self.status.push(status as i16);
        for flag in Flag::ALL {
            let at = flag.index();
            let given = differs(&flag);
            self.first[at].push(given.then_some(Stamp(state.first[at])));
            self.last[at].push(given.then_some(Stamp(state.last[at])));
        }
    }
}
