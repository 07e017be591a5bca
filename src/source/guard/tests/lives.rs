//! Whole lives of a process over partitions with messages that kill it, as properties.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::source::guard::{Guard, PartitionAttempt, Permit};

/// A process over partitions of messages, some of which kill it when they are handed out; the broker and the store survive.
#[derive(Debug)]
struct World {
    partitions: Vec<Partition>,
    store: BTreeMap<String, PartitionAttempt>,
    letters: BTreeSet<(usize, u64)>,
    handed_out: BTreeSet<(usize, u64)>,
    deaths: u32,
    /// The last process said that its end is not the messages' doing, and the store does not know.
    told: bool,
}

#[derive(Debug)]
struct Partition {
    messages: u64,
    poison: BTreeSet<u64>,
    /// What the broker knows to be settled.
    committed: u64,
}

/// How one life goes.
#[derive(Clone, Copy, Debug)]
struct Life {
    /// After so many runs were handed out something else ends it; none: it goes on to the end.
    runs: Option<u32>,
    /// How many runs may be in work before the oldest settles.
    depth: usize,
    /// Most messages of a run.
    parcel: usize,
    /// Settled floors reach the broker only after so many more have settled.
    commit_lag: usize,
    /// What ends it leaves word.
    tells: bool,
}

impl World {
    fn new(partitions: &[(u64, Vec<u64>)]) -> Self {
        let partition = |(messages, poison): &(u64, Vec<u64>)| Partition {
            messages: *messages,
            poison: poison.iter().map(|at| at % (*messages).max(1)).collect(),
            committed: 0,
        };
        Self {
            partitions: partitions.iter().map(partition).collect(),
            store: BTreeMap::new(),
            letters: BTreeSet::new(),
            handed_out: BTreeSet::new(),
            deaths: 0,
            told: false,
        }
    }

    fn poison(&self) -> BTreeSet<(usize, u64)> {
        let partitions = self.partitions.iter().enumerate();
        partitions
            .flat_map(|(partition, one)| one.poison.iter().map(move |at| (partition, *at)))
            .collect()
    }

    fn all(&self) -> BTreeSet<(usize, u64)> {
        let partitions = self.partitions.iter().enumerate();
        partitions
            .flat_map(|(partition, one)| (0..one.messages).map(move |at| (partition, at)))
            .collect()
    }

    /// Life follows life until one comes to the end: exactly the messages that kill are dead letters, and all others were handed out.
    fn ends_well(&mut self, life: Life) {
        let poison = self.poison();
        let most = self.deaths + 1 + 60 * poison.len() as u32;
        while !self.live(life) {
            assert!(self.deaths <= most, "{} deaths", self.deaths);
        }
        assert_eq!(self.letters, poison);
        let rest: BTreeSet<_> = self.all().difference(&poison).copied().collect();
        assert_eq!(self.handed_out, rest);
    }

    /// The broker has not kept so much of what it knew.
    fn forget(&mut self, settled: u64) {
        for partition in &mut self.partitions {
            partition.committed = partition.committed.saturating_sub(settled);
        }
    }

    fn write(&mut self, guard: &mut Guard) {
        for row in guard.to_write() {
            // From here on something may be in work for which nobody gave a word.
            self.told &= !row.running;
            self.store.insert(row.partition.clone(), row);
        }
        guard.written();
    }

    /// One life of the process; whether it came to the end of all partitions.
    fn live(&mut self, life: Life) -> bool {
        if self.told {
            self.store.values_mut().for_each(PartitionAttempt::told);
        }
        let mut guard = Guard::default();
        let mut next: Vec<u64> = self
            .partitions
            .iter()
            .map(|partition| partition.committed)
            .collect();
        for (at, partition) in self.partitions.iter().enumerate() {
            let name = format!("partition {at}");
            let kept = self.store.get(&name).cloned();
            guard.begin(at as u32, &name, partition.committed, kept);
        }
        let mut work: Vec<(usize, u64)> = Vec::new();
        let mut settled: Vec<(usize, u64)> = Vec::new();
        let mut runs = 0;
        loop {
            let mut moved = false;
            for partition in guard.in_turn(0..next.len() as u32) {
                let partition = partition as usize;
                let waiting =
                    usize::try_from(self.partitions[partition].messages - next[partition]).unwrap();
                let from = next[partition];
                let waiting = waiting.min(life.parcel);
                let mut permit = guard.permit(partition as u32, waiting, |n| from + n as u64);
                if permit == Permit::Wait {
                    self.write(&mut guard);
                    permit = guard.permit(partition as u32, waiting, |n| from + n as u64);
                }
                let (count, dead) = match permit {
                    Permit::Wait => continue,
                    Permit::Go(count) => (count.min(waiting), false),
                    Permit::Condemned => (1, true),
                };
                (moved, runs) = (true, runs + 1);
                let end = from + count as u64;
                for at in from..end {
                    if dead {
                        self.letters.insert((partition, at));
                    } else if self.partitions[partition].poison.contains(&at) {
                        self.deaths += 1;
                        return false;
                    } else {
                        self.handed_out.insert((partition, at));
                    }
                }
                next[partition] = end;
                guard.handed_out(partition as u32, end);
                work.push((partition, end));
            }
            if life.runs.is_some_and(|most| runs >= most) && !work.is_empty() {
                self.deaths += u32::from(!life.tells);
                self.told = life.tells;
                return false;
            }
            while work.len() > life.depth || (!moved && !work.is_empty()) {
                settled.push(work.remove(0));
                moved = true;
            }
            while settled.len() > life.commit_lag || (!moved && !settled.is_empty()) {
                let (partition, end) = settled.remove(0);
                self.partitions[partition].committed = end;
                guard.settled(partition as u32, end);
                moved = true;
            }
            if !moved {
                guard.end_all();
                self.write(&mut guard);
                return true;
            }
        }
    }
}

