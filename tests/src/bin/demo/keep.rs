//! A demo that stays up: detached from the terminal, found again by its pid file.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::{components, cpo, sandbox};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::acts::Stage;
use crate::screen::line;

/// Argument of the detached process.
pub(crate) const STAY: &str = "--stay";
/// Begins the line by which the detached process says it is up; the file of its shell follows.
const UP: &str = "@up ";
/// Shell functions for whoever enters the demo, in the lab's folder.
const SHELL: &str = "demo.sh";
/// How long the end of everything may take.
const END: Duration = Duration::from_secs(10);

fn pid_file() -> Result<PathBuf> {
    Ok(components::cache_dir()?.join("demo.pid"))
}

/// The pid of the demo that is up, if one is.
fn running() -> Result<Option<u32>> {
    let Ok(text) = std::fs::read_to_string(pid_file()?) else { return Ok(None) };
    let pid: u32 = text.trim().parse().context("read the pid file")?;
    // A pid that now belongs to somebody else is not ours to end.
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let ours = line.split(|byte| *byte == 0).any(|word| word == STAY.as_bytes());
    Ok(ours.then_some(pid))
}

/// Starts a demo in a session of its own, shows what it prints until it is up, and leaves it there.
pub(crate) fn detach() -> Result<()> {
    if let Some(pid) = running()? {
        bail!("one is up already (pid {pid}): end it with `make demo-down` first");
    }
    // Here, so that a missing prerequisite is told before anything is started.
    components::ensure()?;
    let (reader, writer) = std::io::pipe()?;
    let mut child = Command::new("setsid")
        .arg(std::env::current_exe()?)
        .arg(STAY)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .context("start setsid (Debian package util-linux)")?;
    let pid = child.id();
    std::fs::write(pid_file()?, format!("{pid}\n"))?;
    for text in BufReader::new(reader).lines() {
        let text = text?;
        match text.strip_prefix(UP) {
            Some(file) => return usage(pid, file),
            None => line(&text)?,
        }
    }
    std::fs::remove_file(pid_file()?)?;
    let status = child.wait()?;
    bail!("the demo ended early ({status})");
}

fn usage(pid: u32, file: &str) -> Result<()> {
    let inside = inside(pid).context("find the demo's processes")?;
    let folder = file.trim_end_matches(SHELL).trim_end_matches('/');
    let enter = format!("nsenter --target {inside} --pid --mount --net --ipc --uts");
    line(&format!(
        "
It stays up (pid {pid}). Enter it:

   {enter} bash --rcfile {file}

There: `under`, `a` and `b` are kubectl for the three clusters, `near` and `far` run a command at a
client, `cpo` is the product's command line, `nbctl` is ovn-nbctl:

   a get svc                      under get eips,tcl,apool
   near curl -s http://EIP/       far curl -s http://EIP/
   cpo lb list                    tail -f {folder}/cpo.log

Kubeconfigs: {folder}/{{under,tenant-a,tenant-b}}/admin.kubeconfig
End it:      make demo-down"
    ))
}

/// Ends the demo that was left up, and waits until nothing of it is left.
pub(crate) fn down() -> Result<()> {
    let Some(pid) = running()? else {
        return line("demo: none is up");
    };
    let inside = inside(pid);
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL).context("end the demo")?;
    let begin = Instant::now();
    let lives = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
    while lives(pid) || inside.is_some_and(lives) {
        if begin.elapsed() > END {
            bail!("process {pid} was killed and is still there");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_file(pid_file()?)?;
    line("demo: ended, nothing is left")
}

/// The first process inside the sandbox of the demo `pid`, as seen from outside.
fn inside(pid: u32) -> Option<u32> {
    child(child(pid)?)
}

fn child(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Writes the shell functions, says that the demo is up, and stays.
pub(crate) async fn stay(stage: &Stage) -> Result<()> {
    let file = stage.lab.space().dir().join(SHELL);
    std::fs::write(&file, shell(stage)?)?;
    line(&format!("{UP}{}", file.display()))?;
    std::future::pending().await
}

/// What `under`, `a`, `b`, `near`, `far`, `cpo` and `nbctl` mean.
fn shell(stage: &Stage) -> Result<String> {
    let sandbox = sandbox::current()?;
    let kubectl = sandbox.components.kubectl.display();
    let root = sandbox.root.display();
    let lab = &stage.lab;
    let folder = lab.space().dir();
    let mut text = format!("cd {}\nPS1='demo$ '\n", folder.display());
    text.push_str("export KUBECACHEDIR=/run/data/kubectl\n");
    let tenants = lab.tenants().iter().map(|tenant| (tenant.name(), tenant.cluster()));
    for (name, cluster) in std::iter::once(("under", lab.under().as_ref())).chain(tenants) {
        let kubeconfig = cluster.admin_kubeconfig();
        let command = format!("{kubectl} --kubeconfig {}", kubeconfig.display());
        text.push_str(&format!("{name}() {{ {command} \"$@\"; }}\n"));
    }
    for (name, host) in [("near", lab.near()), ("far", lab.far())] {
        let netns = host.netns().name();
        let command = format!("nsenter --net=/run/netns/{netns} --root={root} --wd=/");
        text.push_str(&format!("{name}() {{ {command} \"$@\"; }}\n"));
    }
    let (cpo, endpoint) = (cpo::binary()?, lab.ovn().northbound().tcp());
    text.push_str(&format!("export CPO_OVN_NB={endpoint}\n"));
    text.push_str(&format!("cpo() {{ {} \"$@\"; }}\n", cpo.display()));
    let socket = lab.ovn().northbound().socket();
    text.push_str(&format!("nbctl() {{ chroot {root} ovn-nbctl --db={socket} \"$@\"; }}\n"));
    Ok(text)
}
