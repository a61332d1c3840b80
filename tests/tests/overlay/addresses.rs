//! Services get addresses, and the addresses answer.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use lab::builders::service;
use lab::traffic;

use crate::bed::{self, Bed};

pub(crate) async fn overlay_two_tenants_get_addresses_that_answer() -> Result<()> {
    let bed = Bed::start(2).await?;
    let lab = &bed.lab;
    for name in ["a", "b"] {
        let tenant = lab.tenant(name)?;
        for vm in ["vm1", "vm2"] {
            tenant.add_pod(&format!("web-{vm}"), vm, &[("app", "web")]).await?;
        }
        let eip = bed::create(tenant, &service("web").port(80).udp(53).build()).await?;
        for host in [lab.near(), lab.far()] {
            let mut nodes = BTreeSet::new();
            for _ in 0..24 {
                nodes.insert(traffic::get(host, &format!("http://{eip}/")).await?.node);
            }
            ensure!(nodes.len() == 2, "answers of tenant {name} came from {nodes:?} only");
            traffic::udp(host, eip, 53).await?;
        }
    }
    Ok(())
}
