//! Whole lives of a fleet over records of which some kill, as properties; and the files.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use crossbeam_channel::Sender;
use proptest::prelude::*;

use super::suspects::{ALONE, Breadcrumb, NAMED, RecordPosition, Suspects, Verdict};
use super::*;
use crate::epoch::Epoch;
use crate::event::Origin;
use crate::source::message::{Address, Fields, Message};
use crate::source::{PartitionIds, Record, Records};

/// Where a life is ended by something that is no record's doing.
#[derive(Clone, Copy, Debug)]
struct Kill {
    member: usize,
    /// After so many steps.
    steps: usize,
}

/// A shared stream, the members that read it, and what became of its records.
struct Fleet {
    members: Vec<Suspects>,
    lives: Vec<u64>,
    workers: usize,
    run: usize,
    poison: BTreeSet<u64>,
    open: BTreeSet<u64>,
    letters: BTreeSet<u64>,
    /// Crashes that records made.
    deaths: usize,
    /// How often something else killed a member while it decoded a record, and how often while it decoded it alone.
    killed: BTreeMap<u64, (u32, u32)>,
}

fn place(offset: u64) -> RecordPosition {
    RecordPosition {
        partition: 7,
        offset,
    }
}

/// One step of a life: what each worker decodes at that moment, and whether that is one suspect alone.
type Step = (Vec<Vec<u64>>, bool);

impl Fleet {
    fn new(members: usize, workers: usize, records: u64, poison: &[u64], run: usize) -> Self {
        Self {
            members: vec![Suspects::default(); members],
            lives: vec![0; members],
            workers,
            run,
            poison: poison.iter().map(|at| at % records).collect(),
            open: (0..records).collect(),
            letters: BTreeSet::new(),
            deaths: 0,
            killed: BTreeMap::new(),
        }
    }

    fn blaming_by_presence(mut self) -> Self {
        self.members = vec![Suspects::default().blaming_by_presence(true); self.members.len()];
        self
    }

    /// What a member does with the open records: trusted ones in runs, as many at once as it has workers; suspects alone.
    fn steps(&self, member: usize) -> Vec<Step> {
        let (mut steps, mut together) = (Vec::new(), Vec::new());
        for at in &self.open {
            match self.members[member].verdict(place(*at), 1, || *at) {
                Verdict::Suspect => steps.push((vec![vec![*at]], true)),
                Verdict::Trusted | Verdict::DeadLetter => together.push(*at),
            }
        }
        let runs: Vec<Vec<u64>> = together.chunks(self.run).map(<[u64]>::to_vec).collect();
        steps.extend(runs.chunks(self.workers).map(|runs| (runs.to_vec(), false)));
        steps
    }

    /// One life of a member, which something else may end.
    fn live(&mut self, member: usize, kill: Option<usize>) {
        self.lives[member] += 1;
        for (number, (slots, alone)) in self.steps(member).into_iter().enumerate() {
            let is_poison = |at: &u64| {
                let verdict = self.members[member].verdict(place(*at), 1, || *at);
                self.poison.contains(at) && verdict != Verdict::DeadLetter
            };
            if slots.iter().flatten().any(is_poison) {
                self.deaths += 1;
                return self.crash(member, slots, alone);
            }
            if kill == Some(number) {
                for at in slots.iter().flatten() {
                    let killed = self.killed.entry(*at).or_default();
                    *killed = (killed.0 + 1, killed.1 + u32::from(alone));
                }
                return self.crash(member, slots, alone);
            }
            for at in slots.into_iter().flatten() {
                if self.members[member].verdict(place(at), 1, || at) == Verdict::DeadLetter {
                    self.letters.insert(at);
                } else {
                    self.members[member].clear(place(at));
                }
                self.open.remove(&at);
            }
        }
    }

    fn crash(&mut self, member: usize, slots: Vec<Vec<u64>>, alone: bool) {
        let breadcrumbs = slots.into_iter().map(|offsets| Breadcrumb {
            alone: alone.then(|| offsets[0]),
            places: offsets.into_iter().map(place).collect(),
            is_decoded: false,
        });
        let breadcrumbs: Vec<Breadcrumb> = breadcrumbs.collect();
        let life = self.lives[member];
        let suspects = &mut self.members[member];
        suspects.judge(life, &breadcrumbs);
        // What is kept is what the next life reads.
        let is_wrong = *suspects != suspects.clone().blaming_by_presence(false);
        *suspects = Suspects::decode(&suspects.encode()).blaming_by_presence(is_wrong);
    }

