//! Opens an input. Its first bytes, never its name, tell whether it is compressed.
//!
//! gzip (also of several members) and zstd (also of several frames) are decompressed while they are read. Every read passes
//! [`Failpoint::SourceRead`].

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failpoint::{self, Failpoint, PointReader};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// An input that is open at its first byte.
pub struct Opened {
    /// The decompressed bytes.
    pub reader: Box<dyn Read + Send>,
    /// The same file for seeking, if it is plain and can seek.
    plain: Option<File>,
}

impl Opened {
    /// The file, if offsets in it are offsets of the partition.
    pub fn seekable(&self) -> Option<&File> {
        self.plain.as_ref()
    }

    /// Continues at the current position of the file, without the bytes that were read when it was opened.
    pub fn restart_reader(&mut self) -> io::Result<()> {
        if let Some(file) = &self.plain {
            self.reader = Box::new(PointReader::new(Failpoint::SourceRead, file.try_clone()?));
        }
        Ok(())
    }

    /// The length of the partition in bytes, if it is known.
    pub fn length(&self) -> Option<u64> {
        let meta = self.plain.as_ref()?.metadata().ok()?;
        Some(meta.len())
    }
}

/// Opens a file.
pub fn file(path: &Path) -> io::Result<Opened> {
    let file = failpoint::open(Failpoint::SourceOpen, path)?;
    let regular = file.metadata()?.is_file();
    let same = file.try_clone()?;
    let (reader, plain) = decompress(PointReader::new(Failpoint::SourceRead, file))?;
    Ok(Opened {
        reader,
        plain: (plain && regular).then_some(same),
    })
}

/// Opens standard input.
pub fn stdin() -> io::Result<Opened> {
    let (reader, _) = decompress(PointReader::new(Failpoint::SourceRead, io::stdin()))?;
    Ok(Opened {
        reader,
        plain: None,
    })
}

/// Chooses the decompression by the first bytes; the flag says that there is none.
fn decompress(mut raw: impl Read + Send + 'static) -> io::Result<(Box<dyn Read + Send>, bool)> {
    let mut magic = Vec::with_capacity(ZSTD.len());
    raw.by_ref()
        .take(ZSTD.len() as u64)
        .read_to_end(&mut magic)?;
    let gzip = magic.starts_with(GZIP);
    let zstd = magic == ZSTD;
    let whole = Cursor::new(magic).chain(raw);
    if gzip {
        return Ok((Box::new(flate2::read::MultiGzDecoder::new(whole)), false));
    }
    if zstd {
        return Ok((Box::new(zstd::stream::read::Decoder::new(whole)?), false));
    }
    Ok((Box::new(whole), true))
}

/// A reader that fails as soon as its flag is raised, so that every loop over it ends on a stop.
pub struct Stoppable<R> {
    inner: R,
    stop: Arc<AtomicBool>,
}

impl<R> Stoppable<R> {
    /// Wraps a reader.
    pub const fn new(inner: R, stop: Arc<AtomicBool>) -> Self {
        Self { inner, stop }
    }
}

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("reading was stopped"));
        }
        self.inner.read(buffer)
    }
}
