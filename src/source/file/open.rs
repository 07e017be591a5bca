//! Opening an input: what it is inside is told by its first bytes, never by its name.
//!
//! gzip (several members too) and zstd (several frames too) are decompressed as they are read; everything else is
//! read as it is. Every read passes [`Failpoint::SourceRead`].

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
    /// The file, if positions in it are positions in the partition.
    pub fn seekable(&self) -> Option<&File> {
        self.plain.as_ref()
    }

    /// Reads on from where the file stands now, without the bytes looked at when it was opened.
    pub fn restart_reader(&mut self) -> io::Result<()> {
        if let Some(file) = &self.plain {
            self.reader = Box::new(PointReader::new(Failpoint::SourceRead, file.try_clone()?));
        }
        Ok(())
    }

    /// How long the partition is, if that is known.
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

/// Looks at the first bytes; the flag says that nothing was compressed.
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

/// A reader that fails as soon as its flag is up, so that no loop over it outlives a stop.
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
