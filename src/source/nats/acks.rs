//! Acknowledgements of one consumer: sent in runs, confirmed by the server.
//!
//! The server works through what one connection sends to one consumer in order, so only the last acknowledgement of a run asks
//! for a confirmation, which confirms the whole run. A run whose confirmation is late, carries an error status, or was sent
//! over a connection that is gone, is sent again. (Were the order ever broken, a message would be delivered again, and the
//! state store would call it a duplicate.)
//!
//! Pure. Contract: a sequence is waiting, in one run under way, or confirmed; it is never lost.

use std::collections::VecDeque;
use std::time::Duration;

/// Most acknowledgements of one run.
const RUN: usize = 256;
/// Most runs under way.
const RUNS: usize = 16;
/// How long a confirmation may take.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);
/// How long nothing is sent after an error status.
const PAUSE: Duration = Duration::from_millis(200);

/// The acknowledgements of one consumer that are not confirmed. `now` is any clock that only goes forward.
#[derive(Debug, Default)]
pub struct AckQueue {
    waiting: VecDeque<u64>,
    /// Oldest first.
    runs: VecDeque<AckRun>,
    next: u64,
    paused_until: Duration,
}

#[derive(Debug)]
struct AckRun {
    number: u64,
    sequences: Vec<u64>,
    sent: Duration,
}

impl AckQueue {
    /// Adds a message that may be acknowledged.
    pub fn push(&mut self, sequence: u64) {
        self.waiting.push_back(sequence);
    }

    /// The next run to send, with its number; none if nothing waits or enough is under way.
    pub fn next_run(&mut self, now: Duration) -> Option<(u64, &[u64])> {
        if self.waiting.is_empty() || self.runs.len() >= RUNS || now < self.paused_until {
            return None;
        }
        let count = RUN.min(self.waiting.len());
        let sequences = self.waiting.drain(..count).collect();
        let number = self.next;
        self.next += 1;
        self.runs.push_back(AckRun {
            number,
            sequences,
            sent: now,
        });
        let run = self.runs.back()?;
        Some((number, &run.sequences))
    }

    /// The server confirmed a run; its sequences. None of a run that was given up before.
    pub fn confirm(&mut self, number: u64) -> Vec<u64> {
        let place = self.runs.iter().position(|run| run.number == number);
        let run = place.and_then(|place| self.runs.remove(place));
        run.map(|run| run.sequences).unwrap_or_default()
    }

    /// A run was answered with an error status: it is sent again after a pause. Answers how many acknowledgements that is.
    pub fn reject(&mut self, number: u64, now: Duration) -> usize {
        self.paused_until = now + PAUSE;
        self.resend(|run| run.number == number)
    }

    /// Sends runs again whose confirmation is late. Answers how many acknowledgements that is.
    pub fn expire(&mut self, now: Duration) -> usize {
        self.resend(|run| now > run.sent + CONFIRMED_WITHIN)
    }

    /// Sends everything again that is under way: its connection is gone. Answers how many acknowledgements that is.
    pub fn reconnected(&mut self) -> usize {
        self.resend(|_| true)
    }

    fn resend(&mut self, which: impl Fn(&AckRun) -> bool) -> usize {
        let before = self.waiting.len();
        let runs = std::mem::take(&mut self.runs).into_iter();
        let (again, kept): (VecDeque<AckRun>, VecDeque<AckRun>) = runs.partition(|run| which(run));
        self.runs = kept;
        for run in again {
            self.waiting.extend(run.sequences);
        }
        self.waiting.len() - before
    }

    /// Whether everything is confirmed.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.runs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum QueueAction {
        Push,
        Send,
        Confirm(usize),
        Reject(usize),
        Wait(u64),
        Reconnect,
    }

    fn steps() -> impl Strategy<Value = Vec<QueueAction>> {
        let step = prop_oneof![
            4 => Just(QueueAction::Push),
            3 => Just(QueueAction::Send),
            2 => (0..4usize).prop_map(QueueAction::Confirm),
            1 => (0..4usize).prop_map(QueueAction::Reject),
            1 => (0..7_000u64).prop_map(QueueAction::Wait),
            1 => Just(QueueAction::Reconnect),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn no_acknowledgement_is_lost_or_confirmed_twice(steps in steps()) {
            let (mut queue, mut now) = (AckQueue::default(), Duration::ZERO);
            let (mut pushed, mut confirmed) = (0, BTreeSet::new());
            for step in steps {
                let number = |queue: &AckQueue, which: usize| queue.runs.get(which).map(|run| run.number);
                match step {
                    QueueAction::Push => {
                        queue.push(pushed);
                        pushed += 1;
                    }
                    QueueAction::Send => drop(queue.next_run(now).map(|(number, _)| number)),
                    QueueAction::Confirm(which) => {
                        for sequence in number(&queue, which).map(|number| queue.confirm(number)).unwrap_or_default() {
                            prop_assert!(confirmed.insert(sequence), "{} twice", sequence);
                        }
                    }
                    QueueAction::Reject(which) => drop(number(&queue, which).map(|number| queue.reject(number, now))),
                    QueueAction::Wait(millis) => {
                        now += Duration::from_millis(millis);
                        queue.expire(now);
                    }
                    QueueAction::Reconnect => drop(queue.reconnected()),
                }
                let open = queue.waiting.len() + queue.runs.iter().map(|run| run.sequences.len()).sum::<usize>();
                prop_assert_eq!(open + confirmed.len(), usize::try_from(pushed).unwrap());
            }
        }
    }

    #[test]
    fn a_run_without_confirmation_is_sent_again() {
        let mut queue = AckQueue::default();
        (1..=3).for_each(|sequence| queue.push(sequence));
        assert_eq!(queue.next_run(Duration::ZERO), Some((0, &[1, 2, 3][..])));
        assert_eq!(queue.next_run(Duration::ZERO), None);
        assert_eq!(queue.expire(CONFIRMED_WITHIN), 0);
        let late = CONFIRMED_WITHIN + Duration::from_millis(1);
        assert_eq!(queue.expire(late), 3);
        assert_eq!(queue.confirm(0), [0; 0], "its confirmation comes too late");
        assert_eq!(queue.next_run(late), Some((1, &[1, 2, 3][..])));
        assert_eq!(queue.confirm(1), [1, 2, 3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_rejected_run_is_sent_again_after_a_pause() {
        let mut queue = AckQueue::default();
        queue.push(7);
        assert!(queue.next_run(Duration::ZERO).is_some());
        assert_eq!(queue.reject(0, Duration::ZERO), 1);
        assert_eq!(queue.next_run(PAUSE / 2), None);
        assert_eq!(queue.next_run(PAUSE), Some((1, &[7][..])));
    }

    #[test]
    fn runs_under_way_are_bounded() {
        let mut queue = AckQueue::default();
        (0..(RUN * (RUNS + 1)) as u64).for_each(|sequence| queue.push(sequence));
        let mut sent = 0;
        while queue.next_run(Duration::ZERO).is_some() {
            sent += 1;
        }
        assert_eq!(sent, RUNS);
        queue.confirm(3);
        assert!(queue.next_run(Duration::ZERO).is_some());
    }
}
