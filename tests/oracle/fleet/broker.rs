//! What differs between brokers: how a member is told of one, what it holds, and what counts as acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::stack::Stack;

/// How far a broker's partitions are acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// By partition: every message of a lower position is acknowledged.
    pub floors: BTreeMap<u32, u64>,
    /// Messages that are not acknowledged.
    pub open: u64,
    /// How many are.
    pub acknowledged: u64,
}

impl Standing {
    /// How many messages there are.
    pub const fn held(&self) -> u64 {
        self.open + self.acknowledged
    }
}

/// A message that a broker holds.
#[derive(Clone, Debug)]
pub struct Message {
    pub partition: u32,
    pub position: u64,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// A broker, as the tests see it.
pub trait Broker: Sync {
    /// Its name in the stack.
    fn service(&self) -> &'static str;

    /// What every command is told of it.
    fn environment(&self, stack: &Stack, name: &str) -> Vec<(&'static str, String)>;

    /// What one member of two is told besides.
    fn member(&self, name: &str, number: usize) -> Vec<(&'static str, String)>;

    /// A member that is silent for longer has lost what it holds.
    fn patience(&self) -> Duration;

    /// How far everything is acknowledged; none while the broker cannot be asked.
    fn standing(&self, stack: &Stack, name: &str) -> Option<Standing>;

    /// The positions of all messages that are not acknowledged, where acknowledgements are no prefix. To be asked while the members
    /// are stopped.
    fn unacknowledged(&self, _stack: &Stack, _name: &str) -> Option<BTreeSet<u64>> {
        None
    }

    /// Every message that it holds.
    fn messages(&self, stack: &Stack, name: &str) -> Vec<Message>;
}
