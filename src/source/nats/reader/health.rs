//! What a look at the server says of the source's health.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::consumer::Info;

use super::{Reader, Work};
use crate::error::{Exit, Fatal};
use crate::event::Millis;
use crate::metrics::{Counter, Gauge};
use crate::source::connect_error::ConnectError;
use crate::source::nats::losses::dropped_unread;
use crate::source::nats::partition::Standing;
use crate::source::nats::settings::Acknowledge;
use crate::source::nats::stream::Found;
use crate::source::nats::watch::{Look, Said};

/// How long a server may have delivered nothing again of what it has forgotten, beyond what the dead may hold.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A server that starts again names another time at which it made a consumer, by less than so many milliseconds (nats-server 2.10: one
/// is taken by the consumer, the other by the store that keeps it).
const CREATED_ABOUT: i64 = 100;

/// What earlier looks found.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When the stream was made.
    created: String,
    /// When the consumer of each partition was made.
    partitions: BTreeMap<u32, Millis>,
    /// What was done already about partitions that stand still.
    stalls: u32,
    /// Messages that were dropped before they were delivered.
    lost: u64,
}

impl Reader {
    /// Judges what a look found.
    pub(super) async fn looked(&mut self, look: Look) -> Result<(), Fatal> {
        let asked = look.asked.saturating_duration_since(self.started);
        match look.said {
            Ok(said) => {
                self.condition.recovered("broker");
                self.condition.recovered("stream");
                self.same_stream(&said)?;
                self.same_consumers(&said)?;
                self.count_losses(&said);
                self.hear(&said, asked);
                self.is_remembered()?;
                self.shared();
                self.stalled(&said).await
            }
            Err(ConnectError::Permanent(why)) => {
                self.condition.degraded("stream", why);
                Ok(())
            }
            Err(ConnectError::Transient(why)) => {
                self.condition.degraded("broker", why);
                Ok(())
            }
        }
    }

    fn same_stream(&self, said: &Said) -> Result<(), Fatal> {
        match self.health.created == said.stream.created.to_string() {
            true => Ok(()),
            false => Err(Fatal::new(
                Exit::Watchdog,
                "the stream was deleted and made anew: start again",
            )),
        }
    }

    /// A new consumer delivers everything from the start, and knows nothing of what is open here: that would be acknowledged at the
    /// wrong place, or wait for what the consumer never comes to.
    fn same_consumers(&mut self, said: &Said) -> Result<(), Fatal> {
        for (partition, info) in &said.partitions {
            let Some(info) = info else { continue };
            let created = created(info);
            let known = self.health.partitions.insert(*partition, created);
            let is_new = known.is_some_and(|known| created.0 > known.0 + CREATED_ABOUT);
            let deliveries = info.delivered.consumer_sequence;
            let work = self.partitions.get(partition);
            if is_new && work.is_some_and(|work| work.partition.is_of_another(deliveries)) {
                return Err(Fatal::new(
                    Exit::Watchdog,
                    "a consumer was deleted and made anew while messages of it were open: start again",
                ));
            }
        }
        Ok(())
    }

    fn hear(&mut self, said: &Said, asked: Duration) {
        let (mut waiting, mut gone) = (0, 0);
        for (partition, info) in &said.partitions {
            let (Some(info), Some(work)) = (info, self.partitions.get_mut(partition)) else {
                gone += 1;
                continue;
            };
            waiting += info.num_pending;
            let standing = standing(info);
            let is_asked = std::mem::take(&mut work.is_asked);
            if let Some(missing) = work.partition.heard(&standing, asked, is_asked) {
                work.missing.found(missing, work.partition.forgotten());
                tracing::debug!(partition, missing = ?work.missing, ?standing, "what the server waits for and is not here");
            }
        }
        self.metrics.set(Gauge::SourceLag, waiting);
        match gone {
            0 => self.condition.recovered("consumer"),
            _ => self.condition.degraded(
                "consumer",
                format!(
                    "{gone} consumers of the stream are gone: their partitions are not read. Look who deleted them, then create \
                     them with `hookflow setup`; everything in the stream is then delivered again"
                ),
            ),
        }
    }

    fn count_losses(&mut self, said: &Said) {
        let partitions = said.partitions.iter();
        let partitions =
            partitions.filter_map(|(partition, info)| Some((*partition, info.as_ref()?)));
        let lost: u64 = partitions
            .map(|(partition, info)| self.losses.since_last(partition, info))
            .sum();
        if lost > 0 {
            self.lost(lost);
        }
    }

    fn lost(&mut self, lost: u64) {
        self.metrics.count(Counter::SourceLost, lost);
        self.health.lost += lost;
        let all = self.health.lost;
        tracing::error!(
            lost,
            all,
            "the stream dropped messages before they were read"
        );
        self.condition.degraded(
            "messages",
            format!(
                "the stream dropped {all} messages before they were read (purged, or older than it keeps them); this is said \
                 until the process is started again"
            ),
        );
    }

