//! Rows of named columns from CSV or JSON Lines, plain or compressed (`.gz`, `.zst`).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{Exit, Fatal};
use crate::failpoint::{self, Failpoint, PointReader};

/// The longest row, in bytes.
const ROW_BYTES_MAX: u64 = 1 << 20;

/// Which columns a file has; the first `required` of them it must have.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// Their names.
    pub names: &'static [&'static str],
    /// How many of them no file may lack.
    pub required: usize,
}

/// One row: the text of each column, in the order of [`Columns`]; `None` where it is absent, null or empty.
pub type Fields = Vec<Option<String>>;

/// One row with its line, or why it is none.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) fields: Result<Fields, String>,
}

/// A file being read.
pub(super) struct Table {
    path: PathBuf,
    columns: Columns,
    format: Format,
}

enum Format {
    Csv {
        reader: Box<csv::Reader<Box<dyn Read>>>,
        /// For each of our columns, its place in the file.
        places: Vec<Option<usize>>,
    },
    JsonLines {
        reader: BufReader<Box<dyn Read>>,
        line: u64,
        /// Until the first object was seen, which must have the columns.
        unchecked: bool,
    },
}

impl Table {
    /// Opens a file; its name says what it is.
    pub(super) fn open(path: &Path, columns: Columns) -> Result<Self, Fatal> {
        let name = path.to_string_lossy().to_ascii_lowercase();
        let bytes = open_plain(path, &name).map_err(|error| unreadable(path, &error))?;
        let stem = name.trim_end_matches(".gz").trim_end_matches(".zst");
        let format = if stem.ends_with(".csv") {
            open_csv(path, bytes, columns)?
        } else if stem.ends_with(".jsonl") || stem.ends_with(".ndjson") {
            Format::JsonLines {
                reader: BufReader::with_capacity(1 << 16, bytes),
                line: 0,
                unchecked: true,
            }
        } else {
            let advice =
                "its name must end in .csv, .jsonl or .ndjson, and then perhaps in .gz or .zst";
            return Err(Fatal::new(
                Exit::Config,
                format!("{}: {advice}", path.display()),
            ));
        };
        Ok(Self {
            path: path.to_owned(),
            columns,
            format,
        })
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next row, or none at the end.
    pub(super) fn next_line(&mut self) -> Result<Option<Line>, Fatal> {
        match &mut self.format {
            Format::Csv { reader, places } => {
                next_record(reader, places).map_err(|error| unreadable(&self.path, &error))
            }
            Format::JsonLines {
                reader,
                line,
                unchecked,
            } => next_object(reader, line, unchecked, self.columns, &self.path),
        }
    }
}

fn open_plain(path: &Path, name: &str) -> io::Result<Box<dyn Read>> {
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

fn open_csv(path: &Path, bytes: Box<dyn Read>, columns: Columns) -> Result<Format, Fatal> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let headers = reader
        .headers()
        .map_err(|error| unreadable(path, &error.into()))?;
    let place = |name: &&str| headers.iter().position(|header| clean(header) == *name);
    let places: Vec<Option<usize>> = columns.names.iter().map(place).collect();
    let has = |index: usize| places.get(index).is_some_and(Option::is_some);
    columns.check(path, has)?;
    Ok(Format::Csv {
        reader: Box::new(reader),
        places,
    })
}

/// A header without blanks around it and without the byte order mark that spreadsheets write.
fn clean(header: &str) -> &str {
    header.trim_start_matches('\u{feff}').trim()
}

impl Columns {
    fn check(self, path: &Path, has: impl Fn(usize) -> bool) -> Result<(), Fatal> {
        let required = self.names.iter().take(self.required).enumerate();
        let missing: Vec<&str> = required
            .filter(|(index, _)| !has(*index))
            .map(|(_, name)| *name)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.join(", ");
        let message = format!(
            "{}: no column {missing}; add it, even if it is empty",
            path.display()
        );
        Err(Fatal::new(Exit::Config, message))
    }
}

fn next_record(
    reader: &mut csv::Reader<Box<dyn Read>>,
    places: &[Option<usize>],
) -> io::Result<Option<Line>> {
    let mut record = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record)? {
        return Ok(None);
    }
    let number = record.position().map_or(0, csv::Position::line);
    let fields = places.iter().map(|place| cell(&record, *place)).collect();
    Ok(Some(Line { number, fields }))
}

fn cell(record: &csv::ByteRecord, place: Option<usize>) -> Result<Option<String>, String> {
    let Some(bytes) = place.and_then(|place| record.get(place)) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn next_object(
    reader: &mut BufReader<Box<dyn Read>>,
    line: &mut u64,
    unchecked: &mut bool,
    columns: Columns,
    path: &Path,
) -> Result<Option<Line>, Fatal> {
    let mut bytes = Vec::new();
    while read_line(reader, &mut bytes).map_err(|error| unreadable(path, &error))? {
        *line += 1;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let object = object(&bytes);
        if let (true, Ok(first)) = (*unchecked, &object) {
            let name = |index: usize| columns.names.get(index).copied().unwrap_or_default();
            columns.check(path, |index| first.contains_key(name(index)))?;
            *unchecked = false;
        }
        let fields = object.and_then(|object| pick(&object, columns));
        return Ok(Some(Line {
            number: *line,
            fields,
        }));
    }
    Ok(None)
}

type Object = serde_json::Map<String, serde_json::Value>;

fn object(bytes: &[u8]) -> Result<Object, String> {
    if bytes.len() as u64 > ROW_BYTES_MAX {
        return Err(format!("it is longer than {ROW_BYTES_MAX} bytes"));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| format!("it is no JSON object (column {})", error.column()))
}

fn pick(object: &Object, columns: Columns) -> Result<Fields, String> {
    use serde_json::Value;
    let text = |name: &&str| match object.get(*name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok((!text.is_empty()).then(|| text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("{name} is neither text nor a number")),
    };
    columns.names.iter().map(text).collect()
}

/// Reads a line, keeping at most one byte more than a row may have; answers `false` at the end.
fn read_line(reader: &mut BufReader<Box<dyn Read>>, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    let limit = ROW_BYTES_MAX + 1;
    if reader.by_ref().take(limit).read_until(b'\n', bytes)? == 0 {
        return Ok(false);
    }
    if bytes.len() as u64 == limit && bytes.last() != Some(&b'\n') {
        reader.skip_until(b'\n')?;
    }
    Ok(true)
}

fn unreadable(path: &Path, error: &io::Error) -> Fatal {
    Fatal::new(
        Exit::Input,
        format!("cannot read {}: {error}", path.display()),
    )
}
