//! The decision: to which state row an event belongs. Made once per event, for both sinks.
//!
//! 1. Ids in the payload name the state row directly and win, if such a row exists.
//! 2. Otherwise the message decides: the mapping of (user, provider, join id) and the event's address; an event without
//!    an address matches if, and only if, its message has exactly one recipient.
//! 3. Else the event has no recipient yet: it is parked, and matched later.
//!
//! Pure: what is known stands behind [`Directory`], which is asked in ascending key order, so that an arrangement can be
//! read in one forward pass instead of a search per event.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::RowId;
use crate::event::Event;
use crate::key::{AddressKey, JoinKey, RowKey};

/// One recipient of one message: the value under a [`JoinKey`]. Ordered by address, so that one is found by seeking.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageRecipient {
    /// Whom the message went to.
    pub address: AddressKey,
    /// The state row.
    pub row: RowId,
    /// Its batch; empty for transactional mail.
    pub batch_id: CompactString,
    /// Its recipient id.
    pub recipient_id: CompactString,
}

impl MessageRecipient {
    /// The least value that a target with that address can have.
    pub const fn least(address: AddressKey) -> Self {
        Self {
            address,
            row: RowId(i64::MIN),
            batch_id: CompactString::const_new(""),
            recipient_id: CompactString::const_new(""),
        }
    }
}

/// The state row that an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The row.
    pub row: RowId,
    /// Its batch.
    pub batch_id: CompactString,
    /// Its recipient id.
    pub recipient_id: CompactString,
}

/// What is known of recipients. Within one pass over a batch each method is asked in ascending key order.
pub trait Directory {
    /// The state row of that key.
    fn row(&mut self, key: RowKey) -> Option<RowId>;

    /// The recipient of that message with that address; without an address, its only recipient.
    fn message(&mut self, key: JoinKey, address: Option<AddressKey>) -> Option<MessageRecipient>;
}

/// Decides for each event of a batch, in the order given.
pub fn match_all(events: &[Event], directory: &mut impl Directory) -> Vec<Option<Match>> {
    let mut found = vec![None; events.len()];
    by_payload_ids(events, directory, &mut found);
    by_message(events, directory, &mut found);
    found
}

fn by_payload_ids(events: &[Event], directory: &mut impl Directory, found: &mut [Option<Match>]) {
    let named = events.iter().enumerate().filter_map(|(at, event)| {
        let ids = event.ids.as_ref()?;
        let key = RowKey::of(&event.delivery.user, &ids.batch_id, &ids.recipient_id);
        Some((key, at, ids))
    });
    let mut named: Vec<_> = named.collect();
    named.sort_unstable_by_key(|(key, at, _)| (*key, *at));
    for (key, at, ids) in named {
        let row = directory.row(key);
        if let (Some(row), Some(slot)) = (row, found.get_mut(at)) {
            *slot = Some(Match {
                row,
                batch_id: ids.batch_id.clone(),
                recipient_id: ids.recipient_id.clone(),
            });
        }
    }
}

fn by_message(events: &[Event], directory: &mut impl Directory, found: &mut [Option<Match>]) {
    let open = found.iter().zip(events).enumerate();
    let mut open: Vec<_> = open
        .filter(|(_, (found, _))| found.is_none())
        .map(|(at, (_, event))| (event.join, event.address, at))
        .collect();
    open.sort_unstable();
    for (join, address, at) in open {
        let target = directory.message(join, address);
        if let (Some(target), Some(slot)) = (target, found.get_mut(at)) {
            *slot = Some(Match {
                row: target.row,
                batch_id: target.batch_id,
                recipient_id: target.recipient_id,
            });
        }
    }
}

/// A directory in plain maps: for tests, and the reference that the arrangement is held against.
#[derive(Clone, Debug, Default)]
pub struct MapDirectory {
    /// State rows by key.
    pub rows: BTreeMap<RowKey, RowId>,
    /// Recipients by message.
    pub messages: BTreeMap<JoinKey, Vec<MessageRecipient>>,
}

impl Directory for MapDirectory {
    fn row(&mut self, key: RowKey) -> Option<RowId> {
        self.rows.get(&key).copied()
    }

    fn message(&mut self, key: JoinKey, address: Option<AddressKey>) -> Option<MessageRecipient> {
        let targets = self.messages.get(&key)?;
        match address {
            Some(address) => targets
                .iter()
                .find(|target| target.address == address)
                .cloned(),
            None => match targets.as_slice() {
                [only] => Some(only.clone()),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Delivery, Kind, PayloadIds, Provider, User};
    use crate::key::{Bucket, Identity, Shard};

    pub(crate) fn event(
        n: u64,
        message: &str,
        address: Option<&str>,
        ids: Option<(&str, &str)>,
    ) -> Event {
        let (provider, user) = (Provider::new("ses"), User::new("u"));
        let key = n.to_string();
        Event {
            identity: Identity::of(&provider, &user, Kind::Opened, &key),
            shard: Shard::of(&provider, &user),
            join: JoinKey::of(&user, &provider, message),
            delivery: Arc::new(Delivery {
                provider,
                user,
                ..Delivery::default()
            }),
            index: 0,
            kind: Kind::Opened,
            bounce_class: None,
            machine: false,
            bucket: Bucket::NONE,
            occurred_at: None,
            message_id: message.into(),
            event_key: key.into(),
            recipient: address.map(Into::into),
            ids: ids.map(|(batch, recipient)| {
                Arc::new(PayloadIds {
                    batch_id: batch.into(),
                    recipient_id: recipient.into(),
                })
            }),
            address: address.map(AddressKey::of),
            raw: None,
        }
    }

    pub(crate) fn target(row: i64, address: &str) -> MessageRecipient {
        MessageRecipient {
            address: AddressKey::of(address),
            row: RowId(row),
            batch_id: "b".into(),
            recipient_id: format!("r{row}").into(),
        }
    }

    fn directory() -> MapDirectory {
        let user = User::new("u");
        let key = |message| JoinKey::of(&user, &Provider::new("ses"), message);
        let mut all = MapDirectory::default();
        all.messages.insert(key("one"), vec![target(1, "a@x")]);
        all.messages
            .insert(key("two"), vec![target(2, "a@x"), target(3, "b@x")]);
        all.rows.insert(RowKey::of(&user, "b", "r9"), RowId(9));
        all
    }

    fn rows(events: &[Event]) -> Vec<Option<i64>> {
        let found = match_all(events, &mut directory());
        found
            .into_iter()
            .map(|found| found.map(|found| found.row.0))
            .collect()
    }

    #[test]
    fn payload_ids_win_and_fall_back_to_the_message() {
        let events = [
            event(1, "one", Some("a@x"), Some(("b", "r9"))),
            event(2, "one", Some("a@x"), Some(("b", "nobody"))),
            event(3, "none", Some("a@x"), Some(("b", "nobody"))),
        ];
        assert_eq!(rows(&events), [Some(9), Some(1), None]);
    }

    #[test]
    fn without_an_address_only_a_message_with_one_recipient_matches() {
        let events = [event(1, "two", None, None), event(2, "one", None, None)];
        assert_eq!(rows(&events), [None, Some(1)]);
    }

    #[test]
    fn addresses_choose_among_recipients_without_case() {
        let events = [
            event(1, "two", Some("B@X"), None),
            event(2, "two", Some("c@x"), None),
        ];
        assert_eq!(rows(&events), [Some(3), None]);
    }
}
