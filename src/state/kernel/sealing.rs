//! What the end of a load does to a batch: total, seal, deadline and generation.
//!
//! * A row of `batches` decides: its total (if it states none but seals: the state rows), its deadline, its seal. A row that
//!   does not seal leaves an earlier seal in place.
//! * A batch that no such row decides is sealed at its state rows by a full load.
//! * A total that was stated stands. A total that was derived from state rows follows them: a later load of any kind that
//!   adds rows to the sealed batch raises it, also a load that died.
//! * Sealing, and any change of a sealed total, is a new generation and clears the completion. A batch that is complete
//!   at that moment completes in the same transaction.

use std::collections::BTreeMap;

use crate::event::Millis;
use crate::state::{LoadKind, LoadSummary};

/// How a load ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) enum LoadEnding {
    /// As its loader wanted.
    Finished(LoadKind),
    /// Its process died. Its rows stay, its `batches` rows do not count, and it seals nothing.
    Died,
}

/// What a `batches` row says.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) struct BatchTerms {
    pub(in crate::state) total: Option<i64>,
    pub(in crate::state) sealed_at: Option<Millis>,
    pub(in crate::state) deadline: Option<Millis>,
}

/// What a load asks of a batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) enum SealRequest {
    /// A `batches` row decides.
    Terms(BatchTerms),
    /// Seal at the state rows.
    AtRows,
    /// A derived total follows the state rows.
    FollowRows,
}

/// What the load asks of each batch, by the store's number of the batch. `touched` are the batches of which it brought rows,
/// `terms` its `batches` rows.
pub(in crate::state) fn seal_requests(
    ending: LoadEnding,
    touched: impl IntoIterator<Item = i64>,
    terms: impl IntoIterator<Item = (i64, BatchTerms)>,
) -> BTreeMap<i64, SealRequest> {
    let request = match ending {
        LoadEnding::Finished(LoadKind::Full) => SealRequest::AtRows,
        LoadEnding::Finished(LoadKind::Increment) | LoadEnding::Died => SealRequest::FollowRows,
    };
    let mut requests: BTreeMap<_, _> = touched.into_iter().map(|id| (id, request)).collect();
    if ending != LoadEnding::Died {
        requests.extend(terms.into_iter().map(|(id, t)| (id, SealRequest::Terms(t))));
    }
    requests
}

/// What decides when a batch is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::state) struct BatchSeal {
    /// A `batches` row states the total or holds the batch open; otherwise the total is that of the state rows.
    pub(in crate::state) given: bool,
    pub(in crate::state) total: Option<i64>,
    pub(in crate::state) sealed_at: Option<Millis>,
    pub(in crate::state) deadline: Option<Millis>,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::state) struct BatchProgress {
    /// Distinct state rows.
    pub(in crate::state) recipients: i64,
    pub(in crate::state) finished: i64,
}

/// What the end of a load does to one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) struct SealDecision {
    pub(in crate::state) next: BatchSeal,
    /// The generation grows and the completion is cleared.
    pub(in crate::state) new_generation: bool,
    /// All recipients of the new generation are finished already.
    pub(in crate::state) completes: bool,
    /// The stated total is below the state rows.
    total_too_small: bool,
}

impl SealDecision {
    pub(in crate::state) fn of(
        before: BatchSeal,
        progress: BatchProgress,
        request: &SealRequest,
        now: Millis,
    ) -> Self {
        let next = before.after(request, progress.recipients, now);
        let new_generation =
            next.sealed_total().is_some() && next.sealed_total() != before.sealed_total();
        let is_at_most = |count: i64| next.total.is_some_and(|total| total <= count);
        Self {
            next,
            new_generation,
            completes: new_generation && is_at_most(progress.finished),
            total_too_small: next.given && is_at_most(progress.recipients - 1),
        }
    }

    /// Counts the decision, but for the completion.
    pub(in crate::state) fn count(&self, summary: &mut LoadSummary) {
        summary.sealed += u64::from(self.new_generation);
        summary.total_too_small += u64::from(self.total_too_small);
    }
}

impl BatchSeal {
    /// The total that completion waits for, once it is final.
    fn sealed_total(self) -> Option<i64> {
        self.sealed_at.and(self.total)
    }

    fn after(self, request: &SealRequest, recipients: i64, now: Millis) -> Self {
        match request {
            SealRequest::Terms(terms) => self.under(terms, recipients),
            SealRequest::AtRows if !self.given => Self {
                total: Some(recipients),
                sealed_at: self.sealed_at.or(Some(now)),
                ..self
            },
            SealRequest::FollowRows if !self.given && self.sealed_at.is_some() => Self {
                total: Some(recipients),
                ..self
            },
            SealRequest::AtRows | SealRequest::FollowRows => self,
        }
    }

    fn under(self, terms: &BatchTerms, recipients: i64) -> Self {
        let sealed_at = terms.sealed_at.or(self.sealed_at);
        let derived = sealed_at.map(|_| recipients);
        Self {
            given: terms.total.is_some() || sealed_at.is_none(),
            total: terms.total.or(derived).or(self.total),
            sealed_at,
            deadline: terms.deadline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(9);

    fn decide(before: BatchSeal, recipients: i64, request: SealRequest) -> SealDecision {
        let progress = BatchProgress {
            recipients,
            finished: 0,
        };
        SealDecision::of(before, progress, &request, NOW)
    }

    fn terms(total: Option<i64>, sealed: bool) -> SealRequest {
        SealRequest::Terms(BatchTerms {
            total,
            sealed_at: sealed.then_some(NOW),
            deadline: None,
        })
    }

    #[test]
    fn derived_total_follows_rows_and_is_never_too_small() {
        let sealed = decide(BatchSeal::default(), 2, SealRequest::AtRows).next;
        let grown = decide(sealed, 3, SealRequest::FollowRows);
        assert_eq!((grown.next.total, grown.new_generation), (Some(3), true));
        assert!(!grown.total_too_small);
        let same = decide(grown.next, 3, SealRequest::FollowRows);
        assert!(!same.new_generation);
    }

    #[test]
    fn stated_total_stands_and_is_reported_when_too_small() {
        let sealed = decide(BatchSeal::default(), 2, terms(Some(2), true)).next;
        for request in [SealRequest::AtRows, SealRequest::FollowRows] {
            let later = decide(sealed, 3, request);
            assert_eq!((later.next, later.new_generation), (sealed, false));
            assert!(later.total_too_small);
        }
    }

    #[test]
    fn row_that_seals_without_total_makes_a_derived_one() {
        let sealed = decide(BatchSeal::default(), 2, terms(None, true)).next;
        assert_eq!((sealed.given, sealed.total), (false, Some(2)));
        let grown = decide(sealed, 3, SealRequest::FollowRows);
        assert_eq!(grown.next.total, Some(3));
    }

    #[test]
    fn row_without_seal_holds_a_full_load_back() {
        let open = decide(BatchSeal::default(), 2, terms(None, false)).next;
        assert!(open.given && open.sealed_at.is_none());
        assert_eq!(decide(open, 2, SealRequest::AtRows).next, open);
    }

    #[test]
    fn load_that_died_ignores_its_batch_rows() {
        let terms = BatchTerms {
            total: Some(1),
            sealed_at: Some(NOW),
            deadline: None,
        };
        let requests = seal_requests(LoadEnding::Died, [1], [(2, terms)]);
        assert_eq!(requests.keys().copied().collect::<Vec<_>>(), [1]);
        assert!(matches!(requests[&1], SealRequest::FollowRows));
    }
}
