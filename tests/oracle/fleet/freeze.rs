//! Early acknowledgements: one sink, or both, is frozen under load. What is acknowledged when nothing moves any more must have been
//! durable in both before.

use std::collections::BTreeSet;

use super::broker::Standing;
use super::contents::{Content, Contents};
use super::durable::Durable;
use super::members::Fleet;

/// What is frozen, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// The log's server is stopped (SIGSTOP).
    Log,
    /// The tables of the state store are locked.
    Tables,
    /// The state store's server is stopped.
    State,
    /// The log's server is stopped and the tables of the state store are locked.
    Both,
}

/// What a freeze found; a freeze that finds none of a kind proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Messages that were acknowledged.
    pub acknowledged: usize,
    /// Messages that were not.
    pub open: usize,
    /// Open messages of which something is durable in one sink and not in the other.
    pub halves: usize,
}

impl Freeze {
    /// The servers that are stopped.
    const fn servers(self) -> &'static [&'static str] {
        match self {
            Freeze::Log | Freeze::Both => &["clickhouse"],
            Freeze::State => &["postgres"],
            Freeze::Tables => &[],
        }
    }

    const fn locks(self) -> bool {
        matches!(self, Freeze::Tables | Freeze::Both)
    }
}

/// Freezes while load flows, does something meanwhile, waits until acknowledgements stand still, and judges them. The state as of
/// the freeze is seen because nobody can change it any more: tables are read by the transaction that locks them, and a
/// stopped server is killed and started again while the members are stopped.
pub fn freeze(
    fleet: &mut Fleet<'_>,
    contents: &Contents,
    freeze: Freeze,
    meanwhile: impl FnOnce(&mut Fleet<'_>),
) -> Result<Found, String> {
    let store = freeze.locks().then(|| fleet.store());
    if let Some(store) = &store {
        store.lock();
    }
    for server in freeze.servers() {
        fleet.server("pause", server);
    }
    meanwhile(fleet);
    let standing = fleet.standstill();
    fleet.signal(&[0, 1], "-STOP");
    for server in freeze.servers() {
        fleet.server("kill", server);
        fleet.server("start", server);
    }
    let store = store.unwrap_or_else(|| fleet.store());
    let durable = Durable {
        state: store.events(),
        letters: store.letters(),
        log: fleet.logged(),
    };
    let open = fleet.broker.unacknowledged(fleet.stack, &fleet.name);
    let found = judge(fleet, contents, &(standing, open), &durable);
    drop(store);
    fleet.signal(&[0, 1], "-CONT");
    found
}

fn judge(
    fleet: &Fleet<'_>,
    contents: &Contents,
    (standing, open): &(Standing, Option<BTreeSet<u64>>),
    durable: &Durable,
) -> Result<Found, String> {
    let mut found = Found::default();
    let mut early = BTreeSet::new();
    for message in fleet.messages() {
        let content = contents.content(&message);
        let [state, log] = [in_state(content, durable), in_log(content, durable)];
        let is_open = match open {
            Some(open) => open.contains(&message.position),
            None => message.position >= standing.floors[&message.partition],
        };
        if is_open {
            found.open += 1;
            found.halves += usize::from(state != log);
            continue;
        }
        found.acknowledged += 1;
        if !(state && log) {
            early.insert((message.partition, message.position, state, log));
        }
    }
    match early.first() {
        None => Ok(found),
        Some((partition, position, state, log)) => Err(format!(
            "{} of {} acknowledged messages were not durable when it froze, first {position} of partition {partition} (in the state \
             store: {state}, in the log: {log})",
            early.len(),
            found.acknowledged
        )),
    }
}

fn in_state(content: &Content, durable: &Durable) -> bool {
    let letters = content.letters.iter();
    let mut events = content.events.iter();
    events.all(|event| durable.state.contains(event))
        && letters
            .into_iter()
            .all(|letter| durable.letters.contains(letter))
}

fn in_log(content: &Content, durable: &Durable) -> bool {
    let mut events = content.events.iter();
    events.all(|event| durable.log.contains(event))
}
