//! Commits into acknowledgements, and leases.

use std::time::Duration;

use async_nats::{Message, StatusCode};
use bytes::Bytes;

use super::{Reader, ReaderPhase, client_ended};
use crate::error::Fatal;
use crate::failpoint::{self, Failpoint};
use crate::metrics::Counter;
use crate::source::Commit;

/// Leases that are extended in one turn.
const EXTENDED_AT_ONCE: usize = 2_000;

impl Reader {
    /// Everything before these ordinals is durable in every sink.
    pub(super) fn commit(&mut self, commits: &[Commit]) {
        let upto = commits.iter().map(|commit| commit.offset).max();
        for committed in self.held.release(upto.unwrap_or_default()) {
            if let Some(consumer) = self.consumers.get_mut(committed.consumer) {
                consumer.acks.push(committed.sequence);
            }
        }
    }

    /// Acknowledges what is committed.
    pub(super) async fn acknowledge(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        for index in 0..self.consumers.len() {
            if let Some(consumer) = self.consumers.get_mut(index) {
                let late = consumer.acks.expire(now);
                self.metrics.count(Counter::AckUnconfirmed, late as u64);
            }
            while self.acknowledge_run(index, now).await? {}
        }
        Ok(())
    }

    /// Sends one run of acknowledgements; false if there is none.
    async fn acknowledge_run(&mut self, index: usize, now: Duration) -> Result<bool, Fatal> {
        let Some(consumer) = self.consumers.get_mut(index) else {
            return Ok(false);
        };
        let Some((number, sequences)) = consumer.acks.next_run(now) else {
            return Ok(false);
        };
        let held = &self.held;
        let subjects = sequences.iter().filter_map(|one| held.ack_subject(*one));
        let mut subjects: Vec<_> = subjects.cloned().collect();
        let Some(last) = subjects.pop() else {
            return Ok(true);
        };
        for subject in subjects {
            self.publish(subject, b"+ACK").await?;
        }
        let inbox = format!("{}.{index}.{number}", self.confirmations.0);
        let payload = Bytes::from_static(b"+ACK");
        let sent = self.client.publish_with_reply(last, inbox, payload);
        let sent = failpoint::run_async(Failpoint::SourceAcknowledge, sent).await;
        sent.map_err(|error| client_ended(&error))?;
        Ok(true)
    }

    /// The answer to the last acknowledgement of a run. An error status means that nobody received it.
    pub(super) fn confirmed(&mut self, answer: &Message) {
        let now = self.now();
        let place = answer.subject.strip_prefix(self.confirmations.0.as_str());
        let place = place.and_then(|place| {
            let (index, number) = place.strip_prefix('.')?.split_once('.')?;
            Some((index.parse::<usize>().ok()?, number.parse::<u64>().ok()?))
        });
        let Some((index, number)) = place else { return };
        let Some(consumer) = self.consumers.get_mut(index) else {
            return;
        };
        if answer.status.is_some_and(|status| status != StatusCode::OK) {
            let count = consumer.acks.reject(number, now);
            self.metrics.count(Counter::AckUnconfirmed, count as u64);
            return;
        }
        let sequences = consumer.acks.confirm(number);
        self.metrics
            .count(Counter::Acknowledged, sequences.len() as u64);
        self.confirmed.extend(sequences);
    }

    /// Forgets confirmed messages when everything has arrived that the server sent before it confirmed them: a redelivery may be
    /// under way on the other connection, and must find its message held.
    pub(super) fn forget_confirmed(&mut self) {
        let is_drained = self.phase == ReaderPhase::Drained;
        if let Some((question, _)) = &self.forgettable
            && (is_drained || self.line.is_answered(*question))
            && let Some((_, sequences)) = self.forgettable.take()
        {
            sequences.into_iter().for_each(|one| self.held.forget(one));
        }
        if self.forgettable.is_none() && !self.confirmed.is_empty() {
            let sequences = std::mem::take(&mut self.confirmed);
            self.forgettable = Some((self.line.ping(), sequences));
        }
    }

    /// The confirmations of an old connection never come, and its server may have died and forgotten some of what it did.
    pub(super) fn check_connection(&mut self) {
        let number = self.status.number();
        if number == self.connected {
            return;
        }
        self.connected = number;
        tracing::warn!("connected to NATS anew");
        self.health.recovered("broker");
        for consumer in &mut self.consumers {
            let count = consumer.acks.reconnected();
            self.metrics.count(Counter::AckUnconfirmed, count as u64);
        }
    }

    /// Whether every commit is acknowledged and confirmed.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.consumers.iter().all(|one| one.acks.is_empty())
    }

    /// Extends leases of what has been held for a third of `ack_wait`, up to `lease_max`. Not while the state store is out: then
    /// the server may give the messages to another member; the messages stay held, and acknowledging them late still counts.
    pub(super) async fn extend_leases(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        let is_due = now >= self.leases_extended + self.config.ack_wait / 12;
        if !is_due || self.state_breaker.is_open() {
            return Ok(());
        }
        let (every, age_max) = (self.config.ack_wait / 3, self.config.lease_max);
        let due = self
            .held
            .extend_leases(now, every, age_max, EXTENDED_AT_ONCE);
        if due.len() < EXTENDED_AT_ONCE {
            self.leases_extended = now;
        }
        for subject in due {
            self.publish(subject, b"+WPI").await?;
        }
        Ok(())
    }
}
