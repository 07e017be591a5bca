//! Sources that need no server. Those that do have folders of their own: `nats` and `kafka`.

mod file;
