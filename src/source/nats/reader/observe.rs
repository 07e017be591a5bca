//! What the server says of the stream and its consumers, every few seconds, beside the reading.

use std::time::Duration;

use async_nats::jetstream::Context;
use tokio::sync::mpsc;

use super::intake::stream_made_anew;
use super::{Reader, ReaderPhase, client_ended};
use crate::error::{Exit, Fatal};
use crate::metrics::{Counter, Gauge};
use crate::source::connect_error::ConnectError;
use crate::source::nats::config::NatsConfig;
use crate::source::nats::stream::{StreamState, find};

/// How often the server is asked.
const EVERY: Duration = Duration::from_secs(2);

/// What the server said, or why it did not.
pub type StreamObservation = Result<StreamState, ConnectError>;

/// What earlier observations found.
#[derive(Debug, Default)]
pub struct Observed {
    /// When the stream was made.
    created: Option<String>,
    /// Messages before this sequence are accounted for.
    counted: u64,
    /// Messages that the stream dropped before they were delivered.
    lost: u64,
    /// Since when no message has arrived although messages wait.
    pub quiet_since: Duration,
    /// How often the connection was made anew since the last message.
    stalls: u32,
}

impl Observed {
    /// Records that a message arrived.
    pub const fn record_message(&mut self, now: Duration) {
        self.quiet_since = now;
        self.stalls = 0;
    }
}

/// Asks until nobody listens any more.
pub async fn watch(
    context: Context,
    config: NatsConfig,
    observations: mpsc::Sender<StreamObservation>,
) {
    let mut due = tokio::time::interval(EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let found = find(&context, &config).await;
        if observations.send(found).await.is_err() {
            return;
        }
    }
}

impl Reader {
    /// Judges an observation.
    pub(super) async fn judge(&mut self, observation: StreamObservation) -> Result<(), Fatal> {
        // The answer shows that the connection lives; a silent one is made anew.
        if self.phase != ReaderPhase::Drained {
            self.line.ping();
        }
        match observation {
            Ok(found) => {
                self.health.recovered("broker");
                self.health.recovered("stream");
                self.check_stream(&found)?;
                self.count_lost(&found);
                self.check_consumers(&found);
                self.check_stall(&found).await
            }
            Err(ConnectError::Permanent(why)) => {
                self.health.degraded("stream", why);
                Ok(())
            }
            Err(ConnectError::Transient(why)) => {
                self.health.degraded("broker", why);
                Ok(())
            }
        }
    }

    fn check_stream(&mut self, found: &StreamState) -> Result<(), Fatal> {
        let created = found.stream.created.to_string();
        if *self.observed.created.get_or_insert(created.clone()) == created {
            Ok(())
        } else {
            Err(stream_made_anew())
        }
    }

    /// Counts messages that the stream dropped although no consumer was sent them. (Of a message that was delivered, and dropped
    /// before it was acknowledged, the server tells nothing: a stream must keep messages for longer than outages last.)
    fn count_lost(&mut self, found: &StreamState) {
        let names = self.config.all_consumers();
        let infos = names.iter().filter_map(|one| found.consumer(&one.name));
        let Some(delivered) = infos.map(|info| info.delivered.stream_sequence).max() else {
            return;
        };
        let first = found.stream.state.first_sequence;
        let lost = first.saturating_sub(1 + delivered.max(self.observed.counted));
        self.observed.counted = self.observed.counted.max(first.saturating_sub(1));
        if lost == 0 {
            return;
        }
        self.observed.lost += lost;
        self.metrics.count(Counter::SourceLost, lost);
        let all = self.observed.lost;
        tracing::error!(
            lost,
            all,
            "the stream dropped messages that no consumer was sent"
        );
        self.health.degraded(
            "lost",
            format!(
                "the stream dropped {all} messages that no consumer was sent (they were purged, or older than it keeps them); \
                 this is reported until the process is started again"
            ),
        );
    }

    fn check_consumers(&mut self, found: &StreamState) {
        let infos = self.consumers.iter().map(|one| found.consumer(&one.name));
        let (mut waiting, mut gone) = (0, 0);
        for info in infos {
            waiting += info.map_or(0, |info| info.num_pending);
            gone += u32::from(info.is_none());
        }
        self.metrics.set(Gauge::SourceLag, waiting);
        if gone == 0 {
            return self.health.recovered("consumer");
        }
        let stream = &self.config.stream;
        self.health.degraded(
            "consumer",
            format!(
                "{gone} consumers of the stream {stream} are gone, and what they read is not read. Look who deleted them, then \
                 create them with `hookflow setup`; everything in the stream is then delivered again"
            ),
        );
    }

    /// Messages wait, they were asked for, and none comes: another subscription, another connection, another process.
    async fn check_stall(&mut self, found: &StreamState) -> Result<(), Fatal> {
        let now = self.now();
        let is_waiting = self.consumers.iter().any(|one| {
            let info = found.consumer(&one.name);
            let waits = info.is_some_and(|info| {
                let limit = info.config.max_ack_pending;
                let open = i64::try_from(info.num_ack_pending).unwrap_or(i64::MAX);
                info.num_pending > 0 && (limit <= 0 || open < limit)
            });
            waits && one.pull.outstanding(now) > 0
        });
        let is_reading = self.records.is_some()
            && !self.receive_buffer.is_held_back()
            && !self.state_breaker.is_open()
            && !self.status.is_down();
        if !is_waiting || !is_reading {
            // Nothing is due.
            self.observed.record_message(now);
        }
        if self.observed.stalls == 0 {
            self.health.recovered("stall");
        }
        if now <= self.observed.quiet_since + self.config.stall_limit {
            return Ok(());
        }
        self.reconnect_stalled().await
    }

    async fn reconnect_stalled(&mut self) -> Result<(), Fatal> {
        self.observed.stalls += 1;
        let attempts = self.observed.stalls;
        let why = "no message arrives although messages wait at NATS";
        self.health.degraded("stall", why);
        tracing::error!(attempts, "{why}");
        match attempts {
            1 => self.line.reopen(),
            2 => {
                let forced = self.client.force_reconnect().await;
                forced.map_err(|error| client_ended(&error))?;
                self.line.reopen();
            }
            _ => {
                let why = format!("{why}, over any connection: start again");
                return Err(Fatal::new(Exit::Internal, why));
            }
        }
        self.reset_requests();
        Ok(())
    }
}
