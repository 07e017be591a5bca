//! hookflow
fn main() {}