fn lives() -> impl Strategy<Value = Life> {
    (0..4usize, 1..2_000usize, 0..3usize).prop_map(|(depth, parcel, commit_lag)| Life {
        runs: None,
        depth,
        parcel,
        commit_lag,
        tells: false,
    })
}

/// Lives that something else ends, which leaves word.
fn told_lives() -> impl Strategy<Value = Life> {
    (lives(), 1..4u32).prop_map(|(life, runs)| Life {
        runs: Some(runs),
        tells: true,
        ..life
    })
}

/// Partitions with poison or without; one without messages has none.
fn world(partitions: &[(u64, Vec<u64>)]) -> World {
    let partition = |(count, poison): &(u64, Vec<u64>)| match count {
        0 => (0, Vec::new()),
        _ => (*count, poison.clone()),
    };
    World::new(&partitions.iter().map(partition).collect::<Vec<_>>())
}

fn partitions() -> impl Strategy<Value = Vec<(u64, Vec<u64>)>> {
    let poison = prop_oneof![
        2 => Just(Vec::new()),
        2 => proptest::collection::vec(0..9_000u64, 1),
        1 => proptest::collection::vec(0..9_000u64, 2..4),
    ];
    proptest::collection::vec((0..9_000u64, poison), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn exactly_the_messages_that_kill_become_dead_letters(partitions in partitions(), life in lives()) {
        world(&partitions).ends_well(life);
    }

    #[test]
    fn ends_that_were_told_never_lead_to_a_dead_letter(
        partitions in proptest::collection::vec(1..3_000u64, 1..5),
        lives in proptest::collection::vec(told_lives(), 0..60),
        last in lives(),
    ) {
        let mut world = World::new(&partitions.iter().map(|n| (*n, vec![])).collect::<Vec<_>>());
        for life in lives {
            world.live(life);
            prop_assert!(world.letters.is_empty());
            prop_assert!(world.store.values().all(|row| row.deaths == 0 && row.condemned.is_none()));
        }
        prop_assert!(world.live(last));
        prop_assert!(world.letters.is_empty());
        prop_assert_eq!(world.handed_out.len() as u64, partitions.iter().sum::<u64>());
    }

    #[test]
    fn ends_that_were_told_among_deaths_hide_no_poison_and_accuse_nobody_else(
        partitions in partitions(),
        lives in proptest::collection::vec((told_lives(), 0..4usize), 0..20),
        last in lives(),
    ) {
        let mut world = world(&partitions);
        let poison = world.poison();
        for (told, deaths) in lives {
            world.live(told);
            for _ in 0..deaths {
                world.live(last);
            }
            prop_assert!(world.letters.is_subset(&poison));
        }
        world.ends_well(last);
    }

    #[test]
    fn what_the_broker_forgets_hides_no_poison_and_accuses_nobody_else(
        partitions in partitions(),
        forgotten in proptest::collection::vec(0..3_000u64, 0..60),
        life in lives(),
    ) {
        let mut world = world(&partitions);
        let poison = world.poison();
        for settled in forgotten {
            world.live(life);
            world.forget(settled);
            prop_assert!(world.letters.is_subset(&poison));
        }
        world.ends_well(life);
    }

    #[test]
    fn a_process_that_gets_on_before_it_dies_accuses_nobody(
        partitions in proptest::collection::vec(1..3_000u64, 1..5),
        kills in proptest::collection::vec((1..40u32, 1..200usize), 0..60),
    ) {
        let mut world = World::new(&partitions.iter().map(|n| (*n, vec![])).collect::<Vec<_>>());
        for (runs, parcel) in kills {
            let before: u64 = world.partitions.iter().map(|partition| partition.committed).sum();
            // It settles at once, so it has got on in every partition that it touched, but for the last of them.
            world.live(Life { runs: Some(runs + partitions.len() as u32), depth: 0, parcel, commit_lag: 0, tells: false });
            let after: u64 = world.partitions.iter().map(|partition| partition.committed).sum();
            prop_assume!(after > before || after == partitions.iter().sum::<u64>());
            prop_assert!(world.letters.is_empty());
        }
        let ended = world.live(Life { runs: None, depth: 1, parcel: 100, commit_lag: 0, tells: false });
        prop_assert!(ended);
        prop_assert!(world.letters.is_empty());
        prop_assert_eq!(world.handed_out.len() as u64, partitions.iter().sum::<u64>());
    }
}
