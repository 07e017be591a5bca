//! A folder of raw request bodies: each file is one delivery of the provider that the user named.
//!
//! `_requests.json` (`{"file name": {"method": …, "url": …, "headers": {…}}}`), if it exists, gives each file's request;
//! other names that start with `_` are ignored. Offsets count files, sorted by name. Such a partition is never resumed: it is
//! read again, and what was applied before is a duplicate.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use compact_str::CompactString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::inputs::sorted_files;
use crate::event::{Delivery, Headers, Millis, Origin, Provider, User};
use crate::failpoint::{self, Failpoint, PointReader};

/// The bodies of one folder.
#[derive(Debug)]
pub struct Bodies {
    paths: Vec<PathBuf>,
    requests: HashMap<String, BodyRequest>,
    provider: Provider,
    user: User,
    /// Bodies are read up to one byte beyond it, so that the decoder can report the limit.
    body_bytes_max: usize,
}

#[derive(Debug, Deserialize)]
struct BodyRequest {
    method: Option<CompactString>,
    url: Option<CompactString>,
    headers: Option<Box<RawValue>>,
}

impl Bodies {
    /// Lists a folder and reads its `_requests.json`.
    pub fn list(
        folder: &Path,
        provider: Provider,
        user: User,
        body_bytes_max: usize,
    ) -> io::Result<Self> {
        let mut paths = sorted_files(folder)?;
        paths.retain(|path| !file_name(path).starts_with('_'));
        Ok(Self {
            paths,
            requests: requests(&folder.join("_requests.json"))?,
            provider,
            user,
            body_bytes_max,
        })
    }

    /// Number of deliveries.
    pub const fn count(&self) -> usize {
        self.paths.len()
    }

    /// Reads the delivery of that number; `None` after the last one.
    pub fn read(&self, partition: u32, at: usize) -> Option<io::Result<Delivery>> {
        let path = self.paths.get(at)?;
        let body = read_at_most(path, self.body_bytes_max.saturating_add(1));
        let origin = Origin {
            partition,
            offset: at as u64,
        };
        Some(body.map(|body| self.delivery(origin, &file_name(path), body)))
    }

    fn delivery(&self, origin: Origin, name: &str, body: Bytes) -> Delivery {
        let request = self.requests.get(name);
        let method = request.and_then(|request| request.method.clone());
        let headers = request.and_then(|request| request.headers.as_ref());
        Delivery {
            origin,
            provider: self.provider.clone(),
            user: self.user.clone(),
            method: method.unwrap_or_else(|| "POST".into()),
            url: request
                .and_then(|request| request.url.clone())
                .unwrap_or_default(),
            headers: headers
                .map(|object| Headers::from_json(Bytes::copy_from_slice(object.get().as_bytes())))
                .unwrap_or_default(),
            body,
            received_at: Millis::now(),
        }
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn read_at_most(path: &Path, bytes_max: usize) -> io::Result<Bytes> {
    let file = failpoint::open(Failpoint::SourceOpen, path)?;
    let mut body = Vec::new();
    PointReader::new(Failpoint::SourceRead, file)
        .take(bytes_max as u64)
        .read_to_end(&mut body)?;
    Ok(body.into())
}

/// A missing file means no requests. A file that cannot be parsed is an error, because decoding needs the headers.
fn requests(path: &Path) -> io::Result<HashMap<String, BodyRequest>> {
    const BYTES_MAX: usize = 64 << 20;
    match read_at_most(path, BYTES_MAX) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
        Err(error) => Err(error),
    }
}
