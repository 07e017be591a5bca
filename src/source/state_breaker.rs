//! The state store's circuit breaker, as a source sees it.

use std::sync::Arc;

/// Whether the state store is out of order. While it is, a source asks for nothing more and lets the leases of what it holds expire;
/// both go on when a write has succeeded. Cheap to clone and to ask.
#[derive(Clone)]
pub struct StateBreaker(Arc<dyn Fn() -> bool + Send + Sync>);

impl StateBreaker {
    /// A breaker that is open when `is_open` says so.
    pub fn new(is_open: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_open))
    }

    /// Whether no write has succeeded since it opened.
    pub fn is_open(&self) -> bool {
        (self.0)()
    }
}

impl Default for StateBreaker {
    /// A breaker that is always closed.
    fn default() -> Self {
        Self::new(|| false)
    }
}

impl std::fmt::Debug for StateBreaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_open = self.is_open();
        f.debug_tuple("StateBreaker").field(&is_open).finish()
    }
}
