//! A store that says that processes died over lanes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookflow::source::attempt::LaneAttempt;
use hookflow::source::guard::{Answer, AttemptStore};

/// The rows that were to be written, oldest first.
pub type Written = Arc<Mutex<Vec<LaneAttempt>>>;

/// Knows one row, of all lanes whose name holds a text.
#[derive(Debug)]
pub struct Suspicion {
    of: String,
    row: LaneAttempt,
    answers: VecDeque<Answer>,
    written: Written,
}

impl Suspicion {
    pub fn new(of: String, row: LaneAttempt, written: &Written) -> Box<Self> {
        Box::new(Self {
            of,
            row,
            answers: VecDeque::new(),
            written: Arc::clone(written),
        })
    }
}

impl AttemptStore for Suspicion {
    fn read(&mut self, lanes: Vec<String>) {
        let names = lanes.into_iter().filter(|name| name.contains(&self.of));
        let rows = names.map(|lane| LaneAttempt {
            lane,
            ..self.row.clone()
        });
        self.answers.push_back(Answer::Kept(rows.collect()));
    }

    fn write(&mut self, rows: Vec<LaneAttempt>) {
        self.written.lock().unwrap().extend(rows);
        self.answers.push_back(Answer::Written);
    }

    fn answer(&mut self, _wait: Duration) -> Option<Answer> {
        self.answers.pop_front()
    }
}

/// A row of a lane whose messages go singly.
pub fn singly() -> LaneAttempt {
    LaneAttempt {
        lane: String::new(),
        floor: 1,
        deaths: 5,
        running: false,
        named: None,
        until: 1_000,
        condemned: None,
    }
}
