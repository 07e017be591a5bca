//! A snapshot file: CSV or JSON Lines, plain or compressed (`.gz`, `.zst`), read row by row.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::columns::{ColumnNames, RowCells};
use super::csv_rows::CsvRows;
use super::json_rows::JsonRows;
use crate::error::{Exit, Fatal};
use crate::failpoint::{self, Failpoint, PointReader};

/// The longest row, in bytes.
pub(super) const ROW_BYTES_MAX: u64 = 1 << 20;

/// The line at which a row starts, and its cells or why it has none.
pub(super) struct RowAt {
    pub(super) line: u64,
    pub(super) cells: Result<RowCells, String>,
}

/// An open snapshot file.
pub(super) struct SnapshotFile {
    path: PathBuf,
    rows: FileRows,
}

enum FileRows {
    Csv(Box<CsvRows>),
    Json(JsonRows),
}

impl SnapshotFile {
    /// Opens a file; its name tells the format.
    pub(super) fn open(path: &Path, columns: ColumnNames) -> Result<Self, Fatal> {
        let name = path.to_string_lossy().to_ascii_lowercase();
        let bytes = decompressed(path, &name).map_err(|error| unreadable(path, &error))?;
        let stem = name.trim_end_matches(".gz").trim_end_matches(".zst");
        let rows = if stem.ends_with(".csv") {
            FileRows::Csv(Box::new(CsvRows::open(path, bytes, columns)?))
        } else if stem.ends_with(".jsonl") || stem.ends_with(".ndjson") {
            FileRows::Json(JsonRows::new(bytes, columns))
        } else {
            let message = format!(
                "{}: its name must end in .csv, .jsonl or .ndjson, optionally followed by .gz or .zst",
                path.display()
            );
            return Err(Fatal::new(Exit::Config, message));
        };
        Ok(Self {
            path: path.to_owned(),
            rows,
        })
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next row; `None` at the end of the file.
    pub(super) fn next_row(&mut self) -> Result<Option<RowAt>, Fatal> {
        match &mut self.rows {
            FileRows::Csv(rows) => rows.next_row(&self.path),
            FileRows::Json(rows) => rows.next_row(&self.path),
        }
    }
}

fn decompressed(path: &Path, name: &str) -> io::Result<Box<dyn Read>> {
    let file: File = failpoint::open(Failpoint::SnapshotOpen, path)?;
    let bytes = PointReader::new(Failpoint::SnapshotRead, file);
    Ok(if name.ends_with(".gz") {
        Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(bytes)))
    } else if name.ends_with(".zst") {
        Box::new(zstd::stream::read::Decoder::new(bytes)?)
    } else {
        Box::new(bytes)
    })
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Fatal {
    Fatal::new(
        Exit::Input,
        format!("{} cannot be read: {error}", path.display()),
    )
}
