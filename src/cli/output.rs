//! Where a command writes: results to standard output, everything else to standard error.

use std::io::{self, Write};

use crate::error::{Exit, Fatal};

/// Where a command writes.
pub struct Output<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Notes and errors.
    pub err: &'a mut dyn Write,
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Output")
    }
}

impl Output<'_> {
    /// Prints a result. A closed pipe (`| head`) is no error.
    pub fn print(&mut self, text: &str) -> Result<(), Fatal> {
        match self.out.write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let message = format!("standard output cannot be written: {error}");
                Err(Fatal::new(Exit::Input, message))
            }
            _ => Ok(()),
        }
    }

    /// Prints a note. A closed standard error is ignored.
    pub fn say(&mut self, text: &str) {
        writeln!(self.err, "{text}").unwrap_or_default();
    }
}
