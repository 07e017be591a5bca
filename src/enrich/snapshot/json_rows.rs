//! Rows of a file of JSON Lines. The first object must have the required columns.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::columns::{ColumnNames, RowCells};
use super::file::{ROW_BYTES_MAX, RowAt, unreadable};
use crate::error::Fatal;

/// An open file of JSON Lines.
pub(super) struct JsonRows {
    reader: BufReader<Box<dyn Read>>,
    columns: ColumnNames,
    line: u64,
    /// Whether the columns were checked, which the first object decides.
    is_checked: bool,
}

impl JsonRows {
    pub(super) fn new(bytes: Box<dyn Read>, columns: ColumnNames) -> Self {
        Self {
            reader: BufReader::with_capacity(1 << 16, bytes),
            columns,
            line: 0,
            is_checked: false,
        }
    }

    /// The next row, blank lines left out; `None` at the end of the file.
    pub(super) fn next_row(&mut self, path: &Path) -> Result<Option<RowAt>, Fatal> {
        let mut bytes = Vec::new();
        while self
            .read_line(&mut bytes)
            .map_err(|error| unreadable(path, &error))?
        {
            self.line += 1;
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let object = parse(&bytes);
            if let Ok(first) = &object
                && !self.is_checked
            {
                let name = |index: usize| self.columns.names.get(index).copied();
                self.columns.check(path, |index| {
                    first.contains_key(name(index).unwrap_or_default())
                })?;
                self.is_checked = true;
            }
            let cells = object.and_then(|object| pick(&object, self.columns));
            return Ok(Some(RowAt {
                line: self.line,
                cells,
            }));
        }
        Ok(None)
    }

    /// Reads a line and keeps at most one byte more than a row may have; returns `false` at the end.
    fn read_line(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        bytes.clear();
        let limit = ROW_BYTES_MAX + 1;
        let mut limited = self.reader.by_ref().take(limit);
        if limited.read_until(b'\n', bytes)? == 0 {
            return Ok(false);
        }
        if bytes.len() as u64 == limit && bytes.last() != Some(&b'\n') {
            self.reader.skip_until(b'\n')?;
        }
        Ok(true)
    }
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    if bytes.len() as u64 > ROW_BYTES_MAX {
        return Err(format!("it is longer than {ROW_BYTES_MAX} bytes"));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| format!("it is no JSON object (column {})", error.column()))
}

fn pick(object: &Map<String, Value>, columns: ColumnNames) -> Result<RowCells, String> {
    let text = |name: &&str| match object.get(*name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok((!text.is_empty()).then(|| text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("{name} is neither text nor a number")),
    };
    columns.names.iter().map(text).collect()
}
