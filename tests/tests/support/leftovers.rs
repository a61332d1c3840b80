//! A run that is killed leaves no process, namespace, mount or link behind.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::wait;

const DEADLINE: Duration = Duration::from_secs(30);

/// Runs this very program again, in a sandbox inside the sandbox, and kills it in the middle.
pub(crate) async fn a_killed_run_leaves_nothing_behind() -> Result<()> {
    let before = Traces::now()?;
    let mut run = Command::new(std::env::current_exe()?)
        .arg("tenants_with_the_same_addresses")
        .env_remove("LAB_SANDBOX_RUN_DIR")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let started = wait::until("the other run to start its components", DEADLINE, || async {
        let fresh = Traces::now()?.processes.len() - before.processes.len();
        ensure!(fresh >= 6, "{fresh} processes");
        Ok(())
    });
    let started = started.await;
    run.kill()?;
    run.wait()?;
    started?;
    wait::until("all traces of the killed run to be gone", DEADLINE, || async {
        let now = Traces::now()?;
        let more: Vec<_> = now.processes.difference(&before.processes).collect();
        ensure!(more.is_empty(), "processes {more:?}");
        ensure!(now.links == before.links, "links {:?}", now.links);
        ensure!(now.namespaces == before.namespaces, "namespaces {:?}", now.namespaces);
        ensure!(now.mounts == before.mounts, "mounts {}", now.mounts);
        Ok(())
    })
    .await
}

/// What a run could leave behind.
struct Traces {
    processes: BTreeSet<u32>,
    mounts: String,
    links: BTreeSet<String>,
    namespaces: BTreeSet<String>,
}

impl Traces {
    fn now() -> Result<Self> {
        Ok(Self {
            processes: entries("/proc")?.iter().filter_map(|name| running(name)).collect(),
            mounts: std::fs::read_to_string("/proc/self/mounts")?,
            links: entries("/sys/class/net")?,
            namespaces: entries("/run/netns")?,
        })
    }
}

/// The process of that directory of `/proc`, unless it has ended and only waits to be reaped.
fn running(name: &str) -> Option<u32> {
    let process = name.parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, state) = stat.rsplit_once(") ")?;
    (!state.starts_with('Z')).then_some(process)
}

fn entries(path: &str) -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(path)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
