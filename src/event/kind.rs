//! What an event says happened.

use serde::{Deserialize, Serialize};

/// The normalised kind of an event. The numbers are stored and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// The provider took the message, or handed it on.
    Sent = 0,
    /// The receiving side asked to try again later.
    Deferred = 1,
    /// The receiving server accepted the message.
    Delivered = 2,
    /// The message was opened.
    Opened = 3,
    /// A link in the message was followed.
    Clicked = 4,
    /// The receiving side refused the message; see [`BounceClass`].
    Bounced = 5,
    /// The provider did not try (suppressed address, policy).
    Dropped = 6,
    /// The recipient called it spam.
    Complained = 7,
    /// The recipient asked for no more.
    Unsubscribed = 8,
    /// The message could not be made or handed on.
    Failed = 9,
    /// Anything else: in the ledger and the log, never counted, never a reject.
    Other = 10,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 11] = [
        Kind::Sent,
        Kind::Deferred,
        Kind::Delivered,
        Kind::Opened,
        Kind::Clicked,
        Kind::Bounced,
        Kind::Dropped,
        Kind::Complained,
        Kind::Unsubscribed,
        Kind::Failed,
        Kind::Other,
    ];

    /// The name used in every output and in the identity of an event.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Sent => "sent",
            Kind::Deferred => "deferred",
            Kind::Delivered => "delivered",
            Kind::Opened => "opened",
            Kind::Clicked => "clicked",
            Kind::Bounced => "bounced",
            Kind::Dropped => "dropped",
            Kind::Complained => "complained",
            Kind::Unsubscribed => "unsubscribed",
            Kind::Failed => "failed",
            Kind::Other => "other",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How final a bounce is. The numbers are stored and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum BounceClass {
    /// The address will not work.
    Hard = 0,
    /// It may work another time.
    Soft = 1,
    /// The provider does not know; counted as soft.
    Undetermined = 2,
}

impl BounceClass {
    /// All classes, in the order of their numbers.
    pub const ALL: [BounceClass; 3] = [
        BounceClass::Hard,
        BounceClass::Soft,
        BounceClass::Undetermined,
    ];

    /// The name used in every output.
    pub const fn name(self) -> &'static str {
        match self {
            BounceClass::Hard => "hard",
            BounceClass::Soft => "soft",
            BounceClass::Undetermined => "undetermined",
        }
    }

    /// The class of that name.
    pub fn from_name(name: &str) -> Option<BounceClass> {
        BounceClass::ALL
            .into_iter()
            .find(|class| class.name() == name)
    }
}
