//! An Open vSwitch with a userspace datapath, in a namespace.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::exec::{Exec, Place};
use crate::netns::Netns;
use crate::ovn;
use crate::process::Process;
use crate::sandbox;

/// A running switch without bridges.
#[derive(Debug)]
pub struct Switch {
    vswitchd: Process,
    // Held for its end at drop.
    _database: Process,
    netns: String,
    data: PathBuf,
    logs: PathBuf,
}

impl Switch {
    /// Starts a switch in `netns`, with its database and sockets in `data` and its logs in `logs`.
    ///
    /// # Errors
    /// When a component does not start.
    pub async fn start(netns: &Netns, data: PathBuf, logs: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&data)?;
        let (name, at) = (netns.name().to_owned(), (&*data, &*logs));
        let file = data.join("conf.db").display().to_string();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        netns.exec_root("ovsdb-tool").args(["create", &file, schema]).output().await?;
        let remote = format!("--remote=punix:{}", data.join("db.sock").display());
        let database = daemon(&name, at, "ovsdb-server", &[&file, &remote, "--no-chdir"])?;
        ovn::answers(&data.join("db.sock")).await?;
        let socket = format!("unix:{}", data.join("db.sock").display());
        let init = netns.exec_root("ovs-vsctl").arg(format!("--db={socket}"));
        init.args(["--no-wait", "init"]).output().await?;
        let program = "/usr/lib/openvswitch-switch/ovs-vswitchd";
        let vswitchd = daemon(&name, at, program, &[&socket, "--disable-system"])?;
        Ok(Self { vswitchd, _database: database, netns: name, data, logs })
    }

    /// ovs-vswitchd.
    pub fn vswitchd(&self) -> &Process {
        &self.vswitchd
    }

    /// `unix:<path>` of its database.
    pub fn socket(&self) -> String {
        format!("unix:{}", self.data.join("db.sock").display())
    }

    /// The words that start `ovs-vsctl` for this switch, from anywhere in the sandbox.
    ///
    /// # Errors
    /// Outside of a sandbox.
    pub fn vsctl_words(&self) -> Result<Vec<OsString>> {
        let root = sandbox::current()?.root.clone();
        let db = format!("--db={}", self.socket());
        Ok(vec!["chroot".into(), root.into(), "ovs-vsctl".into(), db.into()])
    }

    /// Runs `ovs-vsctl` with words separated by spaces and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub async fn vsctl(&self, words: &str) -> Result<String> {
        let exec = Exec::new(Place::NamespaceRoot(self.netns.clone()), "ovs-vsctl");
        let exec = exec.arg(format!("--db={}", self.socket())).arg("--timeout=20");
        exec.args(words.split_whitespace()).output().await
    }

    /// Runs `ovs-ofctl <command> <bridge>`, for example `dump-flows br-int`.
    ///
    /// # Errors
    /// When it fails.
    pub async fn ofctl(&self, command: &str, bridge: &str) -> Result<String> {
        let target = format!("unix:{}", self.data.join(format!("{bridge}.mgmt")).display());
        let exec = Exec::new(Place::NamespaceRoot(self.netns.clone()), "ovs-ofctl");
        exec.args([command, target.as_str()]).output().await
    }

    /// Starts another daemon that works on this switch.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn daemon(&self, program: &str, args: &[&str]) -> Result<Process> {
        daemon(&self.netns, (&self.data, &self.logs), program, args)
    }
}

fn daemon(
    netns: &str,
    (data, logs): (&Path, &Path),
    program: &str,
    args: &[&str],
) -> Result<Process> {
    let name = program.rsplit('/').next().unwrap_or(program);
    let exec = Exec::new(Place::NamespaceRoot(netns.to_owned()), program)
        .args(args)
        .arg(format!("--unixctl={}", data.join(format!("{name}.ctl")).display()))
        .arg(format!("--pidfile={}", data.join(format!("{name}.pid")).display()))
        .args(["-vconsole:info", "-vsyslog:off", "-vfile:off"])
        .env("OVS_RUNDIR", data);
    Process::start(format!("{name} of {netns}"), exec, logs.join(format!("{name}.log")))
}
