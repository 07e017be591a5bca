//! A lane over which processes died: one message at a time, in the order of the stream, whoever held them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookflow::source::Record;
use hookflow::source::attempt::LaneAttempt;
use hookflow::source::guard::{Answer, AttemptStore};
use hookflow::source::nats::settings::Acknowledge;

use super::job::Job;
use super::world::{World, until};

const ACK_WAIT: Duration = Duration::from_secs(1);

/// Knows one row, of one lane.
#[derive(Debug)]
struct Suspicion {
    lane: u32,
    row: LaneAttempt,
    answers: VecDeque<Answer>,
    written: Arc<Mutex<Vec<LaneAttempt>>>,
}

impl AttemptStore for Suspicion {
    fn read(&mut self, lanes: Vec<String>) {
        let ours = format!(" lane {} of ", self.lane);
        let names = lanes.into_iter().filter(|name| name.contains(&ours));
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

/// The number in a message, and whether it is condemned.
fn read(record: &Record) -> (u64, bool) {
    let (message, condemned) = match record {
        Record::Message(message) => (message, false),
        Record::Condemned(message) => (message, true),
        other => panic!("{other:?}"),
    };
    (
        std::str::from_utf8(&message.body).unwrap().parse().unwrap(),
        condemned,
    )
}

#[test]
fn messages_of_a_suspect_lane_go_singly_and_in_order_whoever_held_them() {
    for acknowledge in [Acknowledge::UpTo, Acknowledge::Each] {
        let Some(world) = World::new("suspicion") else {
            return;
        };
        let world = world.set_up_with(acknowledge, ACK_WAIT);
        let lane = world.publish_to_one_lane(0..9);
        world.died_over(lane, 5);
        let written = Arc::default();
        let mut job = Job::guarded(
            &world.settings,
            Box::new(Suspicion {
                lane,
                row: LaneAttempt {
                    lane: String::new(),
                    floor: 1,
                    deaths: 5,
                    running: true,
                    named: Some((3, 4)),
                    until: 1_000,
                    condemned: None,
                },
                answers: VecDeque::new(),
                written: Arc::clone(&written),
            }),
        );
        // What settled before the third was named goes first, then that alone, then one after the other.
        let mut expected = vec![vec![(0, false), (1, false)], vec![(2, true)]];
        expected.extend((3..9).map(|number| vec![(number, false)]));
        for (place, expected) in expected.iter().enumerate() {
            let parcels = job.take(expected.len());
            let came: Vec<_> = parcels
                .iter()
                .flat_map(|parcel| &parcel.records)
                .map(read)
                .collect();
            assert_eq!(&came, expected, "{acknowledge:?}");
            if place < 2 {
                job.is_quiet(Duration::from_millis(300));
            }
            job.settle_all(&parcels);
        }
        until("all is acknowledged", || world.is_acknowledged());
        until("the lane is trusted", || {
            let rows: Vec<LaneAttempt> = written.lock().unwrap().clone();
            let last = rows
                .iter()
                .rev()
                .find(|row| row.lane.contains(&format!(" lane {lane} of ")));
            last.is_some_and(|row| row.deaths == 0 && row.condemned.is_none())
        });
        assert!(job.end().is_none());
    }
}
