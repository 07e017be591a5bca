//! How a batch stands: its total, seal and deadline, and what a load makes of them.
//!
//! Contract: pure, and shared by the stores, so that all of them seal alike.

use crate::event::Millis;

/// What a `batches` row says.
#[derive(Clone, Copy)]
pub(super) struct Given {
    pub(super) total: Option<i64>,
    pub(super) sealed_at: Option<Millis>,
    pub(super) deadline: Option<Millis>,
}

/// What a load wants of a batch.
pub(super) enum Wish {
    Given(Given),
    AtStateRows,
}

/// What decides how a batch stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) given: bool,
    pub(super) total: Option<i64>,
    pub(super) sealed_at: Option<Millis>,
    pub(super) deadline: Option<Millis>,
}

impl Standing {
    pub(super) fn wish(self, wish: &Wish, recipients: i64, now: Millis) -> Standing {
        let mut next = self;
        match wish {
            Wish::AtStateRows => {
                next.total = Some(recipients);
                next.sealed_at = self.sealed_at.or(Some(now));
            }
            Wish::Given(given) => {
                next.given = true;
                next.sealed_at = given.sealed_at.or(self.sealed_at);
                next.deadline = given.deadline;
                let counted = next.sealed_at.map(|_| recipients);
                next.total = given.total.or(counted).or(self.total);
            }
        }
        next
    }

    /// Whether the total that completion waits for is another one than before.
    pub(super) fn is_new_generation(self, before: Standing) -> bool {
        let sealed = |standing: Standing| standing.sealed_at.and(standing.total);
        sealed(self).is_some() && sealed(self) != sealed(before)
    }
}
