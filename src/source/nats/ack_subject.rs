//! What the reply subject of a delivered message says of it.
//!
//! `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<nanoseconds>.<pending>`, with a domain
//! and an account before the stream in the later form (ADR-15), which may have more tokens at its end.

use crate::event::Millis;

/// One delivery of a message, as its reply subject describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered<'a> {
    /// The consumer that delivered it.
    pub consumer: &'a str,
    /// How often the message has been delivered, this time included.
    pub deliveries: u64,
    /// The message's sequence in the stream.
    pub sequence: u64,
    /// The number of this delivery among those of the consumer; they have no gaps.
    pub delivery: u64,
    /// When the stream took the message, in nanoseconds since 1970.
    pub taken_nanos: i64,
    /// How many messages waited for the consumer at that time.
    pub pending: u64,
}

impl<'a> Delivered<'a> {
    /// Reads a reply subject; none if it is not that of a delivery.
    pub fn parse(reply: &'a str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let mut tokens = rest.split('.');
        if rest.bytes().filter(|byte| *byte == b'.').count() > 6 {
            tokens.by_ref().take(2).for_each(drop);
        }
        let consumer = tokens.nth(1)?;
        let mut number = || tokens.next()?.parse::<u64>().ok();
        Some(Delivered {
            consumer,
            deliveries: number()?,
            sequence: number()?,
            delivery: number()?,
            taken_nanos: i64::try_from(number()?).ok()?,
            pending: number()?,
        })
    }

    /// When the stream took the message.
    pub const fn taken_at(&self) -> Millis {
        Millis(self.taken_nanos / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_ack_subjects_are_read() {
        let expected = Delivered {
            consumer: "hookflow-7",
            deliveries: 2,
            sequence: 30,
            delivery: 41,
            taken_nanos: 1_700_000_000_123_456_789,
            pending: 5,
        };
        let numbers = "S.hookflow-7.2.30.41.1700000000123456789.5";
        for reply in [
            format!("$JS.ACK.{numbers}"),
            format!("$JS.ACK._.hash.{numbers}"),
            format!("$JS.ACK.hub.hash.{numbers}.random"),
        ] {
            assert_eq!(Delivered::parse(&reply), Some(expected), "{reply}");
        }
        assert_eq!(expected.taken_at(), Millis(1_700_000_000_123));
    }

    #[test]
    fn other_subjects_are_no_deliveries() {
        for other in [
            "",
            "$JS.ACK.",
            "_INBOX.1",
            "$JS.ACK.S.c.1.2.3.4",
            "$JS.ACK.S.c.x.2.3.4.5",
        ] {
            assert_eq!(Delivered::parse(other), None, "{other}");
        }
    }
}
