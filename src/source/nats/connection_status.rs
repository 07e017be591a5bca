//! The state of the connection, as the client library reports it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_nats::Event;

/// The state of the connection; clones share it.
#[derive(Clone, Debug, Default)]
pub struct ConnectionStatus {
    connections: Arc<AtomicU64>,
    is_down: Arc<AtomicBool>,
}

impl ConnectionStatus {
    /// Records an event of the client library.
    pub fn record(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.connections.fetch_add(1, Ordering::Relaxed);
                self.is_down.store(false, Ordering::Relaxed);
            }
            Event::Disconnected | Event::Closed => self.is_down.store(true, Ordering::Relaxed),
            Event::SlowConsumer(_) => {
                // Requests bound the messages under way, so this does not happen; the server would redeliver.
                tracing::warn!("messages were dropped before they were read");
            }
            other => tracing::debug!(%other, "the connection to NATS"),
        }
    }

    /// The number of this connection; a new one has a higher number.
    pub fn number(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether there is no connection at the moment.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }
}
