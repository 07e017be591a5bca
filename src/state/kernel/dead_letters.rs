//! The keys of dead letters.

use crate::event::Reject;
use crate::key::RejectKey;

/// Dead letters with their keys, sorted by key: the order in which stores lock them. Copies keep their order.
pub(in crate::state) fn in_key_order(rejects: &[Reject]) -> Vec<(RejectKey, &Reject)> {
    let mut keyed: Vec<_> = rejects.iter().map(|reject| (key(reject), reject)).collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed
}

fn key(reject: &Reject) -> RejectKey {
    RejectKey::of(
        &reject.provider,
        &reject.user,
        &reject.body_sha256,
        reject.stage,
        reject.index,
    )
}
