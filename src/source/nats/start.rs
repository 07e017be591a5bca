//! From nothing to a reader that may begin, and again when the connection must be made anew.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;

use super::connect::connect;
use super::link::{Link, jetstream};
use super::reader::Reader;
use super::settings::Settings;
use super::stream::{Found, check, find};
use crate::error::{Exit, Fatal};
use crate::failpoint::{self, Failpoint};
use crate::source::SourceContext;
use crate::source::connect_error::ConnectError;

/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(2);

/// The whole life of a source.
pub async fn run(settings: Settings, ends: SourceContext) -> Result<(), Fatal> {
    let Some((client, link, found)) = reached(&settings, &ends).await? else {
        return Ok(());
    };
    tracing::info!(
        stream = settings.stream,
        partitions = settings.partitions.count(),
        messages = found.stream.state.messages,
        "reading from NATS"
    );
    Reader::new(settings, ends, client, link)
        .await?
        .run(&found)
        .await
}

/// Connects and checks, however long it takes; none if the job stopped before.
async fn reached(
    settings: &Settings,
    ends: &SourceContext,
) -> Result<Option<(Client, Link, Found)>, Fatal> {
    let mut wait = Duration::from_millis(100);
    while !ends.stop.load(Ordering::Relaxed) {
        match attempt(settings).await {
            Ok(reached) => {
                ends.health.recovered("broker");
                return Ok(Some(reached));
            }
            Err(ConnectError::Permanent(why)) => return Err(Fatal::new(Exit::Config, why)),
            Err(ConnectError::Transient(why)) => ends.health.degraded("broker", why),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST);
    }
    Ok(None)
}

async fn attempt(settings: &Settings) -> Result<(Client, Link, Found), ConnectError> {
    let link = Link::default();
    let told = link.clone();
    let client = failpoint::run_async(
        Failpoint::SourceConnect,
        connect(&settings.connection, move |event| told.told(&event)),
    )
    .await?;
    let context = jetstream(&client);
    let found = find(&context, settings).await?;
    check(&found, settings)?;
    Ok((client, link, found))
}
