//! The connection on which messages arrive: it only asks for them and receives them.
//!
//! Everything else (streams, consumers, acknowledgements, publishing, which servers there are) goes through the client library,
//! async-nats. That would receive messages too, but reads every header into a map of strings and passes each message through a
//! channel. Measured over async-nats 0.51, messages of 1 KB with our headers, nats-server 2.10.27 on the same two cores: 7.2 us of
//! processor time a message through the library, 1.1 us here, where a message stays the piece of memory that was read.
//! (`benches/nats.rs` compares both in one run.) The library does not offer its login and TLS to others, so those stand here too.
//!
//! * [`parse`]: bytes into frames, without copying, whatever the bytes are;
//! * [`handshake`]: reaches a server and logs in, as the library does;
//! * [`connection`]: one connection, made anew for ever when it breaks.

mod connection;
mod handshake;
mod parse;
mod tls;

pub use connection::{Arrived, Connection};
pub use parse::Incoming;
