//! The lifecycle of one message: its events from sent to the last.

use super::config::Rates;
use super::format::ProviderFormat;
use super::rng::GeneratorRng;
use super::world::Action;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Writes the events of a message to `out`, in the order of their times, which are at least a second apart.
///
/// Events that the provider does not report are left out, so a message may end silently.
pub fn lifecycle(
    rng: &mut GeneratorRng,
    rates: &Rates,
    format: &dyn ProviderFormat,
    message: u32,
    sent_at: i64,
    out: &mut Vec<(Action, i64)>,
) {
    out.clear();
    let mut at = sent_at;
    out.push((Action::Sent, at));
    while rng.chance(rates.deferred) && out.len() < 3 {
        at += rng.between(MINUTE, 20 * MINUTE);
        out.push((Action::Deferred, at));
    }
    at += rng.between(SECOND, MINUTE);
    outcome(rng, rates, at, out);
    if rng.chance(rates.other) {
        out.push((Action::Other, at + rng.between(SECOND, HOUR)));
    }
    keep_supported(format, message, out);
    space_out(out);
}

fn outcome(rng: &mut GeneratorRng, rates: &Rates, at: i64, out: &mut Vec<(Action, i64)>) {
    let outcomes = [
        (rates.bounced_hard, Action::BouncedHard),
        (rates.bounced_soft, Action::BouncedSoft),
        (rates.dropped, Action::Dropped),
        (rates.failed, Action::Failed),
    ];
    for (share, action) in outcomes {
        if rng.chance(share) {
            out.push((action, at));
            return;
        }
    }
    if !rng.chance(rates.silent) {
        out.push((Action::Delivered, at));
        engagement(rng, rates, at, out);
    }
}

fn engagement(rng: &mut GeneratorRng, rates: &Rates, delivered: i64, out: &mut Vec<(Action, i64)>) {
    if rng.chance(rates.machine_opened) {
        let at = delivered + rng.between(SECOND, MINUTE);
        out.push((Action::MachineOpened, at));
    }
    if rng.chance(rates.opened) {
        let at = delivered + rng.between(MINUTE, 24 * HOUR);
        out.push((Action::Opened, at));
        while rng.chance(rates.opened) && out.len() < 12 {
            out.push((Action::Opened, at + rng.between(MINUTE, 48 * HOUR)));
        }
        while rng.chance(rates.clicked) && out.len() < 16 {
            out.push((Action::Clicked, at + rng.between(2 * SECOND, HOUR)));
        }
    }
    let afterwards = [
        (rates.complained, Action::Complained),
        (rates.unsubscribed, Action::Unsubscribed),
        (rates.bounced_late, Action::BouncedHard),
    ];
    for (share, action) in afterwards {
        if rng.chance(share) {
            out.push((action, delivered + rng.between(MINUTE, 24 * HOUR)));
        }
    }
}

/// Leaves out events that the provider does not report, and repeats of those that it reports once.
fn keep_supported(format: &dyn ProviderFormat, message: u32, out: &mut Vec<(Action, i64)>) {
    out.sort_by_key(|(action, at)| (*at, *action));
    let mut seen = 0u32;
    out.retain(|(action, _)| {
        let bit = 1 << *action as u32;
        let again = seen & bit != 0;
        seen |= bit;
        format.supports(*action, message) && !(again && format.has_one_key(*action))
    });
}

fn space_out(out: &mut [(Action, i64)]) {
    let mut earliest = i64::MIN;
    for (_, at) in out {
        *at = (*at).max(earliest);
        earliest = *at + SECOND;
    }
}
