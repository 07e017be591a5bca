//! The columns of a log file.
//!
//! Contract: names and types are part of the stored format, chosen so that any Parquet reader (DuckDB, Polars, …) can
//! use them as they are: text is UTF-8, the identity is 32 hex digits, times are UTC milliseconds. Columns are found by
//! name, so a later version may add some.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

/// How the values of a column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Binary,
    Int,
    Bool,
    Time,
}

macro_rules! columns {
    ($($name:ident $text:literal $shape:ident $repetition:ident $repeats:literal,)*) => {
        /// One column; its number is its place in a file that this version writes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Column { $($name,)* }

        impl Column {
            pub(super) const ALL: &'static [Column] = &[$(Column::$name,)*];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Column::$name => $text,)* }
            }

            pub(super) const fn shape(self) -> Shape {
                match self { $(Column::$name => Shape::$shape,)* }
            }

            const fn repetition(self) -> Repetition {
                match self { $(Column::$name => Repetition::$repetition,)* }
            }

            /// Few distinct values: worth a dictionary. For the rest building one costs more than it saves.
            const fn repeats(self) -> bool {
                match self { $(Column::$name => $repeats,)* }
            }
        }
    };
}

columns! {
    Identity "identity" Text REQUIRED false,
    Version "version" Int REQUIRED true,
    Provider "provider" Text REQUIRED true,
    User "user" Text REQUIRED true,
    Kind "kind" Text REQUIRED true,
    BounceClass "bounce_class" Text OPTIONAL true,
    Machine "machine" Bool REQUIRED false,
    MessageId "message_id" Text REQUIRED false,
    EventKey "event_key" Text REQUIRED false,
    Recipient "recipient" Text OPTIONAL false,
    OccurredAt "occurred_at" Time OPTIONAL false,
    ReceivedAt "received_at" Time REQUIRED false,
    BatchId "batch_id" Text REQUIRED true,
    RecipientId "recipient_id" Text REQUIRED false,
    Raw "raw" Binary OPTIONAL false,
}

impl Column {
    pub(super) fn optional(self) -> bool {
        self.repetition() == Repetition::OPTIONAL
    }

    fn physical(self) -> Physical {
        match self.shape() {
            Shape::Text | Shape::Binary => Physical::BYTE_ARRAY,
            Shape::Int => Physical::INT32,
            Shape::Bool => Physical::BOOLEAN,
            Shape::Time => Physical::INT64,
        }
    }

    fn logical(self) -> Option<LogicalType> {
        match self.shape() {
            Shape::Text => Some(LogicalType::String),
            Shape::Time => Some(LogicalType::Timestamp {
                is_adjusted_to_u_t_c: true,
                unit: TimeUnit::MILLIS,
            }),
            Shape::Binary | Shape::Int | Shape::Bool => None,
        }
    }

    fn field(self) -> Result<TypePtr, ParquetError> {
        Type::primitive_type_builder(self.name(), self.physical())
            .with_repetition(self.repetition())
            .with_logical_type(self.logical())
            .build()
            .map(Arc::new)
    }
}

/// The schema of every file that this version writes.
pub(super) fn schema() -> Result<TypePtr, ParquetError> {
    let fields = Column::ALL
        .iter()
        .map(|column| column.field())
        .collect::<Result<Vec<_>, _>>()?;
    Type::group_type_builder("events")
        .with_fields(fields)
        .build()
        .map(Arc::new)
}

/// How files are written: zstd at its fastest level, dictionaries only where values repeat.
pub(super) fn properties() -> Result<WriterPropertiesPtr, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("hookflow ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false);
    for column in Column::ALL {
        let path = ColumnPath::from(column.name());
        properties = properties.set_column_dictionary_enabled(path, column.repeats());
    }
    Ok(Arc::new(properties.build()))
}
