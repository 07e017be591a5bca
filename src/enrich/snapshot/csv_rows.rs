//! Rows of a CSV file. A file with broken quotes is refused as a whole.
//!
//! A quote that is never closed turns all lines behind it into one field. Their rows would be lost without a word, and a
//! batch would be sealed at too small a total. Therefore reading fails at the first row that
//! * is longer than [`ROW_BYTES_MAX`],
//! * is still inside a quoted field at the end of the file,
//! * has a line break in a column that is read, or
//! * has, in any other column, a line with as many separators as the header.

use std::io::{self, Read};
use std::path::Path;

use memchr::{memchr_iter, memchr2, memmem};

use super::columns::{ColumnNames, RowCells};
use super::file::{ROW_BYTES_MAX, RowAt, unreadable};
use crate::error::{Exit, Fatal};

/// Follows the last byte of the file: a row of its own, unless a quoted field is still open.
const END: &str = "\0end of file\0";
const END_LINE: &[u8] = b"\n\0end of file\0\n";
/// How far the parser may read beyond the row that it returns.
const READ_AHEAD: u64 = 64 << 10;

/// An open CSV file.
pub(super) struct CsvRows {
    reader: csv::Reader<BoundedReader>,
    /// The place in a row of each column that is read.
    places: Vec<Option<usize>>,
    /// Number of columns of the header.
    width: usize,
}

/// Why no further row can be read.
enum CsvError {
    Io(io::Error),
    /// The row that starts at this line shows that the quotes are broken.
    BrokenQuotes(u64, &'static str),
}

impl From<csv::Error> for CsvError {
    fn from(error: csv::Error) -> Self {
        CsvError::Io(error.into())
    }
}

impl CsvError {
    fn into_fatal(self, path: &Path) -> Fatal {
        match self {
            CsvError::Io(error) => unreadable(path, &error),
            CsvError::BrokenQuotes(line, what) => {
                let message = format!(
                    "{}:{line}: {what}; a quote is probably not closed or not doubled here. The file is refused and no \
                     batch of it is sealed: correct the quotes and load the file again",
                    path.display()
                );
                Fatal::new(Exit::Input, message)
            }
        }
    }
}

impl CsvRows {
    /// Reads the header; fails if a required column is missing.
    pub(super) fn open(
        path: &Path,
        bytes: Box<dyn Read>,
        columns: ColumnNames,
    ) -> Result<Self, Fatal> {
        let reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(BoundedReader::new(bytes));
        let mut rows = Self {
            reader,
            places: Vec::new(),
            width: 0,
        };
        let header = rows.read_header().map_err(|error| error.into_fatal(path))?;
        rows.width = header.len();
        let place = |name: &&str| header.iter().position(|title| title == name);
        rows.places = columns.names.iter().map(place).collect();
        columns.check(path, |index| {
            rows.places.get(index).is_some_and(Option::is_some)
        })?;
        Ok(rows)
    }

    /// The titles, without blanks around them and without the byte order mark that spreadsheets write.
    fn read_header(&mut self) -> Result<Vec<String>, CsvError> {
        let read = self.reader.byte_headers();
        let header = match read {
            Ok(header) => header.clone(),
            Err(error) => return Err(self.failure(1, error)),
        };
        self.check_quotes(1, &header)?;
        let title = |cell: &[u8]| {
            let text = String::from_utf8_lossy(cell);
            text.trim_start_matches('\u{feff}').trim().to_owned()
        };
        Ok(header.iter().map(title).collect())
    }

    /// The next row; `None` at the end of the file.
    pub(super) fn next_row(&mut self, path: &Path) -> Result<Option<RowAt>, Fatal> {
        self.read_row().map_err(|error| error.into_fatal(path))
    }

    fn read_row(&mut self) -> Result<Option<RowAt>, CsvError> {
        let start = self.reader.position().clone();
        self.reader.get_mut().limit = start.byte() + ROW_BYTES_MAX + READ_AHEAD;
        let mut record = csv::ByteRecord::new();
        match self.reader.read_byte_record(&mut record) {
            Err(error) => return Err(self.failure(start.line(), error)),
            Ok(false) => return Ok(None),
            Ok(true) if is_end(&record) => return Ok(None),
            Ok(true) => {}
        }
        let line = record.position().map_or(start.line(), csv::Position::line);
        self.check_quotes(line, &record)?;
        let cells: Result<RowCells, String> =
            self.places.iter().map(|at| cell(&record, *at)).collect();
        Ok(Some(RowAt { line, cells }))
    }

    fn failure(&self, line: u64, error: csv::Error) -> CsvError {
        if self.reader.get_ref().is_exhausted() {
            CsvError::BrokenQuotes(line, "the row is longer than 1 MiB")
        } else {
            error.into()
        }
    }

    fn check_quotes(&self, line: u64, record: &csv::ByteRecord) -> Result<(), CsvError> {
        let refuse = |what| Err(CsvError::BrokenQuotes(line, what));
        if record.as_slice().len() as u64 > ROW_BYTES_MAX {
            return refuse("the row is longer than 1 MiB");
        }
        let open = self.reader.get_ref().has_ended
            && !is_end(record)
            && memmem::find(record.as_slice(), END.as_bytes()).is_some();
        if open {
            return refuse("the file ends inside a quoted field of this row");
        }
        for (place, cell) in record.iter().enumerate() {
            if memchr2(b'\n', b'\r', cell).is_none() {
                continue;
            }
            if self.places.contains(&Some(place)) {
                return refuse("a column of this row contains a line break");
            }
            if self.holds_row(cell) {
                return refuse("a quoted field of this row contains whole rows");
            }
        }
        Ok(())
    }

    /// Whether a line behind the first of this field has as many separators as a row.
    fn holds_row(&self, cell: &[u8]) -> bool {
        let lines = cell.split(|byte| *byte == b'\n').skip(1);
        lines
            .map(|line| memchr_iter(b',', line).count() + 1)
            .any(|width| width >= self.width.max(2))
    }
}

fn is_end(record: &csv::ByteRecord) -> bool {
    record.len() == 1 && record.as_slice() == END.as_bytes()
}

fn cell(record: &csv::ByteRecord, place: Option<usize>) -> Result<Option<String>, String> {
    let Some(bytes) = place.and_then(|place| record.get(place)) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Fails when more than `limit` bytes were read, and appends [`END_LINE`] to what it reads.
struct BoundedReader {
    inner: Box<dyn Read>,
    read: u64,
    limit: u64,
    has_ended: bool,
    end: &'static [u8],
}

impl BoundedReader {
    fn new(inner: Box<dyn Read>) -> Self {
        Self {
            inner,
            read: 0,
            limit: ROW_BYTES_MAX + READ_AHEAD,
            has_ended: false,
            end: END_LINE,
        }
    }

    const fn is_exhausted(&self) -> bool {
        self.read >= self.limit
    }
}

impl Read for BoundedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_exhausted() {
            return Err(io::Error::other("the row is too long"));
        }
        let room = usize::try_from(self.limit - self.read).unwrap_or(usize::MAX);
        let room = room.min(buffer.len());
        let mut read = 0;
        if !self.has_ended {
            read = self.inner.read(&mut buffer[..room])?;
            self.has_ended = read == 0;
        }
        if self.has_ended {
            read = self.end.read(&mut buffer[..room])?;
        }
        self.read += read as u64;
        Ok(read)
    }
}
