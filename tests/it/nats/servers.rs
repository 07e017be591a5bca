//! Both versions of the server: the oldest that is supported, and the newest that could be had.

use super::server::Server;
use super::world::World;
use crate::skip::skipped_server;

/// Runs a test on a stream of each server: the stack's, and the newest one, which is started for the test.
pub fn on_both_servers(test: &str, run: impl Fn(World)) {
    if let Some(world) = World::new(test) {
        run(world);
    }
    let Some(program) = std::env::var_os("HOOKFLOW_TEST_NATS_SERVER_NEWEST") else {
        skipped_server(&format!(
            "nats {test}, newest server: HOOKFLOW_TEST_NATS_SERVER_NEWEST is not set (see scripts/stack)"
        ));
        return;
    };
    let server = Server::start_program(program.into(), "");
    run(World::on(&server.url()));
}

/// Runs a test that kills and starts its server, with each program.
pub fn with_both_programs(test: &str, run: impl Fn(Server)) {
    for name in [
        "HOOKFLOW_TEST_NATS_SERVER",
        "HOOKFLOW_TEST_NATS_SERVER_NEWEST",
    ] {
        if let Some(program) = std::env::var_os(name) {
            run(Server::start_program(program.into(), ""));
        } else {
            skipped_server(&format!(
                "nats {test}: {name} is not set (see scripts/stack)"
            ));
        }
    }
}
