//! The demonstration: sample data in the store's folder, made on first use, and the request to replay it.

use std::path::{Path, PathBuf};

use super::request::{Input, JobRequest, Snapshot};
use crate::error::{Exit, Fatal};
use crate::generator::{GeneratorConfig, SnapshotFormat, is_complete, write_to};

/// Where the sample of a store lies.
pub fn folder(store: &Path) -> PathBuf {
    store.join("sample")
}

/// Turns the demonstration into a replay of files; leaves every other request as it is.
pub fn resolve(mut request: JobRequest) -> Result<JobRequest, Fatal> {
    if request.input != Input::Demo {
        return Ok(request);
    }
    let folder = folder(&request.plan.store_dir);
    if !is_complete(&folder) {
        make(&folder)?;
    }
    let file = |name: &str| folder.join(name);
    request.input = Input::Files {
        paths: vec![file("deliveries.jsonl")],
        provider: None,
    };
    request.snapshot = Snapshot {
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
    written.map(drop).map_err(|error| {
        let message = format!(
            "sample data cannot be written to {}: {error}",
            folder.display()
        );
        Fatal::new(Exit::Input, message)
    })
}
