//! Which records are suspected of having ended the process, and what follows from that. Pure.

use std::collections::BTreeMap;

/// A suspect that was named in so many crashes ...
pub const NAMED: u32 = 3;
/// ... at least so many of them alone, becomes a dead letter.
pub const ALONE: u32 = 2;
/// ... or so many of them when it was decoded already and its rows were on their way to the writers. That takes a thousand times longer than
/// decoding, so a kill from outside is likely to hit it; hence one more is asked for.
const DECODED: u32 = 3;
/// From this delivery on a message of a shared consumer is a suspect, where the last life of this member ended with a crash.
const DELIVERIES: u32 = 3;
/// The file holds at most so many suspects; those that were named least are dropped first.
const SUSPECTS_MAX: usize = 4_096;
/// First word of the file; the last digit is the version of its format.
const MAGIC: u64 = u64::from_le_bytes(*b"hfsusp_1");
const HEADER_WORDS: usize = 2;
const SUSPECT_WORDS: usize = 5;

/// The place of a record, the same in every life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPosition {
    /// Hash of the partition's name.
    pub partition: u64,
    /// The record's offset in the partition.
    pub offset: u64,
}

/// What a slot of the breadcrumb file named when the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breadcrumb {
    /// The records that a worker was decoding.
    pub places: Vec<RecordPosition>,
    /// Hash of the one record, if it was decoded alone.
    pub alone: Option<u64>,
    /// It was decoded, and its rows were on their way to the writers.
    pub is_decoded: bool,
}

/// The counts of one suspect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Suspect {
    /// Crashes that named it.
    named: u32,
    /// How many of these while it was decoded alone.
    alone: u32,
    /// How many of these later, while its rows were on their way.
    decoded: u32,
    /// Hash of its bytes, once it was named alone.
    content: Option<u64>,
}

/// How a record is to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Like any other.
    Trusted,
    /// While nothing else is decoded.
    Suspect,
    /// Not at all: it becomes a dead letter.
    DeadLetter,
}

/// All suspects of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspects {
    suspects: BTreeMap<RecordPosition, Suspect>,
    /// The last life whose end was judged.
    judged: u64,
    /// The last life ended with a crash.
    is_after_crash: bool,
    /// The wrong design of the tests: every crash that names a record counts as if it had been alone, and none is decoded alone.
    blames_by_presence: bool,
}

impl Suspects {
    /// Suspects as the wrong design that blames by presence judges them.
    #[cfg(any(test, feature = "faults"))]
    pub const fn blaming_by_presence(mut self, is_wrong: bool) -> Self {
        self.blames_by_presence = is_wrong;
        self
    }

    /// The last life whose end was judged.
    pub const fn judged(&self) -> u64 {
        self.judged
    }

    /// A life ended and left these breadcrumbs; any of them means that it crashed.
    pub fn judge(&mut self, life: u64, breadcrumbs: &[Breadcrumb]) {
        self.judged = life;
        self.is_after_crash = !breadcrumbs.is_empty();
        for breadcrumb in breadcrumbs {
            for place in &breadcrumb.places {
                let suspect = self.suspects.entry(*place).or_default();
                suspect.name(breadcrumb);
            }
        }
        while self.suspects.len() > SUSPECTS_MAX {
            let least = self.suspects.iter();
            let least = least.min_by_key(|(_, suspect)| (suspect.alone, suspect.named));
            let Some(place) = least.map(|(place, _)| *place) else {
                return;
            };
            self.suspects.remove(&place);
        }
    }

    /// How a record is to be decoded that was delivered so often; `content` hashes its bytes.
    pub fn verdict(
        &self,
        place: RecordPosition,
        deliveries: u32,
        content: impl FnOnce() -> u64,
    ) -> Verdict {
        let Some(suspect) = self.suspects.get(&place) else {
            return if self.suspects_repeated(deliveries) {
                Verdict::Suspect
            } else {
                Verdict::Trusted
            };
        };
        if self.blames_by_presence {
            return if suspect.named >= NAMED {
                Verdict::DeadLetter
            } else {
                Verdict::Trusted
            };
        }
        if suspect.is_found_guilty() && suspect.content == Some(content()) {
            Verdict::DeadLetter
        } else {
            Verdict::Suspect
        }
    }

