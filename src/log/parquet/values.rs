//! One column's values in memory: what rows become before they are written, and what is read back.
//!
//! Contract: a value stands at the place of its row, also where the column may be empty (`present` says which are
//! there), so that rows can be picked by number.

use bytes::Bytes;
use parquet::data_type::ByteArray;

use super::schema::Column;
use crate::log::LogRow;

/// ColumnValues of one type.
#[derive(Debug, Default)]
pub(super) struct TypedValues<T> {
    /// One for each row; a default where there is none.
    pub(super) values: Vec<T>,
    /// For a column that may be empty: 1 where there is a value, else 0.
    pub(super) present: Option<Vec<i16>>,
}

impl<T: Clone> TypedValues<T> {
    pub(super) const fn required(values: Vec<T>) -> Self {
        Self {
            values,
            present: None,
        }
    }

    fn is_present(&self, row: usize) -> bool {
        self.present
            .as_ref()
            .is_none_or(|present| present.get(row) == Some(&1))
    }

    /// The values that are there, without the gaps.
    pub(super) fn dense(&self) -> Vec<T> {
        let row = |(row, value): (usize, &T)| self.is_present(row).then(|| value.clone());
        self.values.iter().enumerate().filter_map(row).collect()
    }

    fn get(&self, row: usize) -> Option<&T> {
        self.values.get(row).filter(|_| self.is_present(row))
    }

    fn append(&mut self, mut other: Self, keep: &[bool]) {
        retain(&mut other.values, keep);
        self.values.append(&mut other.values);
        let Some(mut present) = other.present else {
            return;
        };
        retain(&mut present, keep);
        self.present
            .get_or_insert_with(Vec::new)
            .append(&mut present);
    }
}

fn retain<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    values.retain(|_| flags.next().copied().unwrap_or(true));
}

/// ColumnValues of one column.
#[derive(Debug)]
pub(super) enum ColumnValues {
    Bytes(TypedValues<ByteArray>),
    Int(TypedValues<i32>),
    Long(TypedValues<i64>),
    Bool(TypedValues<bool>),
}

impl ColumnValues {
    pub(super) fn bytes(&self, row: usize) -> Option<&[u8]> {
        match self {
            ColumnValues::Bytes(chunk) => chunk.get(row).map(ByteArray::data),
            _ => None,
        }
    }

    pub(super) fn int(&self, row: usize) -> Option<i32> {
        match self {
            ColumnValues::Int(chunk) => chunk.get(row).copied(),
            _ => None,
        }
    }

    pub(super) fn long(&self, row: usize) -> Option<i64> {
        match self {
            ColumnValues::Long(chunk) => chunk.get(row).copied(),
            _ => None,
        }
    }

    pub(super) fn bool(&self, row: usize) -> Option<bool> {
        match self {
            ColumnValues::Bool(chunk) => chunk.get(row).copied(),
            _ => None,
        }
    }

    /// Adds those of another piece of the same column that are to be kept.
    pub(super) fn append(&mut self, other: ColumnValues, keep: &[bool]) {
        match (self, other) {
            (ColumnValues::Bytes(all), ColumnValues::Bytes(more)) => all.append(more, keep),
            (ColumnValues::Int(all), ColumnValues::Int(more)) => all.append(more, keep),
            (ColumnValues::Long(all), ColumnValues::Long(more)) => all.append(more, keep),
            (ColumnValues::Bool(all), ColumnValues::Bool(more)) => all.append(more, keep),
            _ => {}
        }
    }

    /// No values, of the type of that column.
    pub(super) fn empty(column: Column) -> Self {
        use super::schema::Shape;
        match column.shape() {
            Shape::Text | Shape::Binary => ColumnValues::Bytes(empty(column)),
            Shape::Int => ColumnValues::Int(empty(column)),
            Shape::Time => ColumnValues::Long(empty(column)),
            Shape::Bool => ColumnValues::Bool(empty(column)),
        }
    }
}

fn empty<T>(column: Column) -> TypedValues<T> {
    TypedValues {
        values: Vec::new(),
        present: column.optional().then(Vec::new),
    }
}

