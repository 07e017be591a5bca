//! How Postgres writes the query of a poll.

use super::cursor::TableCursorKind;
use super::select::{ColumnInfo, ColumnType, Dialect};

/// Postgres.
pub(super) struct Postgres;

/// RFC 3339 with microseconds, for `to_char`.
const RFC_3339: &str = r#"'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"#;

impl Postgres {
    /// What a type holds.
    pub(super) fn kind(of: &str) -> ColumnType {
        match of {
            "int2" | "int4" | "int8" => ColumnType::Number,
            "timestamptz" | "timestamp" | "date" => ColumnType::Time,
            _ => ColumnType::Other,
        }
    }

    /// A column of times as a point in time; what has no zone is in UTC.
    fn point(&self, column: &ColumnInfo) -> String {
        let name = self.quoted(&column.name);
        match column.of.as_str() {
            "timestamptz" => name,
            _ => format!("({name}::timestamp AT TIME ZONE 'UTC')"),
        }
    }
}

impl Dialect for Postgres {
    fn quoted(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn text(&self, column: &ColumnInfo) -> String {
        match column.kind {
            ColumnType::Time => {
                let point = self.point(column);
                format!("to_char({point} AT TIME ZONE 'UTC', {RFC_3339})")
            }
            ColumnType::Number | ColumnType::Other => {
                format!("{}::text", self.quoted(&column.name))
            }
        }
    }

    fn no_text(&self) -> &'static str {
        "NULL::text"
    }

    fn number(&self, column: &ColumnInfo, kind: TableCursorKind) -> String {
        match kind {
            TableCursorKind::Number => format!("{}::int8", self.quoted(&column.name)),
            TableCursorKind::Time => {
                let point = self.point(column);
                format!("floor(extract(epoch FROM {point}) * 1000000)::int8")
            }
        }
    }

    fn no_number(&self) -> &'static str {
        "NULL::int8"
    }

    /// Two steps, so that the column stays bare and its index can be used.
    fn time(&self, micros: i64, column: &ColumnInfo) -> String {
        let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let point = format!("(to_timestamp({seconds}) + interval '{rest} microseconds')");
        match column.of.as_str() {
            "timestamptz" => point,
            "date" => format!("({point} AT TIME ZONE 'UTC')::date"),
            _ => format!("({point} AT TIME ZONE 'UTC')"),
        }
    }

    fn list(&self, fields: &[String], cursor: &str) -> String {
        format!("{}, {cursor}", fields.join(", "))
    }
}
