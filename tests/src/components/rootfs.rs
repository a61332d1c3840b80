//! The Debian root file system: packages extracted into a directory, nothing installed on the host.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::pins::{OLDER_KEYS, OLDER_PACKAGES, OLDER_SUITE, PACKAGES, SUITE};
use super::{cached, progress};

pub(super) fn ensure(cache: &Path) -> Result<PathBuf> {
    cached(cache, "root", &[SUITE, PACKAGES], |dir| {
        progress::step("extracting the Debian root file system", "1 min", || {
            extract(&[], PACKAGES, SUITE, dir)
        })?;
        finish(dir)
    })
}

/// The root file system with the older OVN. Its packages are checked with keys from the Debian
/// suite, so that the host needs none.
pub(super) fn older(cache: &Path) -> Result<PathBuf> {
    let pins = [OLDER_SUITE, OLDER_PACKAGES, OLDER_KEYS, SUITE];
    let path = cached(cache, "older", &pins, |dir| {
        let (keys, root) = (dir.join("keys"), dir.join("root"));
        let keyring = keys.join("usr/share/keyrings/ubuntu-archive-keyring.gpg");
        let keyring = format!("--keyring={}", keyring.display());
        progress::step("extracting the root file system with the older OVN", "20 s", || {
            extract(&[], OLDER_KEYS, SUITE, &keys)?;
            let options = ["--components=main,universe", &keyring];
            extract(&options, OLDER_PACKAGES, OLDER_SUITE, &root)
        })?;
        for name in ["bin", "sbin", "lib", "lib64"] {
            if root.join(name).symlink_metadata().is_err() {
                symlink(Path::new("usr").join(name), root.join(name))?;
            }
        }
        finish(&root)
    })?;
    Ok(path.join("root"))
}

fn extract(options: &[&str], packages: &str, suite: &str, dir: &Path) -> Result<()> {
    let log_path = std::env::temp_dir().join(format!("lab-build-root-{suite}.log"));
    let log = File::create(&log_path)?;
    let mut command = Command::new("mmdebstrap");
    command
        .arg("--variant=extract")
        .args(options)
        .arg(format!("--include={packages}"))
        .arg(suite)
        .arg(dir)
        .stdout(log.try_clone()?)
        .stderr(log);
    if !command.status().context("start mmdebstrap")?.success() {
        bail!("mmdebstrap failed: see {}", log_path.display());
    }
    Ok(())
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
    // There are several of these to choose from, as Debian sees it.
    let tables = dir.join("usr/sbin/xtables-nft-multi");
    for name in ["iptables", "ip6tables"].into_iter().filter(|_| tables.exists()) {
        for part in ["", "-save", "-restore"] {
            symlink("xtables-nft-multi", dir.join(format!("usr/sbin/{name}{part}")))?;
        }
    }
    for path in ["proc", "sys", "dev", "run", "mnt", "tmp", "var/log", "var/lib"] {
        std::fs::create_dir_all(dir.join(path))?;
    }
    Ok(())
}
