//! The life of one message, from sent to whatever comes last.

use super::dice::Dice;
use super::format::Format;
use super::settings::Rates;
use super::world::Act;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// What happens to a message, in the order of its times, which are at least a second apart.
///
/// What the provider has no event for is left out, so its messages may end silently.
pub fn live(
    dice: &mut Dice,
    rates: &Rates,
    format: &dyn Format,
    message: u32,
    sent_at: i64,
    out: &mut Vec<(Act, i64)>,
) {
    out.clear();
    let mut at = sent_at;
    out.push((Act::Sent, at));
    while dice.chance(rates.deferred) && out.len() < 3 {
        at += dice.between(MINUTE, 20 * MINUTE);
        out.push((Act::Deferred, at));
    }
    at += dice.between(SECOND, MINUTE);
    fate(dice, rates, at, out);
    if dice.chance(rates.other) {
        out.push((Act::Other, at + dice.between(SECOND, HOUR)));
    }
    keep_supported(format, message, out);
    space_out(out);
}

fn fate(dice: &mut Dice, rates: &Rates, at: i64, out: &mut Vec<(Act, i64)>) {
    let ends = [
        (rates.bounced_hard, Act::BouncedHard),
        (rates.bounced_soft, Act::BouncedSoft),
        (rates.dropped, Act::Dropped),
        (rates.failed, Act::Failed),
    ];
    for (share, act) in ends {
        if dice.chance(share) {
            out.push((act, at));
            return;
        }
    }
    if !dice.chance(rates.silent) {
        out.push((Act::Delivered, at));
        engage(dice, rates, at, out);
    }
}

fn engage(dice: &mut Dice, rates: &Rates, delivered: i64, out: &mut Vec<(Act, i64)>) {
    if dice.chance(rates.machine_opened) {
        let at = delivered + dice.between(SECOND, MINUTE);
        out.push((Act::MachineOpened, at));
    }
    if dice.chance(rates.opened) {
        let at = delivered + dice.between(MINUTE, 24 * HOUR);
        out.push((Act::Opened, at));
        while dice.chance(rates.opened) && out.len() < 12 {
            out.push((Act::Opened, at + dice.between(MINUTE, 48 * HOUR)));
        }
        while dice.chance(rates.clicked) && out.len() < 16 {
            out.push((Act::Clicked, at + dice.between(2 * SECOND, HOUR)));
        }
    }
    let afterwards = [
        (rates.complained, Act::Complained),
        (rates.unsubscribed, Act::Unsubscribed),
        (rates.bounced_late, Act::BouncedHard),
    ];
    for (share, act) in afterwards {
        if dice.chance(share) {
            out.push((act, delivered + dice.between(MINUTE, 24 * HOUR)));
        }
    }
}

/// Leaves out what the provider does not tell, and repeats of what it tells once.
fn keep_supported(format: &dyn Format, message: u32, out: &mut Vec<(Act, i64)>) {
    out.sort_by_key(|(act, at)| (*at, *act));
    let mut seen = 0u32;
    out.retain(|(act, _)| {
        let bit = 1 << *act as u32;
        let again = seen & bit != 0;
        seen |= bit;
        format.tells(*act, message) && !(again && format.once(*act))
    });
}

fn space_out(out: &mut [(Act, i64)]) {
    let mut earliest = i64::MIN;
    for (_, at) in out {
        *at = (*at).max(earliest);
        earliest = *at + SECOND;
    }
}
