//! What is in the lab before there is a speaker.

use anyhow::{Result, ensure};
use lab::overlay::{Mode, Tenant};
use lab::process::Process;
use lab::{Lab, wait};
use serde_json::{Value, json};

use crate::bed::{SOON, TENANTS};
use crate::leftovers::Ground;

/// kube-proxy of the under cluster on each node, as on real ones, and what is there then.
pub(crate) async fn under_proxies(lab: &Lab) -> Result<(Vec<Process>, Vec<Ground>)> {
    let mut proxies = Vec::new();
    for node in lab.lans()?.nodes() {
        proxies.push(node.start_proxy(lab.space(), lab.under(), Mode::Iptables)?);
    }
    let mut grounds = Vec::new();
    for node in lab.lans()?.nodes() {
        let netns = node.netns();
        wait::until(&format!("kube-proxy on {}", node.name()), SOON, || async {
            let rules = netns.exec_root("iptables-save").output().await?;
            ensure!(rules.contains("KUBE-FORWARD -m conntrack --ctstate INVALID"), "{rules}");
            Ok(())
        })
        .await?;
        grounds.push(Ground::of(netns).await?);
    }
    Ok((proxies, grounds))
}

/// What announces the pools: by one way of delivery, and by the other.
pub(crate) fn advertisements() -> [Value; 2] {
    let names = |first: &str| TENANTS.map(|tenant| format!("{first}{tenant}"));
    let object = |name: &str, spec: Value| {
        json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
            "metadata": {"name": name}, "spec": spec,
        })
    };
    [
        object("routed", json!({"ipAddressPools": names("pool-")})),
        object("direct", json!({"ipAddressPools": names("direct-"), "delivery": "Direct"})),
    ]
}

/// A tenant's pools. Those of `c` are on the VLAN of `a` as well, as far as addresses tell.
pub(crate) fn pools(tenant: &Tenant) -> Result<[Value; 2]> {
    let (name, lan) = (tenant.name(), tenant.lan()?);
    let (routed, direct) =
        if name == "c" { ([100, 119], [120, 129]) } else { ([50, 79], [80, 89]) };
    let pool = |kind: &str, [first, last]: [u8; 2], auto: bool| {
        json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
            "metadata": {"name": format!("{kind}-{name}")},
            "spec": {
                "addresses": [
                    format!("{}-{}", lan.address(first), lan.address(last)),
                    format!("{}-{}", lan.address6(first.into()), lan.address6(last.into())),
                ],
                "quarantineSeconds": 3, "tenants": {"names": [name]}, "autoAssign": auto,
            },
        })
    };
    Ok([pool("pool", routed, true), pool("direct", direct, false)])
}
