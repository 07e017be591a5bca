//! The judgement: the first difference between what is true and what the binary left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;

use crate::store::{self, Store};
use crate::truth::{self, FLAGS, Truth};
use crate::world::World;

type Verdict = Result<(), String>;

/// Judges a store after a run that ended well. The error begins with the seed.
pub fn judge(world: &World, folder: &Path) -> Verdict {
    let named = |error| format!("seed {}: {error}", world.seed);
    let store = store::read(folder).map_err(named)?;
    all(&world.truth, &store).map_err(named)
}

/// Judges all but the ledger, which was pruned.
pub fn judge_pruned(world: &World, folder: &Path) -> Verdict {
    let named = |error| format!("seed {}: {error}", world.seed);
    let store = store::read(folder).map_err(named)?;
    effects(&world.truth, &store).map_err(named)
}

fn all(truth: &Truth, store: &Store) -> Verdict {
    ledger(truth, store)?;
    effects(truth, store)
}

fn effects(truth: &Truth, store: &Store) -> Verdict {
    same_keys("state row", &truth.rows, &store.rows)?;
    for (name, row) in &truth.rows {
        self::row(row, &store.rows[name])
            .map_err(|error| format!("state row {name:?}: {error}"))?;
    }
    same_keys("batch", &truth.batches, &store.batches)?;
    for (name, batch) in &truth.batches {
        self::batch(name, batch, store).map_err(|error| format!("batch {name:?}: {error}"))?;
    }
    same("parked event", &truth.parked, &store.parked)?;
    dead(truth, store)?;
    log(truth, store)?;
    same("completion told", &store.outbox, &store.told)?;
    equal("undelivered completions", &0, &store.undelivered)
}

fn equal<T: PartialEq + Debug>(what: &str, right: &T, found: &T) -> Verdict {
    if right == found {
        return Ok(());
    }
    Err(format!("{what}: {right:?} is right, found {found:?}"))
}

fn same<T: Ord + Debug>(what: &str, right: &BTreeSet<T>, found: &BTreeSet<T>) -> Verdict {
    if let Some(missing) = right.difference(found).next() {
        let count = right.difference(found).count();
        return Err(format!("{what} missing: {missing:?} (one of {count})"));
    }
    match found.difference(right).next() {
        Some(extra) => Err(format!("{what} too many: {extra:?}")),
        None => Ok(()),
    }
}

fn same_keys<K: Ord + Debug, A, B>(
    what: &str,
    right: &BTreeMap<K, A>,
    found: &BTreeMap<K, B>,
) -> Verdict {
    same(what, &right.keys().collect(), &found.keys().collect())
}

fn row(right: &truth::Row, found: &store::Row) -> Verdict {
    let flags = (0..).zip(FLAGS).filter(|(_, flag)| right.has(flag));
    let flags: i64 = flags.map(|(bit, _)| 1_i64 << bit).sum();
    equal("flags", &flags, &found.flags)?;
    equal("status", &right.status(), &found.status)?;
    for flag in FLAGS {
        let (first, last) = found.times[flag];
        let Some(events) = right.times.get(flag) else {
            equal(flag, &(None, None), &(first, last))?;
            continue;
        };
        let known = |time: Option<i64>| events.iter().flatten().any(|at| Some(*at) == time);
        // Events without a time may count with that of any copy; with one time this is min and max.
        let least = events.iter().map(|copies| copies.iter().min()).min();
        let greatest = events.iter().map(|copies| copies.iter().max()).max();
        let (first_max, last_min) = (
            events.iter().map(|copies| copies.iter().max()).min(),
            events.iter().map(|copies| copies.iter().min()).max(),
        );
        let (first_at, last_at) = (first.as_ref(), last.as_ref());
        let first_right = Some(first_at) >= least && Some(first_at) <= first_max;
        let last_right = Some(last_at) >= last_min && Some(last_at) <= greatest;
        if !(known(first) && known(last) && first_right && last_right) {
            return Err(format!(
                "{flag}: found first {first:?}, last {last:?} from events at {events:?}"
            ));
        }
    }
    Ok(())
}

fn batch(name: &(String, String), right: &truth::Batch, store: &Store) -> Verdict {
    let found = &store.batches[name];
    for (counter, value) in &found.counters {
        let wanted = right.counters.get(counter).copied().unwrap_or(0);
        equal(counter, &wanted, value)?;
    }
    match (right.given, found.total) {
        (true, total) => equal("total", &right.total, &total)?,
        // Only a batch whose recipients are all known at first can do without a given total.
        (false, Some(total)) if total == right.early && right.late == 0 => {}
        (false, None) if right.early + right.late == 0 => {}
        (false, total) => return Err(format!("total {total:?} of {right:?}")),
    }
    if (right.given || right.early > 0) && !found.sealed {
        return Err("is not sealed".to_owned());
    }
    let now = jiff::Timestamp::now().as_millisecond();
    let due = right.deadline.is_some_and(|deadline| deadline <= now);
    let finished = found.counters["finished"];
    let all = found.total.is_some_and(|total| finished >= total);
    equal(
        "completed",
        &(found.sealed && (all || due)),
        &found.completed,
    )?;
    let firing = (name.0.clone(), name.1.clone(), found.generation);
    equal(
        "in the outbox",
        &found.completed,
        &store.outbox.contains(&firing),
    )
}

fn dead(truth: &Truth, store: &Store) -> Verdict {
    same_keys("dead letter", &truth.dead, &store.dead)?;
    // A copy that is read again after a crash counts again.
    let few = |(name, copies): (&_, &i64)| {
        let attempts = store.dead[name];
        (attempts < *copies)
            .then(|| format!("dead letter {name:?}: {copies} copies, {attempts} attempts"))
    };
    truth.dead.iter().find_map(few).map_or(Ok(()), Err)
}

fn log(truth: &Truth, store: &Store) -> Verdict {
    same_keys("logged event", &truth.events, &store.log)?;
    for (name, event) in &truth.events {
        let found = &store.log[name];
        let at = |error| format!("logged event {name:?}: {error}");
        let parked = truth.parked.contains(name);
        // `other` is not looked up again when a late row comes: it is matched if it was logged with its row.
        let matched = if event.flag.is_some() {
            !parked
        } else {
            found.row != <(String, String)>::default()
        };
        equal("version", &i64::from(matched), &found.version).map_err(at)?;
        equal("facts", &event.facts, &found.facts).map_err(at)?;
        if !event.received.contains(&found.received_at) {
            return Err(at(format!("no copy was received at {}", found.received_at)));
        }
        if event.flag.is_some() {
            let row = event.row.clone().unwrap_or_default();
            equal("row", &row, &found.row).map_err(at)?;
        }
    }
    Ok(())
}

fn ledger(truth: &Truth, store: &Store) -> Verdict {
    let counted = truth
        .events
        .keys()
        .filter(|name| !truth.parked.contains(*name));
    equal(
        "size of the ledger",
        &counted.clone().count(),
        &store.ledger.len(),
    )?;
    let logged = counted.filter_map(|name| store.log.get(name));
    match logged
        .into_iter()
        .find(|event| !store.ledger.contains(&event.identity))
    {
        Some(event) => Err(format!("not in the ledger: {event:?}")),
        None => Ok(()),
    }
}
