//! Recipients from the user's own tables, in real servers: as they are read, and as the real program uses them.

mod age;
mod job;
mod late;
pub mod member;
mod members;
mod place;
mod reading;
mod refused;
mod world;
