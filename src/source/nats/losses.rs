//! Messages that the server dropped before they were settled: purged, expired, or gone with the stream.
//!
//! While we read: what waits for a consumer and what it was sent, taken at one moment, only ever grows together: a delivery moves a message
//! from one to the other, a repeated delivery and a new message add to it. What is missing from the sum was dropped. (New messages that
//! come between two looks can hide as many dropped ones; the next look that sees fewer does not.)
//!
//! While nobody read: [`dropped_unread`] says what can be seen of it at the next start. (What was delivered and never acknowledged
//! the server forgets with the message itself, so that nothing tells of it afterwards: limits of a stream must be longer than outages.)

use std::collections::HashMap;

use async_nats::jetstream::consumer::Info;

use super::settings::Settings;
use super::stream::Found;

/// What was last seen of each partition.
#[derive(Debug, Default)]
pub struct Losses(HashMap<u32, Seen>);

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    created: String,
    deliveries: u64,
    sum: u64,
}

impl Losses {
    /// How many messages of a partition were dropped since the last look.
    pub fn since_last(&mut self, partition: u32, info: &Info) -> u64 {
        let deliveries = info.delivered.consumer_sequence;
        self.compare(
            partition,
            info.created.to_string(),
            deliveries,
            info.num_pending,
        )
    }

    fn compare(&mut self, partition: u32, created: String, deliveries: u64, pending: u64) -> u64 {
        let now = Seen {
            created,
            deliveries,
            sum: deliveries + pending,
        };
        let lost = match self.0.get(&partition) {
            Some(before) if before.created == now.created && before.deliveries <= deliveries => {
                before.sum.saturating_sub(now.sum)
            }
            // Another consumer, or one that was set back by a crash of its server: nothing to compare with.
            _ => 0,
        };
        self.0.insert(partition, now);
        lost
    }
}

/// Whether the last message that the stream dropped was sent to no consumer. (Where it was, earlier ones of partitions that stood still may
/// have been dropped all the same: that cannot be told from partitions without messages.)
pub fn dropped_unread(found: &Found, settings: &Settings) -> bool {
    let everything = settings.partitions.everything();
    let consumers = everything
        .iter()
        .filter_map(|partition| found.consumer(settings, partition));
    let sent = consumers.map(|info| info.delivered.stream_sequence).max();
    let state = &found.stream.state;
    sent.is_some_and(|sent| state.first_sequence > sent + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_dropped_counts() {
        let mut losses = Losses::default();
        let mut look = |deliveries, pending| losses.compare(1, "a".into(), deliveries, pending);
        assert_eq!(look(10, 100), 0);
        assert_eq!(look(60, 50), 0, "delivered");
        assert_eq!(look(70, 50), 0, "delivered again");
        assert_eq!(look(70, 80), 0, "published");
        assert_eq!(look(80, 30), 40, "purged");
        assert_eq!(look(80, 30), 0);
        assert_eq!(look(5, 30), 0, "set back");
        assert_eq!(losses.compare(1, "b".into(), 5, 0), 0, "another one");
    }
}
