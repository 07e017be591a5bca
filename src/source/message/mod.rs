//! A delivery as one message of a broker: the body is the message's value, everything else stands in its headers
//! (`Hookflow-Provider`, `Hookflow-User`, …, `Content-Encoding`), in its subject or key, or is known to the broker.
//!
//! A source copies out of a message only what it needs ([`Fields`]) and hands it out unread; workers [parse] it. Contract:
//!
//! * a message becomes a delivery or one reject with the message's value as its raw bytes; nothing else is lost;
//! * a header wins over subject or key; where they differ, [`ParsedMessage::differs`] says so;
//! * what no header says comes from subject or key, then from the topic's configured provider, the configured tenant or
//!   the broker's clock;
//! * pure, but for the time of reading where neither header nor broker names one;
//! * [`publish`] writes what is read here: reading a written delivery gives it back.

mod fields;
mod parse;
pub mod publish;
pub mod subject;

pub use fields::{Field, Fields, FieldsWriter, header_lines};
pub use parse::{ParsedMessage, dead_letter, parse};

use bytes::Bytes;

use crate::event::{Millis, Origin, Provider};

/// A broker's message as a source hands it out: nothing of it is read yet.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it came from.
    pub origin: Origin,
    /// What its place at the broker says of it.
    pub address: Address,
    /// When the broker took it.
    pub at: Option<Millis>,
    /// How often the broker delivered it, this time included; zero if it does not say.
    pub deliveries: u32,
    /// Its headers.
    pub fields: Fields,
    /// Its value.
    pub body: Bytes,
}

/// What a message's place at the broker says of it.
#[derive(Clone, Debug)]
pub enum Address {
    /// A subject `….<provider>.<user>`, tokens percent-encoded.
    Subject {
        /// The whole subject.
        subject: Bytes,
        /// How many tokens stand before the provider (the prefix, and the partition on a stream that has partitions).
        skip: usize,
    },
    /// A topic.
    Topic {
        /// The message's key; one that reads `<provider>|<user>` names both.
        key: Option<Bytes>,
        /// The provider that is configured for the topic.
        provider: Option<Provider>,
    },
}

impl Message {
    /// About how many bytes it holds in memory.
    pub fn bytes(&self) -> usize {
        let address = match &self.address {
            Address::Subject { subject, .. } => subject.len(),
            Address::Topic { key, .. } => key.as_ref().map_or(0, Bytes::len),
        };
        self.body.len() + self.fields.len() + address + 256
    }
}

#[cfg(test)]
mod tests;
