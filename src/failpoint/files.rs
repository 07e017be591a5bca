//! File calls that name their point.
#![allow(
    clippy::disallowed_methods,
    reason = "this module makes the forbidden calls for all others"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::{Failpoint, run};

/// Opens a file for reading.
pub fn open(point: Failpoint, path: &Path) -> io::Result<File> {
    run(point, || File::open(path))
}

/// Creates (or truncates) a file that only its owner can read (0600).
pub fn create(point: Failpoint, path: &Path) -> io::Result<File> {
    run(point, || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
    })
}

/// Opens a file that only its owner can read (0600) for appending, making it where it is missing.
pub fn append(point: Failpoint, path: &Path) -> io::Result<File> {
    run(point, || {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
    })
}

/// Writes all bytes.
pub fn write_all(point: Failpoint, file: &mut File, bytes: &[u8]) -> io::Result<()> {
    run(point, || file.write_all(bytes))
}

/// Opens a file that only its owner can read (0600) for reading and writing, making it where it is missing.
pub fn open_shared(point: Failpoint, path: &Path) -> io::Result<File> {
    run(point, || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
    })
}

/// Writes all bytes at a place of a file.
pub fn write_at(point: Failpoint, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    run(point, || file.write_all_at(bytes, offset))
}

/// Makes a file's bytes and size durable.
pub fn sync(point: Failpoint, file: &File) -> io::Result<()> {
    run(point, || file.sync_all())
}

/// Makes a folder's entries durable.
pub fn sync_dir(point: Failpoint, dir: &Path) -> io::Result<()> {
    run(point, || File::open(dir)?.sync_all())
}

/// Gives a file another name.
pub fn rename(point: Failpoint, from: &Path, to: &Path) -> io::Result<()> {
    run(point, || fs::rename(from, to))
}

/// Removes a file; one that is gone already is no error.
pub fn remove(point: Failpoint, path: &Path) -> io::Result<()> {
    run(point, || match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
}

/// Creates (or truncates) a file that no job depends on and that only its owner can read (0600); it names no point.
pub fn create_output(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Removes such a file; one that is gone already is no error.
pub fn remove_output(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a folder and those above it.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// A reader every read of which passes a point.
#[derive(Debug)]
pub struct PointReader<R> {
    point: Failpoint,
    inner: R,
}

impl<R: Read> PointReader<R> {
    /// Wraps a reader.
    pub const fn new(point: Failpoint, inner: R) -> Self {
        Self { point, inner }
    }
}

impl<R: Read> Read for PointReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        run(self.point, || self.inner.read(buffer))
    }
}
