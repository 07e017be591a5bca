//! Rows to the bytes of one file.
//!
//! Contract: a file is built in memory and written in one piece, so that what reaches the disk is a whole file or none.

use std::sync::Arc;

use parquet::data_type::{BoolType, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::TypePtr;

use super::schema::{Column, properties, schema};
use super::values::{ColumnValues, TypedValues, of_rows};
use crate::error::SinkError;
use crate::log::LogRow;

/// Rows in one row group at most; what a reader holds is bounded by pages, not by this.
const GROUP_ROWS: usize = 128 * 1024;

/// Writes files of the log's schema.
#[derive(Debug)]
pub struct Encoder {
    schema: TypePtr,
    properties: WriterPropertiesPtr,
}

impl Encoder {
    /// An encoder of the log's schema.
    pub fn new() -> Result<Self, SinkError> {
        Ok(Self {
            schema: schema()?,
            properties: properties()?,
        })
    }

    /// The bytes of a file with these rows.
    pub fn rows(&self, rows: &[LogRow]) -> Result<Vec<u8>, SinkError> {
        let mut file = self.file()?;
        for rows in rows.chunks(GROUP_ROWS) {
            group(&mut file, |column| Ok(of_rows(column, rows)))?;
        }
        Ok(file.into_inner()?)
    }

    /// The bytes of a file with one row group, whose columns are asked for one after the other.
    pub(super) fn columns(
        &self,
        values: impl FnMut(Column) -> Result<ColumnValues, SinkError>,
    ) -> Result<Vec<u8>, SinkError> {
        let mut file = self.file()?;
        group(&mut file, values)?;
        Ok(file.into_inner()?)
    }

    fn file(&self) -> Result<SerializedFileWriter<Vec<u8>>, ParquetError> {
        let (schema, properties) = (Arc::clone(&self.schema), Arc::clone(&self.properties));
        SerializedFileWriter::new(Vec::new(), schema, properties)
    }
}

fn group(
    file: &mut SerializedFileWriter<Vec<u8>>,
    mut values: impl FnMut(Column) -> Result<ColumnValues, SinkError>,
) -> Result<(), SinkError> {
    let mut group = file.next_row_group()?;
    for column in Column::ALL {
        let Some(mut writer) = group.next_column()? else {
            break;
        };
        write(&mut writer, &values(*column)?)?;
        writer.close()?;
    }
    group.close()?;
    Ok(())
}

fn write(
    writer: &mut SerializedColumnWriter<'_>,
    values: &ColumnValues,
) -> Result<(), ParquetError> {
    match values {
        ColumnValues::Bytes(chunk) => typed::<ByteArrayType>(writer, chunk),
        ColumnValues::Int(chunk) => typed::<Int32Type>(writer, chunk),
        ColumnValues::Long(chunk) => typed::<Int64Type>(writer, chunk),
        ColumnValues::Bool(chunk) => typed::<BoolType>(writer, chunk),
    }
}

fn typed<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    chunk: &TypedValues<T::T>,
) -> Result<(), ParquetError> {
    let writer = writer.typed::<T>();
    match &chunk.present {
        None => writer.write_batch(&chunk.values, None, None)?,
        Some(present) => writer.write_batch(&chunk.dense(), Some(present), None)?,
    };
    Ok(())
}
