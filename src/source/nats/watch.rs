//! Looks at the stream and its consumers every few seconds, beside the reading.

use std::time::Duration;

use async_nats::jetstream::{Context, consumer, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::settings::Settings;
use super::stream::find;
use crate::source::connect_error::ConnectError;

/// What a look found.
#[derive(Debug)]
pub struct Look {
    /// When the question was asked.
    pub asked: Instant,
    /// What the server said.
    pub said: Result<Said, ConnectError>,
}

/// The stream and the consumers of our partitions; a consumer that is gone is missing.
#[derive(Debug)]
pub struct Said {
    /// The stream.
    pub stream: stream::Info,
    /// Partition by partition.
    pub partitions: Vec<(u32, Option<consumer::Info>)>,
}

/// Looks until nobody listens any more.
pub async fn watch(
    context: Context,
    settings: Settings,
    every: Duration,
    looks: mpsc::Sender<Look>,
) {
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let asked = Instant::now();
        let said = look(&context, &settings).await;
        if looks.send(Look { asked, said }).await.is_err() {
            return;
        }
    }
}

async fn look(context: &Context, settings: &Settings) -> Result<Said, ConnectError> {
    let found = find(context, settings).await?;
    let partitions = settings.partitions.iter();
    let partitions =
        partitions.map(|partition| (partition, found.consumer(settings, partition).cloned()));
    Ok(Said {
        partitions: partitions.collect(),
        stream: found.stream,
    })
}
