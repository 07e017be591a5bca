//! The columns that a source of rows must have, and the cells of one row.

use crate::recipient::BATCH_KEY_BYTES_MAX;
use std::path::Path;

use crate::error::{Exit, Fatal};
use crate::event::Millis;

/// The names of the columns to read. The first `required` must exist.
#[derive(Clone, Copy, Debug)]
pub struct ColumnNames {
    /// The names, in the order of [`RowCells`].
    pub names: &'static [&'static str],
    /// How many of them a file must have.
    pub required: usize,
}

/// The text of each column of one row, in the order of [`ColumnNames`]; `None` where it is absent, null or empty.
pub type RowCells = Vec<Option<String>>;

impl ColumnNames {
    /// Refuses a file that lacks a required column; `has` tells whether the column of that index exists.
    pub(super) fn check(self, path: &Path, has: impl Fn(usize) -> bool) -> Result<(), Fatal> {
        let required = self.names.iter().take(self.required).enumerate();
        let missing: Vec<&str> = required
            .filter(|(index, _)| !has(*index))
            .map(|(_, name)| *name)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{}: the column {} is missing; add it, even if it is empty",
            path.display(),
            missing.join(", ")
        );
        Err(Fatal::new(Exit::Config, message))
    }
}

/// Takes the cells of a row one after the other and checks each. Errors name the column, never its value.
pub(super) struct CellReader {
    names: std::slice::Iter<'static, &'static str>,
    cells: std::vec::IntoIter<Option<String>>,
}

impl CellReader {
    pub(super) fn new(columns: ColumnNames, cells: RowCells) -> Self {
        Self {
            names: columns.names.iter(),
            cells: cells.into_iter(),
        }
    }

    fn next(&mut self) -> Result<(&'static str, Option<String>), String> {
        let name = self.names.next().copied().unwrap_or_default();
        match self.cells.next().flatten() {
            Some(text) if text.contains('\0') => Err(format!("{name} contains a NUL")),
            cell => Ok((name, cell)),
        }
    }

    /// A part of a batch's key, which has a limit in bytes.
    pub(super) fn key(&mut self) -> Result<Option<String>, String> {
        let (name, cell) = self.next()?;
        match cell {
            Some(text) if text.len() > BATCH_KEY_BYTES_MAX => {
                Err(format!("{name} is longer than {BATCH_KEY_BYTES_MAX} bytes"))
            }
            cell => Ok(cell),
        }
    }

    pub(super) fn required(&mut self) -> Result<String, String> {
        let (name, cell) = self.next()?;
        cell.ok_or_else(|| format!("{name} is empty"))
    }

    pub(super) fn time(&mut self) -> Result<Option<Millis>, String> {
        let (name, cell) = self.next()?;
        let Some(text) = cell else { return Ok(None) };
        match Millis::parse_rfc3339(&text) {
            Some(at) => Ok(Some(at)),
            None => Err(format!("{name} is no RFC 3339 time")),
        }
    }

    pub(super) fn count(&mut self) -> Result<Option<u64>, String> {
        let (name, cell) = self.next()?;
        let Some(text) = cell else { return Ok(None) };
        match text.parse::<u64>() {
            Ok(count) if i64::try_from(count).is_ok() => Ok(Some(count)),
            _ => Err(format!("{name} is no count")),
        }
    }
}
