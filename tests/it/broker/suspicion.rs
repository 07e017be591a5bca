//! A store that says that processes died over partitions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookflow::source::attempt::PartitionAttempt;
use hookflow::source::guard::{Answer, AttemptStore};

/// The rows that were to be written, oldest first.
pub type Written = Arc<Mutex<Vec<PartitionAttempt>>>;

/// Knows one row, of all partitions whose name holds a text.
#[derive(Debug)]
pub struct Suspicion {
    of: String,
    row: PartitionAttempt,
    answers: VecDeque<Answer>,
    written: Written,
}

impl Suspicion {
    pub fn new(of: String, row: PartitionAttempt, written: &Written) -> Box<Self> {
        Box::new(Self {
            of,
            row,
            answers: VecDeque::new(),
            written: Arc::clone(written),
        })
    }
}

impl AttemptStore for Suspicion {
    fn read(&mut self, partitions: Vec<String>) {
        let names = partitions
            .into_iter()
            .filter(|name| name.contains(&self.of));
        let rows = names.map(|partition| PartitionAttempt {
            partition,
            ..self.row.clone()
        });
        self.answers.push_back(Answer::Kept(rows.collect()));
    }

    fn write(&mut self, rows: Vec<PartitionAttempt>) {
        self.written.lock().unwrap().extend(rows);
        self.answers.push_back(Answer::Written);
    }

    fn answer(&mut self, _wait: Duration) -> Option<Answer> {
        self.answers.pop_front()
    }
}

/// A row of a partition whose messages go singly.
pub fn singly() -> PartitionAttempt {
    PartitionAttempt {
        partition: String::new(),
        floor: 1,
        deaths: 5,
        running: false,
        named: None,
        until: 1_000,
        condemned: None,
    }
}
