//! Whole lives of a process over lanes with messages that kill it, as properties.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::source::guard::{Guard, LaneAttempt, Permit};

/// A process over lanes of messages, some of which kill it when they are handed out; the broker and the store survive.
#[derive(Debug)]
struct World {
    lanes: Vec<Lane>,
    store: BTreeMap<String, LaneAttempt>,
    letters: BTreeSet<(usize, u64)>,
    handed_out: BTreeSet<(usize, u64)>,
    deaths: u32,
    /// The last process said that its end is not the messages' doing, and the store does not know.
    told: bool,
}

#[derive(Debug)]
struct Lane {
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
    fn new(lanes: &[(u64, Vec<u64>)]) -> Self {
        let lane = |(messages, poison): &(u64, Vec<u64>)| Lane {
            messages: *messages,
            poison: poison.iter().map(|at| at % (*messages).max(1)).collect(),
            committed: 0,
        };
        Self {
            lanes: lanes.iter().map(lane).collect(),
            store: BTreeMap::new(),
            letters: BTreeSet::new(),
            handed_out: BTreeSet::new(),
            deaths: 0,
            told: false,
        }
    }

    fn poison(&self) -> BTreeSet<(usize, u64)> {
        let lanes = self.lanes.iter().enumerate();
        lanes
            .flat_map(|(lane, one)| one.poison.iter().map(move |at| (lane, *at)))
            .collect()
    }

    fn all(&self) -> BTreeSet<(usize, u64)> {
        let lanes = self.lanes.iter().enumerate();
        lanes
            .flat_map(|(lane, one)| (0..one.messages).map(move |at| (lane, at)))
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
        for lane in &mut self.lanes {
            lane.committed = lane.committed.saturating_sub(settled);
        }
    }

    fn write(&mut self, guard: &mut Guard) {
        for row in guard.to_write() {
            // From here on something may be in work for which nobody gave a word.
            self.told &= !row.running;
            self.store.insert(row.lane.clone(), row);
        }
        guard.written();
    }

    /// One life of the process; whether it came to the end of all lanes.
    fn live(&mut self, life: Life) -> bool {
        if self.told {
            self.store.values_mut().for_each(LaneAttempt::told);
        }
        let mut guard = Guard::default();
        let mut next: Vec<u64> = self.lanes.iter().map(|lane| lane.committed).collect();
        for (at, lane) in self.lanes.iter().enumerate() {
            let name = format!("lane {at}");
            let kept = self.store.get(&name).cloned();
            guard.begin(at as u32, &name, lane.committed, kept);
        }
        let mut work: Vec<(usize, u64)> = Vec::new();
        let mut settled: Vec<(usize, u64)> = Vec::new();
        let mut runs = 0;
        loop {
            let mut moved = false;
            for lane in guard.in_turn(0..next.len() as u32) {
                let lane = lane as usize;
                let waiting = usize::try_from(self.lanes[lane].messages - next[lane]).unwrap();
                let from = next[lane];
                let waiting = waiting.min(life.parcel);
                let mut permit = guard.permit(lane as u32, waiting, |n| from + n as u64);
                if permit == Permit::Wait {
                    self.write(&mut guard);
                    permit = guard.permit(lane as u32, waiting, |n| from + n as u64);
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
                        self.letters.insert((lane, at));
                    } else if self.lanes[lane].poison.contains(&at) {
                        self.deaths += 1;
                        return false;
                    } else {
                        self.handed_out.insert((lane, at));
                    }
                }
                next[lane] = end;
                guard.handed_out(lane as u32, end);
                work.push((lane, end));
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
                let (lane, end) = settled.remove(0);
                self.lanes[lane].committed = end;
                guard.settled(lane as u32, end);
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

/// Lanes with poison or without; one without messages has none.
fn world(lanes: &[(u64, Vec<u64>)]) -> World {
    let lane = |(count, poison): &(u64, Vec<u64>)| match count {
        0 => (0, Vec::new()),
        _ => (*count, poison.clone()),
    };
    World::new(&lanes.iter().map(lane).collect::<Vec<_>>())
}

fn lanes() -> impl Strategy<Value = Vec<(u64, Vec<u64>)>> {
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
    fn exactly_the_messages_that_kill_become_dead_letters(lanes in lanes(), life in lives()) {
        world(&lanes).ends_well(life);
    }

    #[test]
    fn ends_that_were_told_never_lead_to_a_dead_letter(
        lanes in proptest::collection::vec(1..3_000u64, 1..5),
        lives in proptest::collection::vec(told_lives(), 0..60),
        last in lives(),
    ) {
        let mut world = World::new(&lanes.iter().map(|n| (*n, vec![])).collect::<Vec<_>>());
        for life in lives {
            world.live(life);
            prop_assert!(world.letters.is_empty());
            prop_assert!(world.store.values().all(|row| row.deaths == 0 && row.condemned.is_none()));
        }
        prop_assert!(world.live(last));
        prop_assert!(world.letters.is_empty());
        prop_assert_eq!(world.handed_out.len() as u64, lanes.iter().sum::<u64>());
    }

    #[test]
    fn ends_that_were_told_among_deaths_hide_no_poison_and_accuse_nobody_else(
        lanes in lanes(),
        lives in proptest::collection::vec((told_lives(), 0..4usize), 0..20),
        last in lives(),
    ) {
        let mut world = world(&lanes);
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
        lanes in lanes(),
        forgotten in proptest::collection::vec(0..3_000u64, 0..60),
        life in lives(),
    ) {
        let mut world = world(&lanes);
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
        lanes in proptest::collection::vec(1..3_000u64, 1..5),
        kills in proptest::collection::vec((1..40u32, 1..200usize), 0..60),
    ) {
        let mut world = World::new(&lanes.iter().map(|n| (*n, vec![])).collect::<Vec<_>>());
        for (runs, parcel) in kills {
            let before: u64 = world.lanes.iter().map(|lane| lane.committed).sum();
            // It settles at once, so it has got on in every lane that it touched, but for the last of them.
            world.live(Life { runs: Some(runs + lanes.len() as u32), depth: 0, parcel, commit_lag: 0, tells: false });
            let after: u64 = world.lanes.iter().map(|lane| lane.committed).sum();
            prop_assume!(after > before || after == lanes.iter().sum::<u64>());
            prop_assert!(world.letters.is_empty());
        }
        let ended = world.live(Life { runs: None, depth: 1, parcel: 100, commit_lag: 0, tells: false });
        prop_assert!(ended);
        prop_assert!(world.letters.is_empty());
        prop_assert_eq!(world.handed_out.len() as u64, lanes.iter().sum::<u64>());
    }
}
