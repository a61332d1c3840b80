//! The Debian root file system: packages extracted into a directory, nothing installed on the host.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::pins::{PACKAGES, SUITE};
use super::{cached, progress};

pub(super) fn ensure(cache: &Path) -> Result<PathBuf> {
    cached(cache, "root", &[SUITE, PACKAGES], |dir| {
        let log_path = std::env::temp_dir().join("lab-build-root.log");
        let log = File::create(&log_path)?;
        let mut command = Command::new("mmdebstrap");
        command
            .arg("--variant=extract")
            .arg(format!("--include={PACKAGES}"))
            .arg(SUITE)
            .arg(dir)
            .stdout(log.try_clone()?)
            .stderr(log);
        let status =
            progress::step("extracting the Debian root file system", "1 min", || command.status())
                .context("start mmdebstrap")?;
        if !status.success() {
            bail!("mmdebstrap failed: see {}", log_path.display());
        }
        finish(dir)
    })
}

/// What maintainer scripts would have done and the components need.
fn finish(dir: &Path) -> Result<()> {
    let var_run = dir.join("var/run");
    if var_run.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        std::fs::remove_dir_all(&var_run)?;
    }
    if var_run.symlink_metadata().is_err() {
        symlink("/run", &var_run)?;
    }
    for path in ["proc", "sys", "dev", "run", "mnt", "tmp", "var/log", "var/lib"] {
        std::fs::create_dir_all(dir.join(path))?;
    }
    Ok(())
}
