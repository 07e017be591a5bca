//! Which events a query asks for.

use super::chunk::FileChunk;
use super::schema::Column;
use crate::error::SinkError;
use crate::event::{Kind, Millis};
use crate::log::EventFilter;

impl EventFilter {
    /// Whether two rows of one event could fare differently: their batch, recipient and receipt may differ.
    pub(super) const fn parts_copies(&self) -> bool {
        self.batch.is_some() || self.recipient.is_some() || self.from.is_some() || self.to.is_some()
    }

    /// The rows of a chunk that match, reading only the columns that decide.
    pub(super) fn matches(&self, chunk: &mut FileChunk<'_>) -> Result<Vec<usize>, SinkError> {
        let mut rows: Vec<usize> = (0..chunk.rows()).collect();
        for (column, wanted) in self.exact() {
            if let Some(wanted) = wanted.filter(|_| !rows.is_empty()) {
                chunk.load(&[column])?;
                rows.retain(|row| chunk.text(column, *row) == wanted);
            }
        }
        self.keep_recipient(chunk, &mut rows)?;
        self.keep_times(chunk, &mut rows)?;
        Ok(rows)
    }

    fn exact(&self) -> [(Column, Option<&str>); 5] {
        [
            (Column::MessageId, self.message_id.as_deref()),
            (Column::BatchId, self.batch.as_deref()),
            (Column::User, self.user.as_deref()),
            (Column::Provider, self.provider.as_deref()),
            (Column::Kind, self.kind.map(Kind::name)),
        ]
    }

    fn keep_recipient(
        &self,
        chunk: &mut FileChunk<'_>,
        rows: &mut Vec<usize>,
    ) -> Result<(), SinkError> {
        let Some(wanted) = self.recipient.as_deref().filter(|_| !rows.is_empty()) else {
            return Ok(());
        };
        chunk.load(&[Column::Recipient, Column::RecipientId])?;
        rows.retain(|row| {
            chunk.text(Column::RecipientId, *row) == wanted
                || chunk
                    .text(Column::Recipient, *row)
                    .eq_ignore_ascii_case(wanted)
        });
        Ok(())
    }

    fn keep_times(
        &self,
        chunk: &mut FileChunk<'_>,
        rows: &mut Vec<usize>,
    ) -> Result<(), SinkError> {
        if rows.is_empty() || (self.from.is_none() && self.to.is_none()) {
            return Ok(());
        }
        chunk.load(&[Column::OccurredAt, Column::ReceivedAt])?;
        rows.retain(|row| {
            let at = Millis(time(chunk, *row));
            self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
        });
        Ok(())
    }
}

/// The time of a row, of which the two columns are loaded.
pub(super) fn time(chunk: &FileChunk<'_>, row: usize) -> i64 {
    chunk
        .time(Column::OccurredAt, row)
        .or_else(|| chunk.time(Column::ReceivedAt, row))
        .unwrap_or(0)
}