/// The values of a column in these rows.
pub(super) fn of_rows(column: Column, rows: &[LogRow]) -> ColumnValues {
    match column {
        Column::Identity => identities(rows),
        Column::Version => ints(rows),
        Column::Provider => text(rows, |row| row.event.delivery.provider.as_str()),
        Column::User => text(rows, |row| row.event.delivery.user.as_str()),
        Column::Kind => text(rows, |row| row.event.kind.name()),
        Column::BounceClass => optional(rows, |row| {
            row.event.bounce_class.map(|class| class.name().as_bytes())
        }),
        Column::Machine => ColumnValues::Bool(TypedValues::required(
            rows.iter().map(|row| row.event.machine).collect(),
        )),
        Column::MessageId => text(rows, |row| &row.event.message_id),
        Column::EventKey => text(rows, |row| &row.event.event_key),
        Column::Recipient => optional(rows, |row| {
            row.event.recipient.as_ref().map(|text| text.as_bytes())
        }),
        Column::OccurredAt => occurred(rows),
        Column::ReceivedAt => ColumnValues::Long(TypedValues::required(
            rows.iter()
                .map(|row| row.event.delivery.received_at.0)
                .collect(),
        )),
        Column::BatchId => text(rows, |row| &row.batch_id),
        Column::RecipientId => text(rows, |row| &row.recipient_id),
        Column::Raw => optional(rows, |row| row.event.raw.as_deref()),
    }
}

fn ints(rows: &[LogRow]) -> ColumnValues {
    ColumnValues::Int(TypedValues::required(
        rows.iter().map(|row| row.version as i32).collect(),
    ))
}

fn occurred(rows: &[LogRow]) -> ColumnValues {
    let time = |row: &LogRow| row.event.occurred_at;
    ColumnValues::Long(TypedValues {
        values: rows
            .iter()
            .map(|row| time(row).map_or(0, |at| at.0))
            .collect(),
        present: Some(
            rows.iter()
                .map(|row| i16::from(time(row).is_some()))
                .collect(),
        ),
    })
}

fn identities(rows: &[LogRow]) -> ColumnValues {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut buffer = Vec::with_capacity(rows.len() * 32);
    for row in rows {
        for byte in row.event.identity.to_bytes() {
            buffer.push(DIGITS[usize::from(byte >> 4)]);
            buffer.push(DIGITS[usize::from(byte & 15)]);
        }
    }
    ColumnValues::Bytes(TypedValues::required(slices(
        buffer,
        rows.iter().map(|_| 32),
    )))
}

fn text<'a>(rows: &'a [LogRow], get: impl Fn(&'a LogRow) -> &'a str) -> ColumnValues {
    let bytes = |row| get(row).as_bytes();
    let buffer = gathered(rows.iter().map(bytes));
    let lengths = rows.iter().map(|row| get(row).len());
    ColumnValues::Bytes(TypedValues::required(slices(buffer, lengths)))
}

fn optional<'a>(rows: &'a [LogRow], get: impl Fn(&'a LogRow) -> Option<&'a [u8]>) -> ColumnValues {
    let buffer = gathered(rows.iter().filter_map(&get));
    let lengths = rows.iter().map(|row| get(row).map_or(0, <[u8]>::len));
    ColumnValues::Bytes(TypedValues {
        values: slices(buffer, lengths),
        present: Some(
            rows.iter()
                .map(|row| i16::from(get(row).is_some()))
                .collect(),
        ),
    })
}

/// All values behind each other: one allocation a column instead of one a value.
fn gathered<'a>(values: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(values.clone().map(<[u8]>::len).sum());
    values.for_each(|value| buffer.extend_from_slice(value));
    buffer
}

fn slices(buffer: Vec<u8>, lengths: impl Iterator<Item = usize>) -> Vec<ByteArray> {
    let buffer = Bytes::from(buffer);
    let mut at = 0;
    lengths
        .map(|length| {
            let value = buffer.slice(at..at + length);
            at += length;
            ByteArray::from(value)
        })
        .collect()
}
