//! Files that a command reads, writes or checks outside any job.
#![allow(
    clippy::disallowed_methods,
    reason = "not part of a job: nothing here needs to survive a crash"
)]

use std::path::Path;

use crate::error::{Exit, Fatal};
use crate::source::file::inputs::FileInput;

/// Why a file cannot be read, in a sentence with its name. Pipes and devices are not opened.
pub fn check(path: &Path) -> Result<(), String> {
    let opened = path.metadata().and_then(|meta| {
        if meta.is_file() {
            std::fs::File::open(path).map(drop)
        } else if meta.is_dir() {
            path.read_dir().map(drop)
        } else {
            Ok(())
        }
    });
    opened.map_err(|error| cannot_be_read(&path.display().to_string(), &error))
}

/// The same for an input of a job.
pub fn check_input(input: &FileInput) -> Result<(), String> {
    match input {
        FileInput::Lines(path) | FileInput::Bodies(path) => check(path),
        FileInput::Stdin => Ok(()),
        FileInput::Unreadable(name, reason) => Err(cannot_be_read(name, reason)),
    }
}

fn cannot_be_read(name: &str, reason: &impl std::fmt::Display) -> String {
    format!("{name} cannot be read: {reason}")
}

/// Reads a file whole.
pub fn read(path: &Path) -> Result<Vec<u8>, Fatal> {
    std::fs::read(path).map_err(|error| {
        let name = path.display().to_string();
        Fatal::new(Exit::Input, cannot_be_read(&name, &error))
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
