//! The planned world: recipients, messages, their events, and the deliveries that carry them.
//!
//! A world is planned whole and in a fixed order from its seed, as small numbers; bodies, snapshot rows and the journal
//! are rendered from it by pure functions. Memory: about 60 bytes a delivery.

use std::ops::Range;

use super::config::GeneratorConfig;
use super::text::{mix, mix_wide};

/// Whether and when a recipient is in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownSince {
    /// In the first snapshot.
    Early,
    /// Only in the second.
    Late,
    /// Never.
    Never,
}

/// A recipient of a batch: one state row.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// The recipient id and the address are made of it.
    pub number: u64,
    /// Its batch.
    pub batch: u32,
    /// Its snapshot.
    pub known: KnownSince,
    /// Its payloads carry recipient and batch id.
    pub ids: bool,
}

/// One batch, or the transactional mail of one user through one provider.
#[derive(Clone, Debug)]
pub struct PlannedBatch {
    /// The tenant.
    pub user: u32,
    /// The number in its id; none for transactional mail.
    pub number: Option<u32>,
    /// Has a row in `batches`, maybe with a deadline.
    pub given: Option<Option<i64>>,
    /// Its recipients.
    pub people: Range<u32>,
    /// Their messages.
    pub messages: Range<u32>,
    /// When it starts.
    pub starts: i64,
}

/// A second address in a message's destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondAddress {
    /// Nobody else.
    No,
    /// An archive that no snapshot knows: the message still has one recipient.
    Archive,
    /// Another recipient of the batch: events without an address match nobody.
    With(u32),
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct PlannedMessage {
    /// To whom.
    pub person: u32,
    /// And to whom else.
    pub second_address: SecondAddress,
    /// Through which provider: an index into the formats.
    pub provider: u8,
    /// The API call that sent it; some providers name messages by it.
    pub call: u32,
    /// Its place in that call.
    pub part: u32,
    /// When it was sent.
    pub sent_at: i64,
}

/// What can happen to a message, independent of any provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Taken by the provider.
    Sent,
    /// Asked to try later.
    Deferred,
    /// Accepted.
    Delivered,
    /// Opened.
    Opened,
    /// Opened by a machine, and the provider says so.
    MachineOpened,
    /// A link was followed.
    Clicked,
    /// Refused for good.
    BouncedHard,
    /// Refused for now.
    BouncedSoft,
    /// Not tried.
    Dropped,
    /// Called spam.
    Complained,
    /// Asked for no more.
    Unsubscribed,
    /// Could not be made.
    Failed,
    /// Something that counts for nothing.
    Other,
}

/// One event of a message.
#[derive(Clone, Copy, Debug)]
pub struct PlannedEvent {
    /// The message.
    pub message: u32,
    /// What.
    pub action: Action,
    /// When.
    pub at: i64,
}

/// What one request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryContent {
    /// So many events from that one on; and, in an array, a bad element at that place.
    Events {
        /// The first event.
        first: u32,
        /// How many.
        count: u16,
        /// Where the bad element stands.
        bad: Option<u16>,
    },
    /// A body that cannot be decoded.
    BadBody,
    /// A line that is no delivery.
    BadLine,
    /// A message without events.
    Control,
}

/// One delivery as its provider made it, and all its copies.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryPlan {
    /// What it holds.
    pub content: DeliveryContent,
    /// The batch it belongs to.
    pub batch: u32,
    /// The provider: an index into the formats.
    pub provider: u8,
    /// Its first copy.
    pub copies: u32,
    /// How many copies there are.
    pub copy_count: u8,
}

/// One copy of a delivery as it arrives.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryCopy {
    /// The plan.
    pub plan: u32,
    /// When the edge received it.
    pub received_at: i64,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// What it was made from.
    pub config: GeneratorConfig,
    /// The tenants' names.
    pub users: Vec<String>,
    /// All batches.
    pub batches: Vec<PlannedBatch>,
    /// All recipients, batch by batch.
    pub people: Vec<Person>,
    /// All messages, batch by batch.
    pub messages: Vec<PlannedMessage>,
    /// All events, plan by plan.
    pub events: Vec<PlannedEvent>,
    /// All requests.
    pub plans: Vec<DeliveryPlan>,
    /// All copies, plan by plan.
    pub copies: Vec<DeliveryCopy>,
    /// The order in which copies arrive.
    pub order: Vec<u32>,
}

impl World {
    /// The events of a plan with their numbers; none for what holds no events.
    pub fn views(&self, plan: &DeliveryPlan) -> impl Iterator<Item = EventView<'_>> {
        let (first, count) = match plan.content {
            DeliveryContent::Events { first, count, .. } => (first, count),
            _ => (0, 0),
        };
        (first..first + u32::from(count)).map(|number| self.view(number))
    }

    /// A event with all that belongs to it.
    pub fn view(&self, number: u32) -> EventView<'_> {
        let event = self.events[number as usize];
        let mut view = self.message_view(event.message);
        view.action = event.action;
        view.at = event.at;
        view.number = number;
        view
    }

    /// A message as a view in which nothing happened yet.
    pub fn message_view(&self, number: u32) -> EventView<'_> {
        let message = &self.messages[number as usize];
        let person = &self.people[message.person as usize];
        let batch = &self.batches[person.batch as usize];
        EventView {
            seed: self.config.seed,
            user: &self.users[batch.user as usize],
            batch,
            person,
            message,
            message_number: number,
            second: match message.second_address {
                SecondAddress::With(other) => Some(&self.people[other as usize]),
                _ => None,
            },
            action: Action::Sent,
            at: message.sent_at,
            number: 0,
        }
    }

    /// The copies of a plan.
    pub fn copies_of(&self, plan: &DeliveryPlan) -> &[DeliveryCopy] {
        let first = plan.copies as usize;
        &self.copies[first..first + usize::from(plan.copy_count)]
    }
}

/// A event and everything that a renderer needs of it.
#[derive(Clone, Copy)]
pub struct EventView<'a> {
    /// The seed of the world.
    pub seed: u64,
    /// The tenant's name.
    pub user: &'a str,
    /// The batch.
    pub batch: &'a PlannedBatch,
    /// The recipient.
    pub person: &'a Person,
    /// The other recipient, if the message has two.
    pub second: Option<&'a Person>,
    /// The message.
    pub message: &'a PlannedMessage,
    /// The message's number.
    pub message_number: u32,
    /// What happened.
    pub action: Action,
    /// When.
    pub at: i64,
    /// The event's number.
    pub number: u32,
}

impl EventView<'_> {
    /// Random bits of this event, for that purpose.
    pub fn draw(&self, purpose: u64) -> u128 {
        mix_wide(self.seed ^ purpose << 48, u64::from(self.number) | 1 << 40)
    }

    /// Random bits of its message.
    pub fn message_draw(&self, purpose: u64) -> u128 {
        let number = u64::from(self.message_number) | 1 << 41;
        mix_wide(self.seed ^ purpose << 48, number)
    }

    /// Random bits of the API call that sent its message.
    pub fn call_draw(&self, purpose: u64) -> u128 {
        let number = u64::from(self.message.call) | 1 << 42;
        mix_wide(self.seed ^ purpose << 48, number)
    }

    /// Whether the payload carries both ids of the state row.
    pub fn ids(&self) -> bool {
        self.person.ids && self.message.second_address == SecondAddress::No
    }

    /// True for one message in `many`.
    pub fn message_in(&self, many: u64, purpose: u64) -> bool {
        let number = u64::from(self.message_number);
        mix(self.seed ^ purpose << 48, number).is_multiple_of(many)
    }
}
