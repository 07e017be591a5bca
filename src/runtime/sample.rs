//! The demonstration: sample data in the store's folder, made on first use, and the request to replay it.

use std::path::{Path, PathBuf};

use super::request::{Input, JobRequest, SinkMode, SnapshotFiles};
use super::store::store_contents;
use crate::error::{Exit, Fatal};
use crate::failpoint;
use crate::generator::{GeneratorConfig, SnapshotFormat, is_complete, write_to};

/// Where the sample of a store lies.
pub fn folder(store: &Path) -> PathBuf {
    store.join("sample")
}

/// Whether nothing but the sample was ever written to the store in this folder.
pub fn holds_only_sample(store: &Path) -> bool {
    marker(store).is_file()
}

/// Records that a store holds nothing but the sample. Every other command that writes to it removes the record first.
fn marker(store: &Path) -> PathBuf {
    folder(store).join("only")
}

/// To be called before anything but the sample is written to a store.
pub fn expect_other_data(store: &Path) -> Result<(), Fatal> {
    let marker = marker(store);
    failpoint::remove_output(&marker).map_err(|error| {
        let message = format!("{} cannot be deleted: {error}", marker.display());
        Fatal::new(Exit::Input, message)
    })
}

/// Turns the demonstration into a replay of files; leaves every other request as it is.
pub fn resolve(mut request: JobRequest) -> Result<JobRequest, Fatal> {
    let store = &request.plan.store_dir;
    if request.input != Input::Demo {
        if request.sinks == SinkMode::Durable {
            expect_other_data(store)?;
        }
        return Ok(request);
    }
    let folder = folder(store);
    if !is_complete(&folder) {
        make(&folder)?;
    }
    if request.fresh || store_contents(store).is_empty() {
        let marked = failpoint::create_output(&marker(store));
        marked.map_err(|error| unwritable(&folder, &error))?;
    }
    let file = |name: &str| folder.join(name);
    request.input = Input::Files {
        paths: vec![file("deliveries.jsonl")],
        provider: None,
    };
    request.snapshot = SnapshotFiles {
        recipients: vec![file("snapshot.jsonl")],
        batches: Some(file("batches.jsonl")),
        late: Some(file("snapshot-late.jsonl")),
    };
    Ok(request)
}

fn make(folder: &Path) -> Result<(), Fatal> {
    tracing::info!(folder = %folder.display(), "making sample data, once");
    let written = write_to(
        folder,
        GeneratorConfig::default(),
        SnapshotFormat::Jsonl,
        |_| {},
    );
    written
        .map(drop)
        .map_err(|error| unwritable(folder, &error))
}

fn unwritable(folder: &Path, error: &std::io::Error) -> Fatal {
    let message = format!(
        "sample data cannot be written to {}: {error}",
        folder.display()
    );
    Fatal::new(Exit::Input, message)
}