    /// In how many crashes a record was named alone: those that were least go first, so that kills from outside hit another one each time.
    pub fn blame(&self, place: RecordPosition) -> u32 {
        let suspect = self.suspects.get(&place).copied().unwrap_or_default();
        suspect.alone.saturating_add(suspect.decoded)
    }

    /// A record got through; whether it was a suspect.
    pub fn clear(&mut self, place: RecordPosition) -> bool {
        self.suspects.remove(&place).is_some()
    }

    /// Everything that was read is durable: what became a dead letter does not come again.
    pub fn forget_dead_letters(&mut self) {
        self.suspects
            .retain(|_, suspect| !suspect.is_found_guilty());
    }

    /// Whether the last life ended with a crash.
    pub const fn is_after_crash(&self) -> bool {
        self.is_after_crash
    }

    /// How many suspects there are.
    pub fn len(&self) -> usize {
        self.suspects.len()
    }

    /// Whether nobody is suspected, but for what was delivered again and again.
    pub fn is_empty(&self) -> bool {
        self.suspects.is_empty()
    }

    /// Whether a record is a suspect because it was delivered so often, whoever it is.
    pub const fn suspects_repeated(&self, deliveries: u32) -> bool {
        self.is_after_crash && deliveries >= DELIVERIES && !self.blames_by_presence
    }

    /// The text of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut words = vec![MAGIC, self.judged];
        for (place, suspect) in &self.suspects {
            let [named, alone, decoded] = [suspect.named, suspect.alone, suspect.decoded]
                .map(|count| u64::from(count) & 0xffff);
            let counts = named | alone << 16 | decoded << 32;
            words.extend([
                place.partition,
                place.offset,
                counts,
                u64::from(suspect.content.is_some()),
                suspect.content.unwrap_or_default(),
            ]);
        }
        words.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    /// Reads the file; one that is empty or of another format holds nobody.
    pub fn decode(bytes: &[u8]) -> Self {
        let words: Vec<u64> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect();
        let (Some(&MAGIC), Some(judged)) = (words.first(), words.get(1)) else {
            return Self::default();
        };
        let suspects = words.get(HEADER_WORDS..).unwrap_or_default();
        Self {
            suspects: suspects.as_chunks().0.iter().map(suspect).collect(),
            judged: *judged,
            ..Self::default()
        }
    }
}

impl Suspect {
    /// A crash named it. Other bytes at the same place are another record: its count begins anew.
    fn name(&mut self, breadcrumb: &Breadcrumb) {
        let alone = breadcrumb.alone;
        if alone.is_some() && self.content.is_some() && self.content != alone {
            *self = Self::default();
        }
        self.named = self.named.saturating_add(1);
        if alone.is_some() {
            let count = if breadcrumb.is_decoded {
                &mut self.decoded
            } else {
                &mut self.alone
            };
            *count = count.saturating_add(1);
        }
        self.content = alone.or(self.content);
    }

    const fn is_found_guilty(&self) -> bool {
        self.named >= NAMED && (self.alone >= ALONE || self.decoded >= DECODED)
    }
}

fn suspect(words: &[u64; SUSPECT_WORDS]) -> (RecordPosition, Suspect) {
    let [partition, offset, counts, has_content, content] = *words;
    let suspect = Suspect {
        named: counts as u32 & 0xffff,
        alone: (counts >> 16) as u32 & 0xffff,
        decoded: (counts >> 32) as u32 & 0xffff,
        content: (has_content == 1).then_some(content),
    };
    (RecordPosition { partition, offset }, suspect)
}
