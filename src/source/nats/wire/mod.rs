//! The way in for messages: a connection of its own that does nothing but ask for them and take them.
//!
//! Everything else (streams, consumers, acknowledgements, publishing) goes through the driver. It would take messages too, but reads
//! every header into a map of strings and passes each message through a channel, which costs more than the whole rest of
//! the source (`benches/nats.rs`: 7.4 us of CPU a message through the driver, 1.6 here). Here a message stays the piece of memory that was read:
//!
//! * [`parse`]: bytes into frames, nothing copied, whatever the bytes are;
//! * [`greet`]: reaching a server and logging in, as the driver does;
//! * [`line`](self::line): one connection, made anew for ever when it breaks.
//!
//! Contract: what the server sends of one subscription is handed on in order and as it is; what breaks the protocol, or is larger
//! than the server itself allows, ends the connection and nothing else.

mod greet;
pub mod line;
pub mod parse;
mod tls;

pub use line::{Arrived, Line};
pub use parse::Incoming;
