use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

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
            #[expect(
                clippy::needless_range_loop,
                reason = "three lists have a place for each lane"
            )]
            for lane in 0..next.len() {
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
        let mut world = world(&lanes);
        let poison = world.poison();
        let most = 1 + 60 * poison.len() as u32;
        while !world.live(life) {
            prop_assert!(world.deaths <= most, "{} deaths", world.deaths);
        }
        prop_assert_eq!(&world.letters, &poison);
        let rest: BTreeSet<_> = world.all().difference(&poison).copied().collect();
        prop_assert_eq!(&world.handed_out, &rest);
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
        let most = world.deaths + 1 + 60 * poison.len() as u32;
        while !world.live(last) {
            prop_assert!(world.deaths <= most, "{} deaths", world.deaths);
        }
        prop_assert_eq!(&world.letters, &poison);
        let rest: BTreeSet<_> = world.all().difference(&poison).copied().collect();
        prop_assert_eq!(&world.handed_out, &rest);
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

fn kept(deaths: u32, running: bool, named: Option<(u64, u64)>) -> LaneAttempt {
    LaneAttempt {
        lane: "a".into(),
        floor: 10,
        deaths,
        running,
        named,
        until: 10,
        condemned: None,
    }
}

#[test]
fn nothing_is_handed_out_before_the_row_is_durable() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, None);
    let waiting = |n: usize| 10 + n as u64;
    assert_eq!(guard.permit(0, 3, waiting), Permit::Wait);
    let rows = guard.to_write();
    assert!(rows[0].running);
    assert_eq!(guard.permit(0, 3, waiting), Permit::Wait);
    guard.written();
    assert_eq!(guard.permit(0, 3, waiting), Permit::Go(usize::MAX));
}

#[test]
fn an_end_that_was_told_counts_for_nothing() {
    for _ in 0..20 {
        let mut guard = Guard::default();
        guard.begin(0, "a", 10, Some(kept(0, true, None)));
        assert!(guard.is_suspicious());
        guard.begin(0, "a", 10, Some(kept(0, false, None)));
        assert!(!guard.is_suspicious());
    }
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, None);
    guard.permit(0, 1, |_| 10);
    guard.to_write();
    guard.written();
    guard.end_all();
    assert!(!guard.to_write()[0].running);
    assert_eq!(guard.permit(0, 1, |_| 10), Permit::Wait);
}

#[test]
fn only_the_named_one_is_condemned_and_only_after_five_deaths() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, Some(kept(4, true, Some((10, 11)))));
    assert!(matches!(
        guard.permit(0, 9, |n| 10 + n as u64),
        Permit::Wait
    ));
    assert_eq!(guard.to_write()[0].named, Some((10, 11)));
    guard.written();
    assert_eq!(guard.permit(0, 9, |n| 10 + n as u64), Permit::Go(1));

    guard.begin(0, "a", 10, Some(kept(5, true, Some((12, 13)))));
    // What settled before it was named, and whose settlement the broker does not know, goes first.
    assert_eq!(guard.permit(0, 9, |n| 10 + n as u64), Permit::Wait);
    guard.to_write();
    guard.written();
    assert_eq!(guard.permit(0, 9, |n| 10 + n as u64), Permit::Go(2));
    guard.handed_out(0, 12);
    assert_eq!(guard.permit(0, 7, |n| 12 + n as u64), Permit::Wait);
    guard.settled(0, 12);
    let mut permit = guard.permit(0, 7, |n| 12 + n as u64);
    if permit == Permit::Wait {
        guard.to_write();
        guard.written();
        permit = guard.permit(0, 7, |n| 12 + n as u64);
    }
    assert_eq!(permit, Permit::Condemned);
}

#[test]
fn the_gate_reads_after_the_lane_began_and_waits_for_its_rows() {
    let mut gate = Gate::open();
    gate.begin(3, "a", 7);
    assert_eq!(gate.permit(3, 1, |_| 7), Permit::Wait);
    assert_eq!(gate.permit(3, 1, |_| 7), Permit::Go(usize::MAX));
    gate.handed_out(3, 8);
    gate.end(&[3], std::time::Instant::now());
    assert_eq!(gate.permit(3, 1, |_| 8), Permit::Wait);
}

#[test]
fn a_death_is_kept_before_another_lane_hands_anything_out() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, Some(kept(2, true, Some((10, 14)))));
    guard.begin(1, "b", 0, None);
    assert_eq!(guard.permit(1, 1, |_| 0), Permit::Wait);
    let rows = guard.to_write();
    let row = rows.iter().find(|row| row.lane == "a").unwrap();
    assert_eq!((row.deaths, row.running, row.until), (3, false, 14));
}

#[test]
fn what_comes_before_a_run_that_is_named_already_is_named_itself() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, Some(kept(4, true, Some((12, 13)))));
    assert_eq!(guard.permit(0, 2, |n| 12 + n as u64), Permit::Wait);
    assert_eq!(guard.to_write()[0].named, Some((12, 13)));
    guard.written();
    assert_eq!(guard.permit(0, 3, |n| 11 + n as u64), Permit::Wait);
    assert_eq!(guard.to_write()[0].named, Some((11, 12)));
    guard.written();
    assert_eq!(guard.permit(0, 3, |n| 11 + n as u64), Permit::Go(1));
}

#[test]
fn what_is_told_twice_is_no_progress() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, Some(kept(3, true, Some((10, 14)))));
    for _ in 0..20 {
        guard.settled(0, 10);
    }
    assert!(guard.is_suspicious());
    assert_eq!(guard.width(), 4);
}

/// Knows these rows, and takes all others.
#[derive(Debug)]
struct Rows(Vec<LaneAttempt>, std::collections::VecDeque<Answer>);

impl AttemptStore for Rows {
    fn read(&mut self, _lanes: Vec<String>) {
        self.1.push_back(Answer::Kept(self.0.clone()));
    }

    fn write(&mut self, _rows: Vec<LaneAttempt>) {
        self.1.push_back(Answer::Written);
    }

    fn answer(&mut self, _wait: std::time::Duration) -> Option<Answer> {
        self.1.pop_front()
    }
}

#[test]
fn a_lane_that_is_trusted_is_asked_again_when_another_one_is_suspect() {
    let suspect = kept(4, true, Some((10, 14)));
    let mut gate = Gate::new(Box::new(Rows(vec![suspect], Default::default())));
    gate.begin(0, "b", 0);
    assert_eq!(gate.permit(0, 1, |_| 0), Permit::Wait);
    assert_eq!(gate.permit(0, 1, |_| 0), Permit::Go(usize::MAX));
    gate.begin(1, "a", 10);
    gate.turn();
    assert!(gate.is_suspicious() && !gate.is_beginning());
    let mut permit = Permit::Wait;
    for _ in 0..3 {
        permit = gate.permit(0, 9, |n| n as u64);
    }
    assert!(
        matches!(permit, Permit::Go(count) if count <= 9),
        "{permit:?}"
    );
    gate.end_all();
    assert_eq!(gate.permit(0, 9, |n| n as u64), Permit::Wait);
}