    /// Members live in turn until nothing is open.
    fn run_to_the_end(&mut self) {
        let most = self.deaths + 3 * self.members.len() * self.poison.len();
        for turn in 0.. {
            if self.open.is_empty() {
                return;
            }
            self.live(turn % self.members.len(), None);
            assert!(self.deaths <= most, "{} crashes", self.deaths);
        }
    }
}

fn fleets() -> impl Strategy<Value = (usize, usize, u64, Vec<u64>, usize)> {
    let poison = prop_oneof![
        3 => proptest::collection::vec(0..2_000u64, 0..2),
        1 => proptest::collection::vec(0..2_000u64, 2..5),
    ];
    (1..5usize, 1..4usize, 1..2_000u64, poison, 1..61usize)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn poison_is_found_within_three_crashes_a_member((members, workers, records, poison, run) in fleets()) {
        let mut fleet = Fleet::new(members, workers, records, &poison, run);
        fleet.run_to_the_end();
        prop_assert_eq!(&fleet.letters, &fleet.poison);
    }

    #[test]
    fn random_kills_hide_no_poison_and_blame_no_innocent(
        (members, workers, records, poison, run) in fleets(),
        kills in proptest::collection::vec((0..5usize, 0..200usize), 0..30),
    ) {
        let mut fleet = Fleet::new(members, workers, records, &poison, run);
        for kill in kills.into_iter().map(|(member, steps)| Kill { member: member % members, steps }) {
            fleet.live(kill.member, Some(kill.steps));
        }
        fleet.run_to_the_end();
        prop_assert!(fleet.letters.is_superset(&fleet.poison));
        // Only kills that hit the same record alone again and again look like poison.
        for innocent in fleet.letters.difference(&fleet.poison) {
            let (named, alone) = fleet.killed.get(innocent).copied().unwrap_or_default();
            prop_assert!(alone >= ALONE && named + 1 >= NAMED, "{} was killed {} times, {} alone", innocent, named, alone);
        }
    }
}

