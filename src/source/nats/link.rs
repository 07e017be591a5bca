//! The connection for everything but messages: what is known of it, and the interface to streams and consumers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_nats::jetstream::Context;
use async_nats::{Client, Event};

/// What is known of the connection: told by the driver, read by the reader.
#[derive(Clone, Debug, Default)]
pub struct Link {
    connections: Arc<AtomicU64>,
    down: Arc<AtomicBool>,
}

impl Link {
    /// Takes what the driver tells.
    pub fn told(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.connections.fetch_add(1, Ordering::Relaxed);
                self.down.store(false, Ordering::Relaxed);
            }
            Event::Disconnected | Event::Closed => self.down.store(true, Ordering::Relaxed),
            Event::SlowConsumer(_) => {
                // The requests bound what may be under way, so this cannot be; the server would deliver again.
                tracing::warn!("messages were dropped before they were read");
            }
            other => tracing::debug!(%other, "the connection to NATS"),
        }
    }

    /// Which connection it is, counted.
    pub fn number(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether there is none at the moment.
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }
}

/// The interface to streams and consumers.
pub fn jetstream(client: &Client) -> Context {
    async_nats::jetstream::new(client.clone())
}
