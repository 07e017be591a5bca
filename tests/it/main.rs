//! The integration tests: one binary, one module per property.
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]

mod conformance_state;
