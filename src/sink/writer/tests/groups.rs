//! Group commit, the order of answers, and the bounds.

use proptest::prelude::*;

use super::*;

/// A plan that reports the start of each write and waits for leave to go on.
fn stepped() -> (Plan, Receiver<()>, Sender<()>) {
    let (started_sender, started) = unbounded();
    let (leave, left) = unbounded::<()>();
    let plan = move |_: &[u64]| {
        started_sender.send(()).unwrap();
        left.recv().unwrap();
        Ok(())
    };
    (Box::new(plan), started, leave)
}

#[test]
fn what_waits_is_written_as_one_and_answered_apart() {
    let (plan, started, leave) = stepped();
    let bench = bench(&settings(), Arc::default(), plan);
    bench.submit(0, [1]);
    started.recv_timeout(LONG).unwrap();
    bench.submit(1, [2, 3]);
    bench.submit(2, []);
    bench.submit(3, [4, 5, 6]);
    assert_eq!(bench.status().queue_rows(), 5);
    assert_eq!(bench.status().in_flight_rows(), 1);
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    let done = |rows: &[u64]| {
        rows.iter()
            .copied()
            .map(RowResult::Done)
            .collect::<Vec<_>>()
    };
    assert_eq!(bench.reply(), (0, done(&[1])));
    assert_eq!(bench.reply(), (1, done(&[2, 3])));
    assert_eq!(bench.reply(), (2, done(&[])));
    assert_eq!(bench.reply(), (3, done(&[4, 5, 6])));
    let writes = bench.writes.lock().unwrap().clone();
    assert_eq!(writes, [vec![1], vec![2, 3, 4, 5, 6]]);
    let status = bench.status();
    bench.thread.drain();
    assert_eq!((status.batches(), status.rows_written()), (2, 6));
    assert_eq!((status.queue_rows(), status.in_flight_rows()), (0, 0));
}

#[test]
fn a_full_queue_gives_the_job_back() {
    let (plan, started, leave) = stepped();
    let settings = WriterSettings {
        queue_jobs_max: 1,
        ..settings()
    };
    let bench = bench(&settings, Arc::default(), plan);
    bench.submit(0, [1]);
    started.recv_timeout(LONG).unwrap();
    bench.submit(1, [2]);
    let job = WriteJob::new(vec![3, 4], vec![(), ()], Reply::call(|_| {}));
    match bench.thread.handle().try_submit(job) {
        Err(SubmitError::Full(job)) => assert_eq!(job.rows(), 2),
        _ => panic!("there is no room"),
    }
    assert_eq!(bench.status().queue_rows(), 1);
    drop(leave);
}

#[test]
fn an_attempt_is_visible_until_its_deadline() {
    let (plan, started, leave) = stepped();
    let bench = bench(&settings(), Arc::default(), plan);
    bench.clock.set(5_000);
    assert_eq!(bench.status().attempting_since(), None);
    bench.submit(0, [1]);
    started.recv_timeout(LONG).unwrap();
    let at = Duration::from_secs;
    assert_eq!(bench.status().attempting_since(), Some(at(5)));
    assert!(bench.status().is_attempting(at(64)));
    assert!(!bench.status().is_attempting(at(65)));
    assert!(bench.status().is_writing_records(at(64)));
    assert!(!bench.status().is_writing_records(at(65)));
    leave.send(()).unwrap();
    bench.reply();
    until(|| bench.status().attempting_since().is_none());
}

#[test]
fn draining_finishes_what_waits() {
    let bench = bench(&settings(), Arc::default(), |_| Ok(()));
    for key in 0..20 {
        bench.submit(key, [key as u64; 3]);
    }
    let (replies, handle) = (bench.replies.clone(), bench.thread.handle().clone());
    bench.thread.drain();
    assert_eq!(replies.try_iter().count(), 20);
    let job = WriteJob::new(vec![1], vec![()], Reply::call(|_| {}));
    assert!(matches!(
        handle.try_submit(job),
        Err(SubmitError::Stopped(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Jobs of any size, some rows refused, any attempt failing for a while: each row ends once, in its own job.
    #[test]
    fn every_row_gets_its_own_verdict(
        jobs in proptest::collection::vec(0usize..25, 1..20),
        refused_of_ten in 0u64..4,
        failing in proptest::collection::vec(proptest::bool::weighted(0.3), 0..60),
    ) {
        let is_bad = move |row: &u64| row % 10 < refused_of_ten;
        let mut failing = failing.into_iter();
        let bench = bench(&settings(), Arc::default(), move |rows| {
            if failing.next().unwrap_or(false) {
                return Err(error(Class::Outage));
            }
            if rows.iter().any(is_bad) { Err(error(Class::Data)) } else { Ok(()) }
        });
        let mut next = 0;
        for (key, rows) in jobs.iter().enumerate() {
            bench.submit(key, next..next + *rows as u64);
            next += *rows as u64;
        }
        let mut row = 0;
        for (key, rows) in jobs.iter().enumerate() {
            let (answered, results) = bench.reply();
            prop_assert_eq!((answered, results.len()), (key, *rows));
            for verdict in results {
                let right = if is_bad(&row) { RowResult::DeadLetter } else { RowResult::Done(row) };
                prop_assert_eq!(verdict, right);
                row += 1;
            }
        }
        let writes = bench.writes.lock().unwrap().clone();
        prop_assert!(writes.iter().all(|rows| rows.len() <= 10));
        prop_assert_eq!(writes.concat(), (0..next).filter(|row| !is_bad(row)).collect::<Vec<_>>());
        let dead_letters = bench.dead_letters.lock().unwrap().clone();
        prop_assert_eq!(dead_letters, (0..next).filter(is_bad).map(|row| row as u32).collect::<Vec<_>>());
        bench.thread.drain();
    }
}

#[test]
fn an_attempt_for_which_no_records_wait_is_no_write_of_records() {
    let bench = bench(&settings(), Arc::default(), |_| Ok(()));
    let (entered, inside) = unbounded();
    let (leave, left) = unbounded::<()>();
    bench.thread.handle().call(Box::new(move |_| {
        entered.send(()).unwrap();
        left.recv().unwrap_or_default();
        Ok(())
    }));
    inside.recv_timeout(LONG).unwrap();
    let status = bench.status();
    assert!(status.is_attempting(Duration::ZERO) && !status.is_writing_records(Duration::ZERO));
    drop(leave);
}
