//! What every part of the bed knows of an address that does not answer, for whoever looks into it
//! when the bed is gone.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use anyhow::Result;

use crate::Lab;

impl Lab {
    /// Writes what is known of an address beside the logs, and gives the name of the file.
    ///
    /// # Errors
    /// When it cannot be written. What cannot be asked is told in the file.
    pub async fn picture(&self, eip: Ipv4Addr) -> Result<std::path::PathBuf> {
        let mut picture = String::new();
        let mut add = |what: &str, told: Result<String>| {
            let told = told.unwrap_or_else(|error| format!("{error:#}"));
            let _ = writeln!(picture, "== {what}\n{told}");
        };
        add("load balancers, northbound", self.nb(["list", "load_balancer"]).await);
        add("load balancers, southbound", self.ovn.sb(["list", "load_balancer"]).await);
        add("generation, northbound", self.nb(["list", "nb_global"]).await);
        add("generation, southbound", self.ovn.sb(["list", "sb_global"]).await);
        add("ports, southbound", self.ovn.sb(["list", "port_binding"]).await);
        for tenant in &self.tenants {
            let vpc = tenant.vpc();
            for command in ["lr-lb-list", "lr-route-list", "lr-policy-list"] {
                add(&format!("{command} {vpc}"), self.nb([command, vpc.as_str()]).await);
            }
            let flows = self.ovn.sb(["lflow-list", vpc.as_str()]).await;
            let about = |flows: String| {
                let about =
                    |line: &&str| line.contains(&eip.to_string()) || line.contains("lr_in_policy");
                flows.lines().filter(about).collect::<Vec<_>>().join("\n")
            };
            add(&format!("logical flows of {vpc}"), flows.map(about));
            for vm in tenant.vms().await {
                let netns = vm.host().netns();
                let rules = netns.exec_root("nft").args(["list", "table", "ip", "kube-proxy"]);
                add(&format!("kube-proxy on {vpc} {}", vm.name()), rules.output().await);
                add(&format!("neighbours of {vpc} {}", vm.name()), netns.ip("neigh").await);
            }
        }
        let numbers = eip.octets().iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let flows = self.chassis.ofctl("dump-flows", "br-int").await;
        let about = |flows: String| {
            let number = format!("0x{}", numbers.trim_start_matches('0'));
            let about =
                flows.lines().filter(|l| l.contains(&eip.to_string()) || l.contains(&number));
            about.collect::<Vec<_>>().join("\n")
        };
        add("flows about the address", flows.map(about));
        add("neighbours of the near client", self.near().netns().ip("neigh").await);
        add("neighbours of the router", self.router().netns().ip("neigh").await);
        let path = self.run_dir()?.join("picture.txt");
        std::fs::write(self.space.dir().join("picture.txt"), picture)?;
        Ok(path)
    }
}
