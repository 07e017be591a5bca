//! How a thread waits for what a writer does for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::error::{Class, SinkError};

/// How often a waiting caller checks whether it was cancelled.
const SLICE: Duration = Duration::from_millis(100);

/// Waits for the answer of the writer of `sink`: until the writer has ended or `cancelled` is raised.
pub(super) fn wait<R>(
    answered: &Receiver<R>,
    cancelled: Option<&AtomicBool>,
    sink: &'static str,
) -> Result<R, SinkError> {
    loop {
        match answered.recv_timeout(SLICE) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Timeout) => check_cancelled(cancelled, sink)?,
            // The caller may repeat what it asked for in the next run.
            Err(RecvTimeoutError::Disconnected) => {
                let message = "the writer has stopped";
                return Err(SinkError::new(sink, Class::Outage, message));
            }
        }
    }
}

/// Fails if the caller was cancelled.
pub(super) fn check_cancelled(
    cancelled: Option<&AtomicBool>,
    sink: &'static str,
) -> Result<(), SinkError> {
    if cancelled.is_some_and(|flag| flag.load(Ordering::SeqCst)) {
        let message = "the job was asked to stop while it waited";
        return Err(SinkError::new(sink, Class::Outage, message));
    }
    Ok(())
}
