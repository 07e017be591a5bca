//! Small files that a command reads or writes whole, outside any job.
#![allow(
    clippy::disallowed_methods,
    reason = "no edge of a job: nothing here needs to survive a crash"
)]

use std::path::Path;

use crate::error::{Exit, Fatal};

/// Reads a file whole.
pub fn read(path: &Path) -> Result<Vec<u8>, Fatal> {
    std::fs::read(path).map_err(|error| {
        let message = format!("{} cannot be read: {error}", path.display());
        Fatal::new(Exit::Input, message)
    })
}

/// Writes a file whole; its folder is made if it is missing.
pub fn write(path: &Path, text: &str) -> Result<(), Fatal> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| {
            let message = format!("{} cannot be written: {error}", path.display());
            Fatal::new(Exit::Input, message)
        })
}
