//! Acknowledgements and leases.
//!
//! The server works through what one connection sends to one consumer in order. So of a run of acknowledgements only the last asks
//! for a confirmation: when it comes, all are confirmed. A run whose confirmation does not come in time, comes
//! with an error status, or was sent over a connection that is gone, counts as unconfirmed and is sent again. (Were the order ever
//! broken, a message would be delivered again, and the state store would call it a duplicate.)

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;

use super::{Reader, Work, behind, lost};
use crate::error::Fatal;
use crate::failpoint::{self, Failpoint};
use crate::metrics::{Counter, Metrics};
use crate::source::nats::settings::Acknowledge;

/// Acknowledgements of one run.
const RUN: usize = 256;
/// Runs of one partition that are under way.
const RUNS: usize = 8;
/// How long a confirmation may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Leases renewed in one turn of one partition.
const RENEWED_AT_ONCE: usize = 2_000;

/// The runs under way, oldest first: where each ends, and when it was sent.
#[derive(Debug, Default)]
pub(super) struct Flights(VecDeque<(u64, Duration)>);

impl Work {
    /// What is under way is to be sent again.
    pub(super) fn unconfirmed(&mut self, metrics: &Arc<Metrics>) {
        self.flights.0.clear();
        metrics.count(Counter::AckUnconfirmed, self.partition.unconfirmed());
    }

    fn is_overdue(&self, now: Duration) -> bool {
        let oldest = self.flights.0.front();
        oldest.is_some_and(|(_, since)| now > *since + PATIENCE)
    }

    /// The next acknowledgements to send; the last of them is to be confirmed.
    fn next_run(&self, acknowledge: Acknowledge) -> (Vec<Subject>, u64) {
        match acknowledge {
            Acknowledge::Each if self.flights.0.len() < RUNS => {
                let replies = self.partition.each(RUN);
                let count = replies.len() as u64;
                (replies, count)
            }
            Acknowledge::UpTo if self.flights.0.is_empty() => {
                let last = self.partition.up_to();
                last.map_or_else(Default::default, |(reply, count)| (vec![reply], count))
            }
            _ => Default::default(),
        }
    }
}

impl Reader {
    /// Acknowledges what is settled.
    pub(super) async fn acknowledge(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        let partitions: Vec<u32> = self.partitions.keys().copied().collect();
        for partition in partitions {
            if let Some(work) = self.partitions.get_mut(&partition)
                && work.is_overdue(now)
            {
                work.unconfirmed(&self.metrics);
            }
            while self.acknowledge_run(partition, now).await? {}
        }
        Ok(())
    }

    async fn acknowledge_run(&mut self, partition: u32, now: Duration) -> Result<bool, Fatal> {
        let Some(work) = self.partitions.get_mut(&partition) else {
            return Ok(false);
        };
        let (mut replies, count) = work.next_run(self.settings.acknowledge);
        let Some(last) = replies.pop() else {
            return Ok(false);
        };
        let upto = work.partition.sending(count);
        work.flights.0.push_back((upto, now));
        for reply in replies {
            self.publish(reply, b"+ACK").await?;
        }
        let inbox = format!("{}.{partition}.{upto}", self.acks.0);
        let payload = Bytes::from_static(b"+ACK");
        let sent = self.client.publish_with_reply(last, inbox, payload);
        let sent = failpoint::run_async(Failpoint::SourceAcknowledge, sent).await;
        sent.map_err(|error| lost(&error))?;
        Ok(true)
    }

    /// The answer to the last acknowledgement of a run.
    pub(super) fn acknowledged(&mut self, answer: &Message) {
        let place = behind(&self.acks.0, &answer.subject).and_then(|place| {
            let (partition, upto) = place.split_once('.')?;
            Some((partition.parse().ok()?, upto.parse().ok()?))
        });
        if let Some((partition, upto)) = place {
            self.confirmed(partition, upto, answer.status);
        }
    }

    /// An error status means that nobody took it.
    fn confirmed(&mut self, partition: u32, upto: u64, status: Option<StatusCode>) {
        let Some(work) = self.partitions.get_mut(&partition) else {
            return;
        };
        if status.is_some_and(|status| status != StatusCode::OK) {
            return work.unconfirmed(&self.metrics);
        }
        while work.flights.0.front().is_some_and(|(end, _)| *end <= upto) {
            work.flights.0.pop_front();
        }
        let count = work.partition.confirmed(upto);
        self.metrics.count(Counter::Acknowledged, count);
    }

    /// Tells the server that what has been held for a third of its patience is worked on.
    pub(super) async fn renew(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        let every = self.settings.ack_wait / 12;
        if now < self.renewed + every {
            return Ok(());
        }
        self.renewed = now;
        let longest = self.settings.ack_wait / 3;
        let mut due = Vec::new();
        for work in self.partitions.values_mut() {
            let replies = work.partition.to_renew(now, longest, RENEWED_AT_ONCE);
            if replies.len() == RENEWED_AT_ONCE {
                // More are due: on the next turn.
                self.renewed = now.saturating_sub(every);
            }
            due.extend(replies);
        }
        for reply in due {
            self.publish(reply, b"+WPI").await?;
        }
        Ok(())
    }
}
