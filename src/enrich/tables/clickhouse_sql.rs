//! How ClickHouse writes the query of a poll.

use super::cursor::TableCursorKind;
use super::select::{ColumnInfo, ColumnType, Dialect};

/// ClickHouse.
pub(super) struct ClickHouse;

impl ClickHouse {
    /// What a type holds, whatever it is wrapped in.
    pub(super) fn kind(of: &str) -> ColumnType {
        let inner = ["LowCardinality(", "Nullable("]
            .iter()
            .fold(of, |of, wrap| of.strip_prefix(wrap).unwrap_or(of));
        let name = inner.split(['(', ')']).next().unwrap_or_default();
        match name {
            "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" => {
                ColumnType::Number
            }
            "DateTime" | "DateTime64" | "Date" | "Date32" => ColumnType::Time,
            _ => ColumnType::Other,
        }
    }
}

impl Dialect for ClickHouse {
    fn quoted(&self, name: &str) -> String {
        format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
    }

    fn text(&self, column: &ColumnInfo) -> String {
        let name = self.quoted(&column.name);
        let text = match column.kind {
            ColumnType::Time => format!(
                "formatDateTime(toDateTime64({name}, 3, 'UTC'), '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC')"
            ),
            ColumnType::Number | ColumnType::Other => format!("toValidUTF8(toString({name}))"),
        };
        format!("CAST({text} AS Nullable(String))")
    }

    fn no_text(&self) -> &'static str {
        "CAST(NULL AS Nullable(String))"
    }

    fn number(&self, column: &ColumnInfo, kind: TableCursorKind) -> String {
        let name = self.quoted(&column.name);
        let number = match kind {
            TableCursorKind::Number => format!("toInt64({name})"),
            TableCursorKind::Time => {
                format!("toUnixTimestamp64Micro(toDateTime64({name}, 6, 'UTC'))")
            }
        };
        format!("CAST({number} AS Nullable(Int64))")
    }

    fn no_number(&self) -> &'static str {
        "CAST(NULL AS Nullable(Int64))"
    }

    fn time(&self, micros: i64, column: &ColumnInfo) -> String {
        let point = format!("fromUnixTimestamp64Micro(toInt64({micros}), 'UTC')");
        if column.of.contains("Date") && !column.of.contains("DateTime") {
            format!("toDate32({point})")
        } else {
            point
        }
    }

    fn list(&self, fields: &[String], cursor: &str) -> String {
        format!(
            "[{}] AS all_fields, {cursor} AS cursor_value",
            fields.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_in_their_wraps() {
        for (of, kind) in [
            ("UInt64", ColumnType::Number),
            ("Nullable(DateTime64(3, 'Europe/Berlin'))", ColumnType::Time),
            ("LowCardinality(Nullable(String))", ColumnType::Other),
            ("UInt128", ColumnType::Other),
            ("Date", ColumnType::Time),
        ] {
            assert_eq!(ClickHouse::kind(of), kind, "{of}");
        }
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(ClickHouse.quoted("a`b\\"), "`a\\`b\\\\`");
    }
}