    /// A server that was killed delivers again what it has forgotten; not so where that is more than it delivers unacknowledged.
    fn is_remembered(&self) -> Result<(), Fatal> {
        let mut partitions = self.partitions.values();
        match partitions.any(|work| work.partition.forgotten_for() > self.patience() + FORGOTTEN) {
            false => Ok(()),
            true => Err(Fatal::new(
                Exit::Watchdog,
                "the server has forgotten what it delivered, and does not deliver it again: start again",
            )),
        }
    }

    /// What the dead held has come here by then.
    fn patience(&self) -> Duration {
        self.settings.ack_wait * 2 + Duration::from_secs(5)
    }

    /// Another reader of our partitions holds what the server waits for. Harmless where each message is acknowledged by itself and no partition
    /// is suspect.
    fn shared(&self) {
        let (now, patience) = (self.now(), self.patience());
        let shared = |work: &&Work| work.partition.connected_for(now) > patience;
        let count = self.partitions.values().filter(shared).count();
        let harmless = self.settings.acknowledge == Acknowledge::Each;
        match (harmless, count) {
            (true, _) | (_, 0) => self.condition.recovered("partitions"),
            _ => self.condition.degraded(
                "partitions",
                format!(
                    "{count} partitions are read by another process too, so that nothing of them can be acknowledged, or handed out \
                     while a partition is suspect: give each partition to one member (nats.partitions)"
                ),
            ),
        }
    }

    /// Remembers which stream it is, and tells what was lost while nobody read.
    pub(super) fn begins_with(&mut self, found: &Found) {
        self.health.created = found.stream.created.to_string();
        let partitions = self.settings.partitions.iter();
        let known = partitions
            .filter_map(|partition| Some((partition, found.consumer(&self.settings, partition)?)));
        self.health.partitions = known
            .map(|(partition, info)| (partition, created(info)))
            .collect();
        if dropped_unread(found, &self.settings) {
            tracing::error!("the stream has dropped messages that no consumer was sent");
            self.condition.degraded(
                "unread",
                "while nobody read, the stream dropped messages that no consumer was sent (purged, or older than it keeps them); \
                 this is said until the process is started again",
            );
        }
    }

    /// Messages wait, they were asked for, and none comes: another subscription, another connection, another process.
    async fn stalled(&mut self, said: &Said) -> Result<(), Fatal> {
        let now = self.now();
        let limit = self.settings.stall_limit;
        let most = self.settings.ack_pending_max;
        let mut stalled = 0;
        for (partition, info) in &said.partitions {
            let (Some(info), Some(work)) = (info, self.partitions.get_mut(partition)) else {
                continue;
            };
            let waits = info.num_pending > 0 && info.num_ack_pending < most;
            if !waits || !work.pull.is_waiting() {
                work.quiet_since = now;
            }
            stalled += u32::from(now > work.quiet_since + limit);
        }
        if self.link.is_down() || self.is_held_back() || self.feed.is_none() || stalled == 0 {
            if stalled == 0 {
                self.health.stalls = 0;
                self.condition.recovered("stall");
            }
            return Ok(());
        }
        self.shake(stalled).await
    }

    async fn shake(&mut self, stalled: u32) -> Result<(), Fatal> {
        self.health.stalls += 1;
        let tried = self.health.stalls;
        self.condition.degraded(
            "stall",
            format!("{stalled} partitions stand still although messages wait in them"),
        );
        tracing::error!(
            stalled,
            tried,
            "partitions stand still although messages wait"
        );
        match tried {
            1 => self.line.reopen(),
            2 => {
                let forced = self.client.force_reconnect().await;
                forced.map_err(|error| super::lost(&error))?;
                self.line.reopen();
            }
            _ => {
                return Err(Fatal::new(
                    Exit::Watchdog,
                    "messages wait at NATS, and none comes, over any connection: start again",
                ));
            }
        }
        let now = self.now();
        for work in self.partitions.values_mut() {
            work.pull.reset(now);
            work.quiet_since = now;
        }
        Ok(())
    }
}

fn created(info: &Info) -> Millis {
    let nanoseconds = info.created.unix_timestamp_nanos();
    Millis(i64::try_from(nanoseconds / 1_000_000).unwrap_or_default())
}

const fn standing(info: &Info) -> Standing {
    Standing {
        ack_pending: info.num_ack_pending as u64,
        acknowledged: info.ack_floor.stream_sequence,
        acknowledged_delivery: info.ack_floor.consumer_sequence,
        delivered: info.delivered.stream_sequence,
        deliveries: info.delivered.consumer_sequence,
    }
}
