//! Rows for people (aligned columns) and for programs (one JSON object a line).
//!
//! Contract: values come from outside, so no control character is printed: text cannot move the cursor, colour the
//! terminal or forge a line.

use std::fmt::Write;

use serde_json::Value;

use crate::observe::numbers::grouped;

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct TableColumn {
    /// The key of its values; `a.b` is the value `b` within the object `a`.
    pub key: &'static str,
    /// Its title.
    pub title: &'static str,
}

/// The widest cell; longer text is cut, `--json` shows all of it.
const WIDTH_MAX: usize = 60;

/// Columns from pairs of key and title.
pub fn columns(keys: &[(&'static str, &'static str)]) -> Vec<TableColumn> {
    keys.iter()
        .map(|(key, title)| TableColumn { key, title })
        .collect()
}

/// Aligned lines below titles; numbers are grouped and right-aligned.
pub fn render(columns: &[TableColumn], rows: &[Value]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|column| cell(at(row, column.key)))
                .collect()
        })
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| width(column, cells.iter().filter_map(|row| row.get(at))))
        .collect();
    let right: Vec<bool> = columns
        .iter()
        .map(|column| is_number(column.key, rows))
        .collect();
    let mut out = String::new();
    let titles: Vec<String> = columns.iter().map(|one| one.title.to_owned()).collect();
    push_line(&mut out, &titles, &widths, &right);
    for row in &cells {
        push_line(&mut out, row, &widths, &right);
    }
    out
}

/// One JSON object a line.
pub fn json_lines(rows: &[Value]) -> String {
    rows.iter().fold(String::new(), |mut out, row| {
        writeln!(out, "{row}").unwrap_or_default();
        out
    })
}

/// One object as `key: value` lines.
pub fn record(row: &Value) -> String {
    let fields: Vec<(&String, &Value)> = row.as_object().into_iter().flatten().collect();
    let width = fields.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    fields.iter().fold(String::new(), |mut out, (key, value)| {
        writeln!(out, "{key:<width$}  {}", full(value)).unwrap_or_default();
        out
    })
}

fn width<'a>(column: &TableColumn, cells: impl Iterator<Item = &'a String>) -> usize {
    let longest = cells.map(|text| text.chars().count()).max();
    longest.unwrap_or(0).max(column.title.chars().count())
}

fn is_number(key: &str, rows: &[Value]) -> bool {
    let mut values = rows.iter().map(|row| at(row, key)).filter(|v| !v.is_null());
    values.clone().next().is_some() && values.all(Value::is_number)
}

fn push_line(out: &mut String, cells: &[String], widths: &[usize], right: &[bool]) {
    let mut line = String::new();
    for ((text, width), right) in cells.iter().zip(widths).zip(right) {
        let written = if *right {
            write!(line, "{text:>width$}  ")
        } else {
            write!(line, "{text:<width$}  ")
        };
        written.unwrap_or_default();
    }
    writeln!(out, "{}", line.trim_end()).unwrap_or_default();
}

/// Short text for a cell: of an object only its keys.
pub fn cell(value: &Value) -> String {
    let text = match value {
        Value::Object(fields) => {
            let keys: Vec<&str> = fields.keys().map(String::as_str).collect();
            escaped(&keys.join(" "))
        }
        other => full(other),
    };
    if text.chars().count() <= WIDTH_MAX {
        return text;
    }
    let mut short: String = text.chars().take(WIDTH_MAX - 1).collect();
    short.push('…');
    short
}

/// The value at a dotted key; null if there is none.
fn at<'a>(row: &'a Value, key: &str) -> &'a Value {
    key.split('.').fold(row, |value, part| &value[part])
}

fn full(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => escaped(text),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        other => escaped(&other.to_string()),
    }
}

/// Escapes control characters and those that change the direction of text.
fn escaped(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::new(), |mut out, c| {
        if hostile(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let rows = [
            json!({ "id": "spring", "total": 1_234_567, "done": null }),
            json!({ "id": "a", "total": 5, "done": "2026" }),
        ];
        let keys = columns(&[("id", "batch"), ("total", "total"), ("done", "completed")]);
        let expected = "\
batch       total  completed
spring  1,234,567  -
a               5  2026
";
        assert_eq!(render(&keys, &rows), expected);
        assert_eq!(
            json_lines(&rows[1..]),
            "{\"done\":\"2026\",\"id\":\"a\",\"total\":5}\n"
        );
    }

    #[test]
    fn hostile_text_cannot_move_the_cursor() {
        let rows = [json!({ "id": "\u{1b}[2Jx\ny\u{202e}", "long": "z".repeat(500) })];
        let text = render(&columns(&[("id", "id"), ("long", "long")]), &rows);
        assert!(text.contains("\\u{1b}[2Jx\\ny\\u{202e}"));
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.chars().count() < 120));
    }

    #[test]
    fn nested_values_are_reached_and_objects_show_their_keys() {
        let rows =
            [json!({ "unique": { "opened": 1_000 }, "flags": { "opened": {}, "sent": {} } })];
        let keys = columns(&[
            ("unique.opened", "opened"),
            ("flags", "flags"),
            ("a.b", "x"),
        ]);
        let expected = "opened  flags        x\n 1,000  opened sent  -\n";
        assert_eq!(render(&keys, &rows), expected);
    }

    #[test]
    fn nothing_is_a_title_line() {
        assert_eq!(render(&columns(&[("id", "id")]), &[]), "id\n");
        assert_eq!(record(&json!({ "a": 1, "bc": "x" })), "a   1\nbc  x\n");
    }
}
