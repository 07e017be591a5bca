//! What is kept, durably, of a partition against messages that end the process: one row a partition. See the attempt guard for the
//! rules that change it.

/// The row of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionAttempt {
    /// The partition's name, the same in every run and member.
    pub partition: String,
    /// Everything before it was settled when the partition was begun last.
    pub floor: u64,
    /// Starts in a row that ended with a dead process and the floor where it was.
    pub deaths: u32,
    /// Messages were handed out, and no end of the process was told since: the process runs, or it died.
    pub running: bool,
    /// The run of messages (start, and where the next one starts) that was in work alone; none while the partition is trusted.
    pub named: Option<(u64, u64)>,
    /// Suspicion ends when the floor has passed this.
    pub until: u64,
    /// This message is to be handed out as a dead letter.
    pub condemned: Option<u64>,
}

impl PartitionAttempt {
    /// The process that had the partition ended, and said that its end is not to be held against the messages.
    pub fn told(&mut self) {
        self.running = false;
        self.named = None;
    }
}
