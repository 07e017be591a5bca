//! What the process has used so far, as the kernel counts it.

use std::time::Duration;

/// A reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// The most memory that was ever resident, in bytes.
    pub peak_memory: u64,
    /// What is resident now, in bytes.
    pub memory: u64,
}

/// Ticks a second of the times in `/proc` (`USER_HZ`, fixed at 100 on Linux for all that read it).
const TICKS: u64 = 100;

impl Usage {
    /// The same without processor time that was not the job's.
    pub fn without(self, cpu: Duration) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(cpu),
            ..self
        }
    }

    /// Reads `/proc`; zeros where there is none.
    pub fn now() -> Self {
        let cpu = cpu_ticks(&read("/proc/self/stat")).unwrap_or(0);
        let status = read("/proc/self/status");
        let bytes = |name| kib(&status, name).unwrap_or(0) * 1_024;
        Self {
            cpu: Duration::from_millis(cpu * (1_000 / TICKS)),
            peak_memory: bytes("VmHWM:"),
            memory: bytes("VmRSS:"),
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the kernel's account of this process is no I/O of a job"
)]
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Fields 14 and 15, counted behind the command's closing parenthesis (the name may hold blanks).
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_ticks(stat), Some(200));
        let status = "VmPeak:\t9 kB\nVmHWM:\t  1234 kB\n";
        assert_eq!(kib(status, "VmHWM:"), Some(1_234));
        assert_eq!(cpu_ticks("nonsense"), None);
        assert!(Usage::now().peak_memory > 0);
    }
}
