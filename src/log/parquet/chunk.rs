//! Reading: files to row groups to chunks of a few thousand rows.
//!
//! Contract: a chunk reads a column only when it is asked for, so a filter that matches nothing costs the filter's
//! columns alone. What is held at a time is one page of each column that was asked for, whatever the size of the file.

use std::cmp::Reverse;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};

use super::error;
use super::folder;
use super::schema::Column;
use super::values::{ColumnValues, TypedValues};
use crate::error::{Class, SinkError};
use crate::failpoint::{self, Failpoint};

/// Rows that are filtered together.
const CHUNK_ROWS: usize = 8 * 1024;

/// How often a pass begins anew because compaction took a file away.
const PASSES_MAX: usize = 1_000;

/// Of two rows of one event the greater one is right: the higher version, then the one received first.
pub(super) type Rank = (i32, Reverse<i64>);

/// An open log file; it stays readable when it is removed.
pub(super) struct LogFile(SerializedFileReader<File>);

impl LogFile {
    /// Opens a file; none if it vanished.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, SinkError> {
        let file = match failpoint::open(Failpoint::LogOpen, path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| error::io(&error))?,
        };
        let reader = SerializedFileReader::new(file).map_err(|error| {
            let error = SinkError::from(error);
            SinkError::new(
                error.component,
                error.class,
                format!("{}: {}", path.display(), error.message),
            )
        })?;
        Ok(Some(Self(reader)))
    }

    pub(super) fn rows(&self) -> usize {
        usize::try_from(self.0.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The whole column, for compaction.
    pub(super) fn column(&self, column: Column) -> Result<ColumnValues, SinkError> {
        let mut all = ColumnValues::empty(column);
        for number in 0..self.0.num_row_groups() {
            let mut group = RowGroup::open(self.0.get_row_group(number)?)?;
            let rows = group.rows;
            all.append(group.read(column, rows)?, &[]);
        }
        Ok(all)
    }

    fn chunks(
        &self,
        visit: &mut impl FnMut(&mut FileChunk<'_>) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        for number in 0..self.0.num_row_groups() {
            let mut group = RowGroup::open(self.0.get_row_group(number)?)?;
            while group.at < group.rows {
                let rows = CHUNK_ROWS.min(group.rows - group.at);
                visit(&mut FileChunk::new(&mut group, rows))?;
                group.at += rows;
            }
        }
        Ok(())
    }
}

/// Shows every chunk of every file. When compaction takes a file away it begins anew, so `visit` may see rows twice.
pub(super) fn scan(
    root: &Path,
    mut visit: impl FnMut(&mut FileChunk<'_>) -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    for _ in 0..PASSES_MAX {
        if pass(root, &mut visit)? {
            return Ok(());
        }
    }
    let message = "files vanish faster than they can be read";
    Err(SinkError::new("parquet", Class::Outage, message))
}

/// One pass over all files; false if one of them vanished before it was opened.
fn pass(
    root: &Path,
    visit: &mut impl FnMut(&mut FileChunk<'_>) -> Result<(), SinkError>,
) -> Result<bool, SinkError> {
    for path in folder::files(root).map_err(|error| error::io(&error))? {
        match LogFile::open(&path)? {
            Some(file) => file.chunks(visit)?,
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// A row group, each column with its own place.
struct RowGroup {
    columns: Vec<Option<(ColumnReader, usize)>>,
    rows: usize,
    at: usize,
}

impl RowGroup {
    fn open(group: Box<dyn RowGroupReader + '_>) -> Result<Self, SinkError> {
        let metadata = group.metadata();
        let mut columns = Vec::with_capacity(Column::ALL.len());
        for column in Column::ALL {
            let named = |(_, found): &(usize, &parquet::file::metadata::ColumnChunkMetaData)| {
                found.column_descr().name() == column.name()
            };
            let found = metadata.columns().iter().enumerate().find(named);
            columns.push(match found {
                Some((number, _)) => Some((group.get_column_reader(number)?, 0)),
                None => None,
            });
        }
        Ok(Self {
            columns,
            rows: usize::try_from(metadata.num_rows()).unwrap_or(0),
            at: 0,
        })
    }

    /// Reads the rows from `at` on, skipping those of this column that nobody asked for.
    fn read(&mut self, column: Column, rows: usize) -> Result<ColumnValues, SinkError> {
        let at = self.at;
        let Some(Some((reader, place))) = self.columns.get_mut(column as usize) else {
            return Err(broken(column, "is missing"));
        };
        let behind = at - *place;
        *place = at + rows;
        match reader {
            ColumnReader::ByteArrayColumnReader(reader) => {
                piece(reader, column, behind, rows).map(ColumnValues::Bytes)
            }
            ColumnReader::Int32ColumnReader(reader) => {
                piece(reader, column, behind, rows).map(ColumnValues::Int)
            }
            ColumnReader::Int64ColumnReader(reader) => {
                piece(reader, column, behind, rows).map(ColumnValues::Long)
            }
            ColumnReader::BoolColumnReader(reader) => {
                piece(reader, column, behind, rows).map(ColumnValues::Bool)
            }
            _ => Err(broken(column, "has another type")),
        }
    }
}

fn broken(column: Column, what: &str) -> SinkError {
    let message = format!("a file is no event log: column {} {what}", column.name());
    SinkError::new("parquet", Class::Bug, message)
}

fn piece<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    column: Column,
    behind: usize,
    rows: usize,
) -> Result<TypedValues<T::T>, SinkError> {
    reader.skip_records(behind)?;
    let mut levels = Vec::new();
    let mut dense = Vec::with_capacity(rows);
    let (read, ..) = reader.read_records(rows, Some(&mut levels), None, &mut dense)?;
    if read != rows {
        return Err(ParquetError::EOF(format!("column {} is short", column.name())).into());
    }
    if !column.optional() {
        return Ok(TypedValues::required(dense));
    }
    let mut dense = dense.into_iter();
    let value = |level: &i16| match level {
        1 => dense.next().unwrap_or_default(),
        _ => T::T::default(),
    };
    Ok(TypedValues {
        values: levels.iter().map(value).collect(),
        present: Some(levels),
    })
}

/// Some rows that follow each other in a file.
pub(super) struct FileChunk<'a> {
    group: &'a mut RowGroup,
    rows: usize,
    read: Vec<Option<ColumnValues>>,
}

impl<'a> FileChunk<'a> {
    fn new(group: &'a mut RowGroup, rows: usize) -> Self {
        Self {
            group,
            rows,
            read: Column::ALL.iter().map(|_| None).collect(),
        }
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Reads columns, unless they are here already.
    pub(super) fn load(&mut self, columns: &[Column]) -> Result<(), SinkError> {
        for column in columns {
            if let Some(slot @ None) = self.read.get_mut(*column as usize) {
                *slot = Some(self.group.read(*column, self.rows)?);
            }
        }
        Ok(())
    }

    fn values(&self, column: Column) -> Option<&ColumnValues> {
        self.read.get(column as usize)?.as_ref()
    }

    pub(super) fn bytes(&self, column: Column, row: usize) -> Option<&[u8]> {
        self.values(column)?.bytes(row)
    }

    /// Text of a loaded column; empty where there is none.
    pub(super) fn text(&self, column: Column, row: usize) -> &str {
        let bytes = self.bytes(column, row).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    pub(super) fn time(&self, column: Column, row: usize) -> Option<i64> {
        self.values(column)?.long(row)
    }

    pub(super) fn is_set(&self, column: Column, row: usize) -> bool {
        self.values(column)
            .and_then(|values| values.bool(row))
            .unwrap_or(false)
    }

    pub(super) fn version(&self, row: usize) -> i32 {
        self.values(Column::Version)
            .and_then(|values| values.int(row))
            .unwrap_or(0)
    }

    pub(super) fn identity(&self, row: usize) -> u128 {
        identity(self.bytes(Column::Identity, row))
    }

    pub(super) fn rank(&self, row: usize) -> Rank {
        let received = self.time(Column::ReceivedAt, row).unwrap_or(0);
        (self.version(row), Reverse(received))
    }
}

/// The number that 32 hex digits stand for.
pub(super) fn identity(digits: Option<&[u8]>) -> u128 {
    let text = std::str::from_utf8(digits.unwrap_or_default()).unwrap_or_default();
    u128::from_str_radix(text, 16).unwrap_or(0)
}
