//! From nothing to a reader that may begin, and again when the connection must be made anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::{Client, Event};

use super::connect::{Trouble, connect};
use super::reader::Reader;
use super::settings::Settings;
use super::stream::{Found, check, find};
use crate::error::{Exit, Fatal};
use crate::source::broker::Ends;

/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(2);

/// What is known of the connection: told by the driver, read by the reader.
#[derive(Clone, Debug, Default)]
pub struct Link {
    connections: Arc<AtomicU64>,
    down: Arc<AtomicBool>,
}

impl Link {
    fn told(&self, event: &Event) {
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

/// The whole life of a source.
pub async fn run(settings: Settings, ends: Ends) -> Result<(), Fatal> {
    let Some((client, link, found)) = reached(&settings, &ends).await? else {
        return Ok(());
    };
    tracing::info!(
        stream = settings.stream,
        lanes = settings.lanes.count(),
        messages = found.stream.state.messages,
        "reading from NATS"
    );
    Reader::new(settings, ends, client, link)
        .await?
        .run(&found)
        .await
}

/// Connects and checks, however long it takes; none if the job stopped before.
async fn reached(settings: &Settings, ends: &Ends) -> Result<Option<(Client, Link, Found)>, Fatal> {
    let mut wait = Duration::from_millis(100);
    while !ends.stop.load(Ordering::Relaxed) {
        match attempt(settings).await {
            Ok(reached) => {
                ends.condition.well("broker");
                return Ok(Some(reached));
            }
            Err(Trouble::Refused(why)) => return Err(Fatal::new(Exit::Config, why)),
            Err(Trouble::Passing(why)) => ends.condition.trouble("broker", why),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST);
    }
    Ok(None)
}

async fn attempt(settings: &Settings) -> Result<(Client, Link, Found), Trouble> {
    let link = Link::default();
    let told = link.clone();
    let client = connect(&settings.connection, move |event| told.told(&event)).await?;
    let context = jetstream(&client);
    let found = find(&context, settings).await?;
    check(&found, settings)?;
    Ok((client, link, found))
}

/// The interface to streams and consumers.
pub fn jetstream(client: &Client) -> Context {
    async_nats::jetstream::new(client.clone())
}
