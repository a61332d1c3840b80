//! Mounts of the sandbox. Its mount namespace is private, so none of them is seen outside.
//!
//! `/run` is a fresh tmpfs, and the same one inside the root file system, so a path below it means
//! the same file in both:
//!
//! | path | what |
//! |---|---|
//! | `/run/lab` | the run directory on disk: logs and kubeconfigs |
//! | `/run/data` | databases and sockets, in memory |
//! | `/run/netns` | network namespaces by name |
//! | `/run/components` | binaries for use in the root file system |

use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use crate::components::Components;

const NONE: Option<&str> = None;

pub(super) fn prepare(components: &Components, older: Option<&Path>, run_dir: &Path) -> Result<()> {
    // The one of the host shows the host's links.
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), NONE).context("mount /sys")?;
    // Bound aside first: the tmpfs on /run may hide the run directory.
    let root = &components.root;
    bind(root, root)?;
    bind(run_dir, &root.join("mnt"))?;

    tmpfs(Path::new("/run"))?;
    mount(NONE, "/run", NONE, MsFlags::MS_SHARED, NONE).context("make /run shared")?;
    for dir in ["lab", "data", "netns", "components", "lock", "ovn", "openvswitch", "frr"] {
        std::fs::create_dir_all(Path::new("/run").join(dir))?;
    }
    bind(&root.join("mnt"), Path::new("/run/lab"))?;
    for (name, dir) in [("kubernetes", &components.kubernetes), ("kube-ovn", &components.kube_ovn)]
    {
        let path = Path::new("/run/components").join(name);
        std::fs::create_dir_all(&path)?;
        bind(dir, &path)?;
    }

    furnish(root)?;
    std::fs::create_dir_all(root.join("var/log/kube-ovn"))?;
    if let Some(older) = older {
        bind(older, older)?;
        furnish(older)?;
    }
    Ok(())
}

/// What programs expect to find in a root file system.
fn furnish(root: &Path) -> Result<()> {
    mount(Some("/run"), &root.join("run"), NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .context("mount /run in the root file system")?;
    mount(Some("proc"), &root.join("proc"), Some("proc"), MsFlags::empty(), NONE)
        .context("mount /proc in the root file system")?;
    mount(Some("sysfs"), &root.join("sys"), Some("sysfs"), MsFlags::empty(), NONE)
        .context("mount /sys in the root file system")?;
    mount(Some("/dev"), &root.join("dev"), NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .context("mount /dev in the root file system")?;
    for dir in ["var/log", "var/lib", "tmp"] {
        tmpfs(&root.join(dir))?;
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE)
        .with_context(|| format!("bind {} to {}", from.display(), to.display()))
}

fn tmpfs(path: &Path) -> Result<()> {
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .with_context(|| format!("mount a tmpfs on {}", path.display()))
}
