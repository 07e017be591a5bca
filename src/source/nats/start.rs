//! From nothing to a reader that may begin.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;

use super::config::NatsConfig;
use super::connect::connect;
use super::connection_status::ConnectionStatus;
use super::reader::Reader;
use super::stream::{StreamState, check, find};
use crate::error::{Exit, Fatal};
use crate::failpoint::{self, Failpoint};
use crate::source::SourceContext;
use crate::source::connect_error::ConnectError;

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The whole life of a source.
pub async fn run(config: NatsConfig, context: SourceContext) -> Result<(), Fatal> {
    let Some((client, status, found)) = connect_until_stopped(&config, &context).await? else {
        return Ok(());
    };
    tracing::info!(
        stream = config.stream,
        consumers = config.consumers().len(),
        messages = found.stream.state.messages,
        "reading from NATS"
    );
    let mut reader = Reader::new(config, context, client, status).await?;
    reader.run(&found).await
}

/// Connects and checks, however long it takes; none if the job stopped before.
async fn connect_until_stopped(
    config: &NatsConfig,
    context: &SourceContext,
) -> Result<Option<(Client, ConnectionStatus, StreamState)>, Fatal> {
    let mut wait = Duration::from_millis(100);
    while !context.stop.load(Ordering::Relaxed) {
        match attempt(config).await {
            Ok(connected) => {
                context.health.recovered("broker");
                return Ok(Some(connected));
            }
            Err(ConnectError::Permanent(why)) => return Err(Fatal::new(Exit::Config, why)),
            Err(ConnectError::Transient(why)) => context.health.degraded("broker", why),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    Ok(None)
}

async fn attempt(
    config: &NatsConfig,
) -> Result<(Client, ConnectionStatus, StreamState), ConnectError> {
    let status = ConnectionStatus::default();
    let events = status.clone();
    let client = failpoint::run_async(
        Failpoint::SourceConnect,
        connect(&config.connection, move |event| events.record(&event)),
    )
    .await?;
    let found = find(&async_nats::jetstream::new(client.clone()), config).await?;
    check(&found, config)?;
    Ok((client, status, found))
}