#[test]
fn blame_by_presence_dead_letters_an_innocent() {
    // Two workers: one decodes the poison, the other what is beside it.
    let fleet = || Fleet::new(1, 2, 4, &[1], 2);
    let mut right = fleet();
    right.run_to_the_end();
    assert_eq!(right.letters, BTreeSet::from([1]));
    let mut wrong = fleet().blaming_by_presence();
    wrong.run_to_the_end();
    assert_eq!(wrong.letters, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn other_bytes_at_a_place_are_another_record() {
    let alone = |content| Breadcrumb {
        places: vec![place(5)],
        alone: Some(content),
        is_decoded: false,
    };
    let mut suspects = Suspects::default();
    for life in 1..=3 {
        suspects.judge(life, &[alone(70)]);
    }
    assert_eq!(suspects.verdict(place(5), 0, || 70), Verdict::DeadLetter);
    assert_eq!(suspects.verdict(place(5), 0, || 71), Verdict::Suspect);
    suspects.judge(4, &[alone(71)]);
    assert_eq!(suspects.verdict(place(5), 0, || 71), Verdict::Suspect);
    suspects.judge(5, &[alone(71)]);
    suspects.judge(6, &[alone(71)]);
    assert_eq!(suspects.verdict(place(5), 0, || 71), Verdict::DeadLetter);
    suspects.forget_dead_letters();
    assert!(suspects.is_empty());
}

#[test]
fn kills_while_rows_are_on_their_way_count_less() {
    let mut suspects = Suspects::default();
    let decoded = |content| Breadcrumb {
        places: vec![place(5)],
        alone: Some(content),
        is_decoded: true,
    };
    for (life, expected) in [
        (1, Verdict::Suspect),
        (2, Verdict::Suspect),
        (3, Verdict::DeadLetter),
    ] {
        suspects.judge(life, &[decoded(70)]);
        suspects = Suspects::decode(&suspects.encode());
        assert_eq!(suspects.verdict(place(5), 0, || 70), expected);
        assert_eq!(suspects.blame(place(5)), life as u32);
    }
}

#[test]
fn repeated_deliveries_are_suspects_only_after_an_own_crash() {
    let mut suspects = Suspects::default();
    suspects.judge(1, &[]);
    assert_eq!(suspects.verdict(place(9), 7, || 0), Verdict::Trusted);
    let run = Breadcrumb {
        places: vec![place(1)],
        alone: None,
        is_decoded: false,
    };
    suspects.judge(2, &[run]);
    assert_eq!(suspects.verdict(place(9), 3, || 0), Verdict::Suspect);
    assert_eq!(suspects.verdict(place(9), 2, || 0), Verdict::Trusted);
}

/// A worker over real files, and the channel that feeds it.
struct Bench {
    quarantine: Quarantine,
    workers: Vec<WorkerQuarantine>,
    sender: Sender<Records>,
    waiting: crossbeam_channel::Receiver<Records>,
    now: u64,
}

impl Bench {
    fn open(folder: &Path, workers: usize) -> Self {
        let quarantine = Quarantine::open(folder, "job", workers);
        let ids = PartitionIds::default();
        ids.insert(0, "topic/0");
        let part = |worker| WorkerQuarantine::new(&quarantine, worker, ids.clone());
        let workers = (0..workers).map(part).collect();
        let (sender, waiting) = crossbeam_channel::unbounded();
        Self {
            workers,
            quarantine,
            sender,
            waiting,
            now: 0,
        }
    }

    fn send(&self, offsets: std::ops::Range<u64>) {
        let line = |offset: u64| {
            let origin = Origin {
                partition: 0,
                offset,
            };
            Record::Line(origin, format!("record {offset}").into())
        };
        let records = Records {
            partition: 0,
            start: offsets.start,
            end: offsets.end,
            records: offsets.map(line).collect(),
            bytes: 0,
            due: None,
        };
        self.sender.send(records).unwrap();
    }

    /// What a worker is given, while everything before the next epoch is handed to the writers or not.
    fn next(&mut self, worker: usize, is_through: bool) -> Received {
        self.now += 1;
        self.workers[worker].advance(Epoch(self.now), |_| is_through);
        self.workers[worker].receive(&self.waiting)
    }

    fn given(&mut self, worker: usize, is_through: bool) -> Option<Vec<u64>> {
        match self.next(worker, is_through) {
            Received::Run(run) => {
                let offsets: Vec<u64> = run.records.iter().map(|one| one.origin().offset).collect();
                self.workers[worker].enter(0, &run.records);
                Some(offsets)
            }
            _ => None,
        }
    }
}

#[test]
fn suspects_are_given_one_by_one_and_nothing_else_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Bench::open(folder.path(), 2);
    first.send(10..12);
    assert_eq!(first.given(0, true), Some(vec![10, 11]));
    drop(first);

    let mut second = Bench::open(folder.path(), 2);
    second.send(9..13);
    second.send(20..21);
    second.send(21..22);
    assert_eq!(
        second.given(0, true),
        Some(vec![9, 12]),
        "what is trusted goes first"
    );
    second.workers[0].leave(Epoch(0), true);
    assert_eq!(second.given(0, false), None, "the gate closes");
    assert_eq!(second.given(1, true), None, "nobody else takes anything");
    assert_eq!(second.given(0, false), None, "something is on its way");
    assert_eq!(second.given(0, false), None, "still");
    assert_eq!(second.given(0, true), Some(vec![10]));
    second.workers[0].leave(Epoch(0), true);
    assert_eq!(second.given(0, false), None, "its rows are on their way");
    assert_eq!(second.given(1, false), None);
    assert_eq!(second.given(0, true), Some(vec![11]));
    second.workers[0].leave(Epoch(0), true);
    assert_eq!(second.given(0, true), Some(vec![20]));
    assert_eq!(second.given(1, true), Some(vec![21]), "the gate is open");
    for worker in &mut second.workers {
        worker.leave(Epoch(0), true);
    }
    drop(second);
    assert_eq!(Quarantine::open(folder.path(), "job", 2).suspects(), 0);
}

#[test]
fn a_run_without_records_keeps_no_gate_closed() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Bench::open(folder.path(), 1);
    first.send(10..11);
    assert_eq!(first.given(0, true), Some(vec![10]));
    drop(first);

    let mut second = Bench::open(folder.path(), 1);
    second.send(9..9);
    second.send(10..11);
    assert_eq!(second.given(0, true), Some(vec![]), "blank lines of a file");
    let suspect = (0..4).find_map(|_| second.given(0, true));
    assert_eq!(suspect, Some(vec![10]));
}

