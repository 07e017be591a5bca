//! Waiting for something, with a limit.

use std::time::{Duration, Instant};

/// Everything happens well before.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits until something holds.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    until_or_say(|| what.to_owned(), holds);
}

/// The same; what is said in the end is asked for only then.
pub fn until_or_say(what: impl Fn() -> String, holds: impl FnMut() -> bool) {
    wait(LIMIT, what, holds);
}

fn wait(limit: Duration, what: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        let late = begun.elapsed() > limit;
        assert!(!late, "waited in vain until {}", what());
        pause(Duration::from_millis(20));
    }
}

/// Watches for a while that something goes on to hold.
pub fn throughout(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        assert!(holds(), "{what}");
        pause(Duration::from_millis(50));
    }
}

fn pause(time: Duration) {
    crossbeam_channel::never::<()>()
        .recv_timeout(time)
        .unwrap_err();
}
