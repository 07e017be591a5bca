//! What can have happened to a recipient: flags, sets of them, and the status that the highest one makes.
//!
//! Contract: the numbers are stored and never change; no flag implies another; a machine open counts for no status and
//! finishes nobody.

use serde::{Deserialize, Serialize};

use crate::event::{BounceClass, Kind};

/// How many flags there are.
pub const FLAG_COUNT: usize = 12;

/// One thing that can have happened to a recipient. No flag implies another. The numbers are stored and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Flag {
    /// The provider took it.
    Sent = 0,
    /// The receiving side asked to wait.
    Deferred = 1,
    /// The provider did not try.
    Dropped = 2,
    /// It could not be made.
    Failed = 3,
    /// Refused, perhaps not for ever (soft and undetermined bounces).
    BouncedSoft = 4,
    /// Refused for good.
    BouncedHard = 5,
    /// Accepted by the receiving server.
    Delivered = 6,
    /// Opened.
    Opened = 7,
    /// A link was followed.
    Clicked = 8,
    /// No more, please.
    Unsubscribed = 9,
    /// Called spam.
    Complained = 10,
    /// Opened by a machine; changes no status and finishes nobody.
    MachineOpened = 11,
}

impl Flag {
    /// All flags, in the order of their numbers.
    pub const ALL: [Flag; FLAG_COUNT] = [
        Flag::Sent,
        Flag::Deferred,
        Flag::Dropped,
        Flag::Failed,
        Flag::BouncedSoft,
        Flag::BouncedHard,
        Flag::Delivered,
        Flag::Opened,
        Flag::Clicked,
        Flag::Unsubscribed,
        Flag::Complained,
        Flag::MachineOpened,
    ];

    /// The name used in columns and outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Flag::Sent => "sent",
            Flag::Deferred => "deferred",
            Flag::Dropped => "dropped",
            Flag::Failed => "failed",
            Flag::BouncedSoft => "bounced_soft",
            Flag::BouncedHard => "bounced_hard",
            Flag::Delivered => "delivered",
            Flag::Opened => "opened",
            Flag::Clicked => "clicked",
            Flag::Unsubscribed => "unsubscribed",
            Flag::Complained => "complained",
            Flag::MachineOpened => "machine_opened",
        }
    }

    /// The flag as a set of one.
    pub const fn bit(self) -> Flags {
        Flags(1 << self as u16)
    }

    /// Its place in arrays of [`FLAG_COUNT`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The flag that an event sets; none for kinds that count for nothing.
///
/// A machine open sets [`Flag::MachineOpened`] and nothing else.
pub const fn flag_of(kind: Kind, bounce_class: Option<BounceClass>, machine: bool) -> Option<Flag> {
    Some(match kind {
        Kind::Sent => Flag::Sent,
        Kind::Deferred => Flag::Deferred,
        Kind::Delivered => Flag::Delivered,
        Kind::Opened if machine => Flag::MachineOpened,
        Kind::Opened => Flag::Opened,
        Kind::Clicked => Flag::Clicked,
        Kind::Bounced => match bounce_class {
            Some(BounceClass::Hard) => Flag::BouncedHard,
            _ => Flag::BouncedSoft,
        },
        Kind::Dropped => Flag::Dropped,
        Kind::Complained => Flag::Complained,
        Kind::Unsubscribed => Flag::Unsubscribed,
        Kind::Failed => Flag::Failed,
        Kind::Other => return None,
    })
}

/// A set of flags, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flags(pub u16);

impl Flags {
    /// The flags that finish nobody.
    const UNFINISHED: Flags =
        Flags(Flag::Sent.bit().0 | Flag::Deferred.bit().0 | Flag::MachineOpened.bit().0);

    /// Whether the flag is in the set.
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & flag.bit().0 != 0
    }

    /// The flags of either set.
    #[must_use]
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// The flags that `self` has and `other` lacks.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Whether a recipient with these flags is finished: any flag but sent, deferred and machine-opened.
    pub const fn finished(self) -> bool {
        self.without(Self::UNFINISHED).0 != 0
    }

    /// The flags in the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }

    /// The highest flag of the set as a status; machine opens do not count.
    pub fn status(self) -> Status {
        let set = self.without(Flag::MachineOpened.bit());
        set.iter().map(Status::of).max().unwrap_or(Status::Pending)
    }
}

/// What a recipient's fate is called: its highest flag. The numbers are the ranks, stored, and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Status {
    /// Nothing is known yet.
    Pending = 0,
    /// See [`Flag::Sent`].
    Sent = 1,
    /// See [`Flag::Deferred`].
    Deferred = 2,
    /// See [`Flag::Dropped`].
    Dropped = 3,
    /// See [`Flag::Failed`].
    Failed = 4,
    /// See [`Flag::BouncedSoft`].
    BouncedSoft = 5,
    /// See [`Flag::Delivered`].
    Delivered = 6,
    /// See [`Flag::Opened`].
    Opened = 7,
    /// See [`Flag::Clicked`].
    Clicked = 8,
    /// See [`Flag::BouncedHard`].
    BouncedHard = 9,
    /// See [`Flag::Unsubscribed`].
    Unsubscribed = 10,
    /// See [`Flag::Complained`].
    Complained = 11,
}

impl Status {
    /// All statuses, lowest first.
    pub const ALL: [Status; 12] = [
        Status::Pending,
        Status::Sent,
        Status::Deferred,
        Status::Dropped,
        Status::Failed,
        Status::BouncedSoft,
        Status::Delivered,
        Status::Opened,
        Status::Clicked,
        Status::BouncedHard,
        Status::Unsubscribed,
        Status::Complained,
    ];

    /// The status that a flag stands for; a machine open stands for none.
    const fn of(flag: Flag) -> Status {
        match flag {
            Flag::MachineOpened => Status::Pending,
            Flag::Sent => Status::Sent,
            Flag::Deferred => Status::Deferred,
            Flag::Dropped => Status::Dropped,
            Flag::Failed => Status::Failed,
            Flag::BouncedSoft => Status::BouncedSoft,
            Flag::Delivered => Status::Delivered,
            Flag::Opened => Status::Opened,
            Flag::Clicked => Status::Clicked,
            Flag::BouncedHard => Status::BouncedHard,
            Flag::Unsubscribed => Status::Unsubscribed,
            Flag::Complained => Status::Complained,
        }
    }

    /// The status of that rank.
    pub fn from_rank(rank: i64) -> Option<Status> {
        Self::ALL.into_iter().find(|status| *status as i64 == rank)
    }

    /// The name used in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Sent => "sent",
            Status::Deferred => "deferred",
            Status::Dropped => "dropped",
            Status::Failed => "failed",
            Status::BouncedSoft => "bounced_soft",
            Status::Delivered => "delivered",
            Status::Opened => "opened",
            Status::Clicked => "clicked",
            Status::BouncedHard => "bounced_hard",
            Status::Unsubscribed => "unsubscribed",
            Status::Complained => "complained",
        }
    }
}
