//! Outages, stops, limits, and our own mistakes.

use super::*;
use crate::error::Exit;
use crate::sink::breaker::BreakerState;
use crate::sink::retry_budget::RetryBudget;

#[test]
fn an_outage_holds_the_batch_and_dead_letters_nothing() {
    let mut left = 30;
    let bench = bench(&settings(), Arc::default(), move |_| {
        left -= 1;
        if left >= 0 {
            Err(error(Class::Outage))
        } else {
            Ok(())
        }
    });
    bench.submit(0, 0..9);
    let (_, results) = bench.reply();
    assert_eq!(results, (0..9).map(RowResult::Done).collect::<Vec<_>>());
    assert!(bench.dead_letters.lock().unwrap().is_empty());
    let writes = bench.writes.lock().unwrap().clone();
    assert_eq!(
        writes,
        [vec![0, 1], (2..9).collect()],
        "a small probe, then the rest"
    );
    assert_eq!(bench.status().retries(), 30);
    assert_eq!(bench.status().breaker(), BreakerState::Closed);
    assert_eq!(bench.status().last_error(), "test: scripted");
}

#[test]
fn the_breaker_opens_after_its_failures_and_probes_within_two_seconds() {
    let retry = RetryPolicy {
        base: Duration::from_secs(3_600),
        cap: Duration::from_secs(3_600),
        budget: None,
    };
    let settings = WriterSettings {
        retry,
        breaker_opens_after: 1,
        ..settings()
    };
    let mut first = true;
    let bench = bench(&settings, Arc::default(), move |_| {
        if std::mem::take(&mut first) {
            Err(error(Class::Outage))
        } else {
            Ok(())
        }
    });
    bench.submit(0, [1]);
    until(|| bench.status().breaker() == BreakerState::Open);
    assert!(bench.replies.try_recv().is_err());
    bench.clock.set(2_000);
    assert_eq!(bench.reply(), (0, vec![RowResult::Done(1)]));
    assert_eq!(bench.status().breaker(), BreakerState::Closed);
}

#[test]
fn a_busy_sink_is_tried_again_without_opening_the_breaker() {
    let (states, seen) = unbounded();
    let status: Arc<std::sync::OnceLock<Arc<SinkStatus>>> = Arc::default();
    let its_status = Arc::clone(&status);
    let mut left = 5;
    let bench = bench(&settings(), Arc::default(), move |_| {
        states.send(its_status.wait().breaker()).unwrap();
        left -= 1;
        if left >= 0 {
            Err(error(Class::Retry))
        } else {
            Ok(())
        }
    });
    assert!(status.set(bench.status()).is_ok());
    bench.submit(0, [1]);
    bench.reply();
    assert!(seen.try_iter().all(|state| state == BreakerState::Closed));
    assert_eq!(bench.status().retries(), 5);
}

#[test]
fn a_stop_interrupts_the_wait_and_answers_nothing() {
    let retry = RetryPolicy {
        base: Duration::from_secs(3_600),
        cap: Duration::from_secs(3_600),
        budget: None,
    };
    let settings = WriterSettings {
        retry,
        ..settings()
    };
    let bench = bench(&settings, Arc::default(), |_| Err(error(Class::Outage)));
    bench.submit(0, [1]);
    bench.submit(1, [2]);
    until(|| bench.status().retries() > 0);
    bench.thread.stop();
    assert!(bench.replies.try_recv().is_err());
    assert!(bench.dead_letters.lock().unwrap().is_empty());
    assert!(bench.fatal.try_recv().is_err(), "a stop is no error");
}

#[test]
fn an_outage_beyond_its_limit_ends_the_job() {
    let retry = RetryPolicy {
        budget: Some(Duration::from_secs(60)),
        ..settings().retry
    };
    let settings = WriterSettings {
        retry,
        ..settings()
    };
    let clock: Arc<ManualClock> = Arc::default();
    let moving = Arc::clone(&clock);
    let mut now = 0;
    let bench = bench(&settings, clock, move |_| {
        now += 10_000;
        moving.set(now);
        Err(error(Class::Outage))
    });
    bench.submit(0, [1]);
    let fatal = bench.fatal.recv_timeout(LONG).unwrap();
    assert_eq!(fatal.exit, Exit::Unfinished);
    assert_eq!(bench.status().retries(), 7);
    assert!(bench.replies.try_recv().is_err());
}

#[test]
fn a_mistake_of_ours_ends_the_job_at_once() {
    let bench = bench(&settings(), Arc::default(), |_| Err(error(Class::Bug)));
    bench.submit(0, [1]);
    assert_eq!(bench.fatal.recv_timeout(LONG).unwrap().exit, Exit::Internal);
    assert!(bench.replies.try_recv().is_err());
    assert!(bench.dead_letters.lock().unwrap().is_empty());
}

#[test]
fn a_row_without_a_carrier_is_a_mistake_of_ours() {
    let bench = bench(&settings(), Arc::default(), |_| Ok(()));
    let job = WriteJob::new(vec![1, 2], vec![()], Reply::call(|_| {}));
    assert!(bench.thread.handle().submit(job));
    assert_eq!(bench.fatal.recv_timeout(LONG).unwrap().exit, Exit::Internal);
    assert!(bench.writes.lock().unwrap().is_empty());
}

#[test]
fn a_job_is_not_answered_before_its_dead_letters_are_durable() {
    let refuse_two = |rows: &[u64]| {
        if rows.contains(&2) {
            Err(error(Class::Data))
        } else {
            Ok(())
        }
    };
    let (allow, allowed) = unbounded::<()>();
    let (tried, tries) = unbounded();
    let bench = bench_with_dead_letters(&settings(), Arc::default(), refuse_two, move || {
        tried.send(()).unwrap();
        allowed.try_recv().map_err(|_| error(Class::Outage))
    });
    bench.submit(0, [1, 2, 3]);
    for _ in 0..5 {
        tries.recv_timeout(LONG).unwrap();
    }
    assert!(bench.replies.try_recv().is_err());
    assert_eq!(bench.writes.lock().unwrap().concat(), [1, 3]);
    allow.send(()).unwrap();
    let (_, results) = bench.reply();
    assert_eq!(
        results,
        [
            RowResult::Done(1),
            RowResult::DeadLetter,
            RowResult::Done(3)
        ]
    );
    assert_eq!(refused(&results), [1]);
    assert_eq!(*bench.dead_letters.lock().unwrap(), [2]);
    assert_eq!(
        bench.writes.lock().unwrap().concat(),
        [1, 3],
        "good rows are not written again"
    );
}

#[test]
fn a_retry_waits_for_the_budget_that_all_sinks_share() {
    let budget = RetryBudget::per_second(std::num::NonZeroU32::MIN);
    let settings = WriterSettings {
        retry_budget: budget.clone(),
        ..settings()
    };
    // Another sink has taken the only token.
    assert!(budget.reserve(Duration::ZERO).is_zero());
    let mut first = true;
    let bench = bench(&settings, Arc::default(), move |_| {
        if std::mem::take(&mut first) {
            Err(error(Class::Retry))
        } else {
            Ok(())
        }
    });
    bench.submit(0, [1]);
    until(|| bench.status().retries() == 1);
    assert!(bench.replies.try_recv().is_err());
    bench.clock.set(1_000);
    assert_eq!(bench.reply(), (0, vec![RowResult::Done(1)]));
}