/// A message that a broker delivered three times.
fn redelivered(offset: u64) -> Record {
    Record::Message(Box::new(Message {
        origin: Origin {
            partition: 0,
            offset,
        },
        address: Address::Subject {
            subject: Bytes::new(),
            skip: 0,
        },
        at: None,
        deliveries: 3,
        fields: Fields::Lines(Bytes::new()),
        body: Bytes::new(),
    }))
}

#[test]
fn only_so_many_repeated_messages_are_decoded_alone_in_one_life() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Bench::open(folder.path(), 1);
    first.send(0..1);
    assert_eq!(first.given(0, true), Some(vec![0]));
    drop(first);

    let second = Bench::open(folder.path(), 1);
    let repeated = redelivered(7);
    assert_eq!(second.workers[0].verdict(0, &repeated), Verdict::Suspect);
    let spent = super::worker::REPEATED_ALONE_MAX;
    second
        .quarantine
        .0
        .repeated_alone
        .store(spent, Ordering::SeqCst);
    assert_eq!(second.workers[0].verdict(0, &repeated), Verdict::Trusted);
}

#[test]
fn only_the_last_part_of_a_run_has_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Bench::open(folder.path(), 1);
    first.send(1..2);
    first.given(0, true);
    drop(first);
    let mut second = Bench::open(folder.path(), 1);
    second.send(0..3);
    let mut positions = Vec::new();
    while positions.len() < 2 {
        if let Received::Run(run) = second.next(0, true) {
            positions.push((run.start, run.end));
            second.workers[0].leave(Epoch(0), true);
        }
    }
    assert_eq!(positions, [(0, 0), (0, 3)]);
}

#[test]
fn three_crashes_make_a_dead_letter_and_a_conclusion_forgets_it() {
    let folder = tempfile::tempdir().unwrap();
    for crash in 0..3 {
        let mut life = Bench::open(folder.path(), 1);
        life.send(0..1);
        while life.given(0, true).is_none() {}
        assert!(crash < 3);
    }
    let mut last = Bench::open(folder.path(), 1);
    last.send(0..1);
    let Received::Run(run) = last.next(0, true) else {
        panic!("poison waits for nobody");
    };
    assert!(last.workers[0].is_poison(0, &run.records[0]));
    last.quarantine.conclude();
    assert!(!last.workers[0].is_poison(0, &run.records[0]));
}

#[test]
fn a_closed_quarantine_names_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Bench::open(folder.path(), 1);
    first.send(0..9);
    first.given(0, true);
    first.quarantine.close();
    first.send(9..18);
    first.given(0, true);
    drop(first);
    let second = Quarantine::open(folder.path(), "job", 1);
    assert!(second.suspects() == 0);
}

#[test]
fn members_that_share_a_folder_have_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Bench::open(folder.path(), 1);
    first.send(0..1);
    first.given(0, true);
    let second = Quarantine::open(folder.path(), "job", 1);
    assert!(second.suspects() == 0, "the first one lives");
    drop((first, second));
    let third = Quarantine::open(folder.path(), "job", 1);
    assert_eq!(third.suspects(), 1);
}

#[test]
fn a_crash_is_judged_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Bench::open(folder.path(), 1);
    first.send(0..1);
    first.given(0, true);
    drop(first);
    for _ in 0..5 {
        // Starts that decode nothing.
        let next = Quarantine::open(folder.path(), "job", 1);
        assert_eq!(next.suspects(), 1);
        assert!(next.0.files.is_some());
    }
    let mut last = Bench::open(folder.path(), 1);
    last.send(0..1);
    let Received::Wait = last.next(0, true) else {
        panic!("it is a suspect, and no dead letter");
    };
}
