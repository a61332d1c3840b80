//! Run directories: one per sandbox, locked while it lives; those of ended runs are swept.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

/// How many run directories of ended runs are kept for reading.
const KEPT: usize = 5;

/// A run directory; the lock is held as long as this lives.
pub(super) struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Sweeps what ended runs left and makes a new directory.
pub(super) fn create(cache: &Path) -> Result<RunDir> {
    let runs = cache.join("runs");
    std::fs::create_dir_all(&runs)?;
    sweep(&runs)?;
    let program = std::env::current_exe()?;
    let program = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Cargo's hash at the end of a test's name says nothing to a reader.
    let program = program.rsplit_once('-').map_or(program.as_str(), |(name, _)| name);
    let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let path = runs.join(format!("{now}-{program}-{}", std::process::id()));
    std::fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
    let lock = File::create(path.join("lock"))?;
    lock.lock()?;
    Ok(RunDir { path, _lock: lock })
}

fn sweep(runs: &Path) -> Result<()> {
    let mut ended: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(runs)? {
        let entry = entry?;
        let lock = File::open(entry.path().join("lock"));
        // A directory without a lock file is one that another run is just making.
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            ended.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    ended.sort();
    let surplus = ended.len().saturating_sub(KEPT);
    for (_, path) in ended.into_iter().take(surplus) {
        // Another run may sweep the same directory at the same moment.
        let _ = std::fs::remove_dir_all(path);
    }
    Ok(())
}
