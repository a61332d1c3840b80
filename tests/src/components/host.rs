//! What the host must offer: root, a few tools, Go.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::progress;

/// Tools of the host and the Debian packages that have them.
const TOOLS: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("mmdebstrap", "mmdebstrap"),
];

/// # Errors
/// When the user is not root.
pub(super) fn require_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    bail!("the lab makes namespaces and needs root: run it as root (for example with sudo -E)")
}

/// Installs missing tools where the host has apt-get.
///
/// # Errors
/// When a tool is missing and cannot be installed.
pub(super) fn require_tools() -> Result<()> {
    let mut packages: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| find(tool).is_none())
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if find("apt-get").is_none() {
        bail!("missing tools: install the packages {names} (this host has no apt-get)");
    }
    let installed = progress::step(&format!("installing {names}"), "1 min", || {
        apt(&["update", "-q"]).is_ok()
            && apt(&[&["install", "-qy", "--no-install-recommends"], packages.as_slice()].concat())
                .is_ok()
    });
    if !installed {
        bail!("could not install missing tools: run apt-get install {names}");
    }
    Ok(())
}

/// The Go tool.
///
/// # Errors
/// When there is none.
pub(super) fn go() -> Result<PathBuf> {
    let usual = Path::new("/usr/local/go/bin/go");
    match find("go") {
        Some(go) => Ok(go),
        None if usual.exists() => Ok(usual.to_owned()),
        None => bail!("Go is missing: install Go 1.26 or later and put it on PATH"),
    }
}

fn apt(args: &[&str]) -> Result<()> {
    let output =
        Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").output()?;
    if !output.status.success() {
        progress::say(String::from_utf8_lossy(&output.stderr).trim());
        bail!("apt-get failed");
    }
    Ok(())
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(tool)).find(|file| file.exists())
}
