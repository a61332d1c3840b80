//! The sandbox: own PID, mount, network, IPC and UTS namespaces around the whole program.
//!
//! ```text
//!  program ── setpriv --pdeathsig ── unshare --fork --kill-child ── the same program, as PID 1
//!  (waits)                                                          (runs tests or the demo)
//! ```
//!
//! When any link of that chain dies, the kernel kills the rest; when PID 1 ends, the kernel kills
//! every process of the sandbox, and its mounts, namespaces, bridges and routes go with them.

mod mounts;
mod run_dirs;

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::components::{self, Components};

/// Address of the management bridge, where API servers answer the VMs.
pub const MANAGEMENT_ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 250, 0, 1);
/// Its Ethernet address. A bridge without one of its own takes the lowest of its ports', and another
/// one when a lower one joins: who knows the old one speaks to nobody then, until it asks anew.
const MANAGEMENT_ETHERNET_ADDRESS: &str = "02:00:00:00:00:01";
/// Name of the management bridge.
pub const MANAGEMENT_BRIDGE: &str = "mgmt";

/// Set in the program that runs inside: the run directory on disk.
const INSIDE: &str = "LAB_SANDBOX_RUN_DIR";
/// Set in the program that runs inside, if it asked for it: the root file system of the older OVN.
const OLDER: &str = "LAB_SANDBOX_OLDER_ROOT";

static CURRENT: OnceLock<Sandbox> = OnceLock::new();

/// What a program inside the sandbox can use.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The components on disk.
    pub components: Components,
    /// The Debian root file system, with `/proc`, `/sys`, `/dev` and `/run` mounted.
    pub root: PathBuf,
    /// The root file system with the older OVN, with the same mounts, for who asked for it.
    pub older: Option<PathBuf>,
    /// Where logs are kept on disk after the end.
    pub run_dir: PathBuf,
}

/// Enters the sandbox; call it first in `main`, before any thread exists.
///
/// In the program that the user started, this builds missing components, runs the same program with
/// the same arguments inside a new sandbox, waits for it and exits with its code: it returns only
/// inside. A failure is printed as one line and ends the program with code 1.
pub fn enter() -> &'static Sandbox {
    enter_with(Beside::Nothing)
}

/// What a program needs beside the usual components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// The older OVN. If it is not to be had, that is said, and whatever needs it fails.
    OlderOvn,
    /// MetalLB, found by [`components::metallb`]; the same holds for it.
    MetalLb,
}

/// As [`enter`], with more in the sandbox.
pub fn enter_with(beside: Beside) -> &'static Sandbox {
    let entered = match std::env::var_os(INSIDE) {
        None => outside(beside),
        Some(run_dir) => inside(PathBuf::from(run_dir)),
    };
    match entered {
        Ok(sandbox) => CURRENT.get_or_init(|| sandbox),
        Err(error) => {
            eprintln!("lab: {error:#}");
            std::process::exit(1);
        }
    }
}

/// The sandbox this program runs in.
///
/// # Errors
/// When [`enter`] was not called.
pub fn current() -> Result<&'static Sandbox> {
    CURRENT.get().context("not in a sandbox: call lab::sandbox::enter() first in main")
}

fn outside(beside: Beside) -> Result<Sandbox> {
    let components = components::ensure()?;
    let missing = |what| move |error: &_| eprintln!("lab: {what} is not to be had: {error:#}");
    let older = match beside {
        Beside::Nothing => None,
        Beside::OlderOvn => components::ensure_older().inspect_err(missing("the older OVN")).ok(),
        Beside::MetalLb => {
            let _ = components::metallb().inspect_err(missing("MetalLB"));
            None
        }
    };
    let run_dir = run_dirs::create(&components.cache)?;
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL"])
        .args(["--mount", "--mount-proc", "--net", "--ipc", "--uts", "--"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, run_dir.path())
        .envs(older.map(|older| (OLDER, older)))
        .status()
        .context("start setpriv and unshare (Debian package util-linux)")?;
    std::process::exit(exit_code(status));
}

fn inside(run_dir: PathBuf) -> Result<Sandbox> {
    let components = components::ensure()?;
    let older = std::env::var_os(OLDER).map(PathBuf::from);
    mounts::prepare(&components, older.as_deref(), &run_dir)
        .context("prepare the sandbox's mounts")?;
    network()?;
    Ok(Sandbox { root: components.root.clone(), components, older, run_dir })
}

/// Loopback and the management bridge.
fn network() -> Result<()> {
    let bridge = MANAGEMENT_BRIDGE;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", bridge, "address", MANAGEMENT_ETHERNET_ADDRESS, "type", "bridge"])?;
    ip(&["address", "add", &format!("{MANAGEMENT_ADDRESS}/16"), "dev", bridge])?;
    ip(&["link", "set", bridge, "up"])?;
    for table in ["ip", "ip6", "arp"] {
        // Absent where the kernel module is not loaded: then bridged traffic passes no hooks anyway.
        let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{table}tables"), "0");
    }
    Ok(())
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output().context("start ip")?;
    anyhow::ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
