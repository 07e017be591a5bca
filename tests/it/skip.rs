//! What a test does that needs a server and finds none.
//!
//! Such a test is marked `#[ignore = "needs …"]`, so that plain `cargo test` reports it as ignored. `scripts/test` starts the
//! servers and runs it; by hand: `scripts/stack run nats -- cargo test --test it nats:: -- --include-ignored`.

/// Fails the test: it was asked for, and a server that it needs does not run.
pub fn skipped_server(what: &str) {
    panic!("{what}; a test that needs it is marked #[ignore = \"needs …\"]");
}
