//! What the benchmarks of the state stores work on: 100,000 recipients in 20 batches, and events about them in a random order,
//! whose time moves on by one hour every 40,000.

use hookflow::event::{Kind, Millis, Provider, User};
use hookflow::key::{AddressKey, Bucket, Identity, JoinKey, RowKey};
use hookflow::state::{Effect, LoadKind, LoadOutcome, RecipientRow, RowId, StateEvent, StateStore};

pub const RECIPIENTS: u64 = 100_000;
const EVENTS_AN_HOUR: i64 = 40_000;
const START: i64 = 1_767_225_600_000;

/// A fixed, well-spread sequence: the benchmark is the same every time.
pub fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

pub fn row(n: u64) -> RecipientRow {
    let (user, provider) = (User::new("default"), Provider::new("ses"));
    let (batch_id, recipient_id) = (format!("batch-{:02}", n % 20), format!("r-{n}"));
    let (message_id, recipient) = (format!("0100018-{n:08x}"), format!("r{n}@example.org"));
    RecipientRow {
        join: JoinKey::of(&user, &provider, &message_id),
        address: AddressKey::of(&recipient),
        row: RowKey::of(&user, &batch_id, &recipient_id),
        user,
        provider,
        message_id,
        recipient,
        batch_id: batch_id.into(),
        recipient_id: recipient_id.into(),
        sent_at: None,
    }
}

pub fn load(store: &mut dyn StateStore) -> Vec<RowId> {
    let load = store.begin_load(LoadKind::Full).unwrap();
    let rows: Vec<_> = (0..RECIPIENTS).map(row).collect();
    let mut ids = Vec::new();
    for chunk in rows.chunks(5_000) {
        for fate in store.load_recipients(load, chunk).unwrap() {
            let LoadOutcome::Accepted(mapping) = fate else {
                unreachable!()
            };
            ids.push(mapping.row_id);
        }
    }
    store.finish_load(load).unwrap();
    ids
}

pub fn event(n: u64, rows: &[RowId]) -> StateEvent {
    let time = Millis(START + n as i64 * 3_600_000 / EVENTS_AN_HOUR);
    let kinds = [
        Kind::Sent,
        Kind::Delivered,
        Kind::Delivered,
        Kind::Opened,
        Kind::Opened,
        Kind::Clicked,
    ];
    let random = mix(n);
    StateEvent {
        identity: Identity((u128::from(random) << 64) | u128::from(n)),
        bucket: Bucket::of(Some(time)),
        kind: kinds[(random % 6) as usize],
        bounce_class: None,
        machine: false,
        time,
        effect: Effect::Apply(rows[(mix(random) % RECIPIENTS) as usize]),
    }
}
