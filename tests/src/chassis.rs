//! The gateway chassis: OVS with a userspace datapath and ovn-controller in one namespace.

use std::path::PathBuf;

use anyhow::Result;

use crate::exec::{Exec, Place};
use crate::netns::Netns;
use crate::ovn::{self, Ovn};
use crate::process::Process;
use crate::space::Space;

/// Name of the chassis, its Node and its host name: kube-ovn-controller deletes a Chassis whose
/// host name is no Node's.
pub const GATEWAY: &str = "gw1";

/// A gateway chassis.
#[derive(Debug)]
pub struct Chassis {
    controller: Process,
    vswitchd: Process,
    // Held for its end at drop.
    _database: Process,
    netns: Netns,
    data: PathBuf,
}

impl Chassis {
    /// Starts the chassis with `br-int` and `br-external`.
    ///
    /// # Errors
    /// When a component does not start.
    pub async fn start(space: &Space, ovn: &Ovn) -> Result<Self> {
        let netns = Netns::new(space.namespace(GATEWAY)).await?;
        let data = space.data().join(GATEWAY);
        std::fs::create_dir_all(&data)?;
        let daemon = Daemon { netns: &netns, data: &data, space };

        let file = data.join("conf.db").display().to_string();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        netns.exec_root("ovsdb-tool").args(["create", &file, schema]).output().await?;
        let remote = format!("--remote=punix:{}", data.join("db.sock").display());
        let database = daemon.start("ovsdb-server", &[&file, &remote, "--no-chdir"])?;
        ovn::answers(&data.join("db.sock")).await?;
        let socket = format!("unix:{}", data.join("db.sock").display());
        configure(&netns, &socket, ovn).await?;

        let vswitchd = daemon
            .start("/usr/lib/openvswitch-switch/ovs-vswitchd", &[&socket, "--disable-system"])?;
        let controller = daemon.start("ovn-controller", &[&socket, "--no-chdir"])?;
        let chassis = Self { controller, vswitchd, _database: database, netns, data };
        chassis
            .vsctl("--may-exist add-br br-int -- set bridge br-int datapath_type=netdev fail-mode=secure")
            .await?;
        chassis
            .vsctl("--may-exist add-br br-external -- set bridge br-external datapath_type=netdev")
            .await?;
        Ok(chassis)
    }

    /// The chassis' network namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// ovn-controller.
    pub fn controller(&self) -> &Process {
        &self.controller
    }

    /// ovs-vswitchd.
    pub fn vswitchd(&self) -> &Process {
        &self.vswitchd
    }

    /// Runs `ovs-vsctl` with words separated by spaces and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub async fn vsctl(&self, words: &str) -> Result<String> {
        let db = format!("--db=unix:{}", self.data.join("db.sock").display());
        let exec = self.netns.exec_root("ovs-vsctl").args([db.as_str(), "--timeout=20"]);
        exec.args(words.split_whitespace()).output().await
    }

    /// Runs `ovs-ofctl <command> <bridge>`, for example `dump-flows br-int`.
    ///
    /// # Errors
    /// When it fails.
    pub async fn ofctl(&self, command: &str, bridge: &str) -> Result<String> {
        let target = format!("unix:{}", self.data.join(format!("{bridge}.mgmt")).display());
        self.netns.exec_root("ovs-ofctl").args([command, target.as_str()]).output().await
    }

    /// Puts the link `name` of this namespace on `bridge`; with `interface`, as the logical port of
    /// that name.
    ///
    /// # Errors
    /// When `ovs-vsctl` fails.
    pub async fn plug(&self, bridge: &str, name: &str, interface: Option<&str>) -> Result<()> {
        let mut words = format!("--may-exist add-port {bridge} {name}");
        if let Some(interface) = interface {
            words += &format!(" -- set interface {name} external_ids:iface-id={interface}");
        }
        self.vsctl(&words).await.map(|_| ())
    }

    /// Takes the link `name` off its bridge.
    ///
    /// # Errors
    /// When `ovs-vsctl` fails.
    pub async fn unplug(&self, name: &str) -> Result<()> {
        self.vsctl(&format!("--if-exists del-port {name}")).await.map(|_| ())
    }
}

struct Daemon<'a> {
    netns: &'a Netns,
    data: &'a PathBuf,
    space: &'a Space,
}

impl Daemon<'_> {
    fn start(&self, program: &str, args: &[&str]) -> Result<Process> {
        let name = program.rsplit('/').next().unwrap_or(program);
        let control = self.data.join(format!("{name}.ctl"));
        let exec = Exec::new(Place::NamespaceRoot(self.netns.name().to_owned()), program)
            .args(args)
            .arg(format!("--unixctl={}", control.display()))
            .arg(format!("--pidfile={}", self.data.join(format!("{name}.pid")).display()))
            .args(["-vconsole:info", "-vsyslog:off", "-vfile:off"])
            .env("OVS_RUNDIR", self.data);
        let log = self.space.dir().join(format!("{GATEWAY}/{name}.log"));
        Process::start(format!("{name} of {GATEWAY}"), exec, log)
    }
}

async fn configure(netns: &Netns, socket: &str, ovn: &Ovn) -> Result<()> {
    let ids = [
        ("system-id", GATEWAY.to_owned()),
        ("hostname", GATEWAY.to_owned()),
        ("ovn-remote", ovn.southbound()?.socket()),
        ("ovn-encap-type", "geneve".to_owned()),
        ("ovn-encap-ip", "127.0.0.1".to_owned()),
        ("ovn-bridge-datapath-type", "netdev".to_owned()),
        ("ovn-bridge-mappings", "external:br-external".to_owned()),
    ];
    let db = format!("--db={socket}");
    let exec = netns.exec_root("ovs-vsctl").args([db.as_str(), "--no-wait"]);
    exec.clone().arg("init").output().await?;
    let set = exec.args(["set", "Open_vSwitch", "."]);
    // A colon in a value is quoted for ovs-vsctl.
    set.args(ids.map(|(key, value)| format!("external_ids:{key}=\"{value}\""))).output().await?;
    Ok(())
}
