//! Processes of the real binary. Nothing waits without an end.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::world::World;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_hookflow");

/// No run of the suite needs nearly as long.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits a moment for nothing.
pub fn pause(moment: Duration) {
    crossbeam_channel::never::<()>()
        .recv_timeout(moment)
        .unwrap_err();
}

/// Runs a command to its end.
pub fn run(mut command: Command, what: &str) -> Result<ExitStatus, String> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    wait(command.spawn().unwrap(), LIMIT, what)
}

/// Waits for the end of a process; one that does not end is killed and an error.
pub fn wait(mut child: Child, limit: Duration, what: &str) -> Result<ExitStatus, String> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            return Ok(status);
        }
        pause(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    Err(format!("{what} did not end within {limit:?}"))
}

/// How a world is replayed.
#[derive(Clone)]
pub struct Replay<'a> {
    pub world: &'a World,
    pub store: PathBuf,
    pub workers: usize,
    pub env: Vec<(&'static str, String)>,
}

impl<'a> Replay<'a> {
    /// Into a store named `store` within the world's folder.
    pub fn new(world: &'a World, store: &str, workers: usize) -> Self {
        Self {
            world,
            store: world.path(store),
            workers,
            env: Vec::new(),
        }
    }

    /// With a setting.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.env.push((name, value.to_string()));
        self
    }

    /// With small windows and frequent checkpoints: much happens in a short run.
    pub fn small(self, rows: u64) -> Self {
        self.with("HOOKFLOW_STATE_WINDOW_ROWS_MAX", rows)
            .with("HOOKFLOW_LOG_WINDOW_ROWS_MAX", rows + 5)
            .with("HOOKFLOW_LOG_WINDOW_AGE_MAX", "10ms")
            .with("HOOKFLOW_DEAD_LETTER_WINDOW_ROWS_MAX", 1)
            .with("HOOKFLOW_JOB_CHECKPOINT_INTERVAL", "10ms")
            .with("HOOKFLOW_JOB_TICK", "1ms")
    }

    /// Starts it; standard error goes to a file in the world's folder.
    pub fn start(&self) -> Child {
        let errors = std::fs::File::create(self.world.path("stderr")).unwrap();
        let world = self.world;
        Command::new(BINARY)
            .args(["run", "replay", "--quiet", "--summary", "json", "--workers"])
            .arg(self.workers.to_string())
            .arg("--snapshot")
            .arg(world.path("snapshot.jsonl"))
            .arg("--batches")
            .arg(world.path("batches.jsonl"))
            .arg("--late-snapshot")
            .arg(world.path("snapshot-late.jsonl"))
            .arg("--store")
            .arg(&self.store)
            .arg(world.path("deliveries.jsonl"))
            .env("HOOKFLOW_LOGS_LEVEL", "warn")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap()
    }

    /// Runs it to its end, whatever that is.
    pub fn end(&self) -> Result<ExitStatus, String> {
        wait(self.start(), LIMIT, "a replay")
    }

    /// Runs it to its end, which must be a good one.
    pub fn succeed(&self) -> Result<(), String> {
        let status = self.end()?;
        if status.success() {
            return Ok(());
        }
        let errors = std::fs::read_to_string(self.world.path("stderr")).unwrap_or_default();
        Err(format!(
            "seed {}: the replay ended with {status}: {errors}",
            self.world.seed
        ))
    }
}
