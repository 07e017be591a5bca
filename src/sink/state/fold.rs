//! The order-free fold.
