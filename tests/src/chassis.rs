//! The gateway chassis: OVS with a userspace datapath and ovn-controller in one namespace.

use anyhow::Result;

use crate::netns::Netns;
use crate::ovn::Ovn;
use crate::process::Process;
use crate::space::Space;
use crate::switch::Switch;

/// Name of the chassis, its Node and its host name: kube-ovn-controller deletes a Chassis whose
/// host name is no Node's.
pub const GATEWAY: &str = "gw1";

/// A gateway chassis.
#[derive(Debug)]
pub struct Chassis {
    controller: Process,
    switch: Switch,
    netns: Netns,
}

impl Chassis {
    /// Starts the chassis with `br-int` and `br-external`.
    ///
    /// # Errors
    /// When a component does not start.
    pub async fn start(space: &Space, ovn: &Ovn) -> Result<Self> {
        let netns = Netns::new(space.namespace(GATEWAY)).await?;
        let (data, logs) = (space.data().join(GATEWAY), space.dir().join(GATEWAY));
        let switch = Switch::start(&netns, data, logs).await?;
        configure(&netns, &switch, ovn).await?;
        let controller = switch.daemon("ovn-controller", &[&switch.socket(), "--no-chdir"])?;
        let chassis = Self { controller, switch, netns };
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
        self.switch.vswitchd()
    }

    /// Runs `ovs-vsctl` with words separated by spaces and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub async fn vsctl(&self, words: &str) -> Result<String> {
        self.switch.vsctl(words).await
    }

    /// Runs `ovs-ofctl <command> <bridge>`, for example `dump-flows br-int`.
    ///
    /// # Errors
    /// When it fails.
    pub async fn ofctl(&self, command: &str, bridge: &str) -> Result<String> {
        self.switch.ofctl(command, bridge).await
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

async fn configure(netns: &Netns, switch: &Switch, ovn: &Ovn) -> Result<()> {
    let ids = [
        ("system-id", GATEWAY.to_owned()),
        ("hostname", GATEWAY.to_owned()),
        ("ovn-remote", ovn.southbound()?.socket()),
        ("ovn-encap-type", "geneve".to_owned()),
        ("ovn-encap-ip", "127.0.0.1".to_owned()),
        ("ovn-bridge-datapath-type", "netdev".to_owned()),
        ("ovn-bridge-mappings", "external:br-external".to_owned()),
    ];
    let exec = netns.exec_root("ovs-vsctl").arg(format!("--db={}", switch.socket()));
    let set = exec.args(["--timeout=20", "set", "Open_vSwitch", "."]);
    // A colon in a value is quoted for ovs-vsctl.
    set.args(ids.map(|(key, value)| format!("external_ids:{key}=\"{value}\""))).output().await?;
    Ok(())
}
