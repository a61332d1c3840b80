//! Services get addresses, and the addresses answer.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use lab::builders::service;
use lab::netns::Host;
use lab::overlay::Tenant;
use lab::{Lab, traffic, wait};
use serde_json::Value;

use crate::bed::{self, Bed, SOON};
use crate::seen;

/// Questions that reach every pod of two, unless one is left out.
const QUESTIONS: usize = 24;

pub(crate) async fn overlay_two_tenants_get_addresses_that_answer() -> Result<()> {
    let bed = Bed::start(2).await?;
    let lab = &bed.lab;
    let mut given = BTreeSet::new();
    for tenant in lab.tenants() {
        for vm in ["vm1", "vm2"] {
            let pod = format!("{}-web-{vm}", tenant.name());
            tenant.add_pod(&pod, vm, &[("app", "web")]).await?;
        }
        let eip = bed::create(tenant, &service("web").port(80).udp(53).build()).await?;
        ensure!(given.insert(eip), "both tenants were given {eip}");
    }
    for tenant in lab.tenants() {
        let service = bed::services(tenant).get("web").await?;
        let eip = bed::published(&service).context("no address")?;
        both_machines_see_the_client_and_their_own_pods_answer(lab, tenant, &service, eip).await?;
        status_tells_all(tenant, &service, eip).await?;
        operator_sees_the_address(lab, tenant, eip).await?;
        pods_see_the_client_with_local_policy(lab, tenant).await?;
    }
    let tenant = lab.tenant("a")?;
    sctp_has_its_row(lab, tenant).await?;
    affinity_sticks(lab, tenant).await
}

async fn both_machines_see_the_client_and_their_own_pods_answer(
    lab: &Lab,
    tenant: &Tenant,
    service: &Service,
    eip: Ipv4Addr,
) -> Result<()> {
    let vms = tenant.vms().await;
    for host in [lab.near(), lab.far()] {
        let mut pods = BTreeSet::new();
        for vm in &vms {
            vm.forget_hits().await?;
        }
        for _ in 0..QUESTIONS {
            pods.insert(traffic::get(host, &format!("http://{eip}/")).await?.pod);
            pods.insert(traffic::udp(host, eip, 53).await?.pod);
        }
        let own = ["vm1", "vm2"].map(|vm| format!("{}-web-{vm}", tenant.name()));
        ensure!(pods == BTreeSet::from(own), "{eip} was answered by {pods:?}");
        for vm in &vms {
            let hits = vm.hits().await?;
            for (protocol, port) in [("tcp", 80), ("udp", 53)] {
                let node_port = seen::node_port(service, port)?;
                let hits = hits.iter().filter(|h| h.port == node_port && h.protocol == protocol);
                let sources: BTreeSet<_> = hits.map(|hit| hit.source).collect();
                let expected = BTreeSet::from([host.address()]);
                ensure!(sources == expected, "{} saw {protocol} from {sources:?}", vm.name());
            }
        }
    }
    Ok(())
}

async fn status_tells_all(tenant: &Tenant, service: &Service, eip: Ipv4Addr) -> Result<()> {
    let status = serde_json::to_value(&service.status)?;
    let ingress = status.pointer("/loadBalancer/ingress").context("no ingress")?;
    let expected = serde_json::json!([{
        "ip": eip.to_string(), "ipMode": "VIP",
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 80, "protocol": "TCP"}],
    }]);
    ensure!(*ingress == expected, "{ingress}");
    for kind in ["AddressAssigned", "Programmed"] {
        let condition = seen::condition(service, kind);
        ensure!(condition.as_ref().is_some_and(|(holds, ..)| *holds), "{kind}: {condition:?}");
    }
    seen::events_come(tenant, "web", &["IPAllocated", "EnsuredLoadBalancer"]).await
}

async fn operator_sees_the_address(lab: &Lab, tenant: &Tenant, eip: Ipv4Addr) -> Result<()> {
    let ready = |object: &kube::api::DynamicObject| {
        let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    let api = seen::eips(lab).await?;
    let object = wait::for_object(&api, &eip.to_string(), "to be ready", SOON, ready).await?;
    for (pointer, expected) in [
        ("/spec/tenant/name", tenant.name()),
        ("/spec/services/0/key", "default/web"),
        ("/spec/pool", "public"),
        ("/spec/mode", "Overlay"),
        ("/spec/overlay/router", &tenant.vpc()),
        ("/status/backends/summary", "2/2"),
    ] {
        let value = object.data.pointer(pointer).and_then(Value::as_str);
        ensure!(value == Some(expected), "{pointer} is {value:?}, not {expected}");
    }
    let name = seen::ovn_eip_of(lab, eip).await?;
    let ovn_eip = seen::ovn_eips(lab).await?.get(&name).await?;
    ensure!(ovn_eip.data.pointer("/status/v4Ip") == Some(&eip.to_string().into()), "{ovn_eip:?}");
    Ok(())
}

async fn pods_see_the_client_with_local_policy(lab: &Lab, tenant: &Tenant) -> Result<()> {
    let local = service("web-local").selector("app", "web").port(80).local().build();
    let eip = bed::create(tenant, &local).await?;
    for host in [lab.near(), lab.far()] {
        for _ in 0..QUESTIONS {
            let answer = traffic::get(host, &format!("http://{eip}/")).await?;
            ensure!(answer.client_address.ip() == host.address(), "{answer:?}");
        }
    }
    Ok(())
}

/// The machine's kernel may have no SCTP: what is seen is the row.
async fn sctp_has_its_row(lab: &Lab, tenant: &Tenant) -> Result<()> {
    let sctp = service("signal").selector("app", "web").port(3868).spec(|spec| {
        for port in spec.ports.iter_mut().flatten() {
            port.protocol = Some("SCTP".to_owned());
        }
    });
    let eip = bed::create(tenant, &sctp.build()).await?;
    let node_port = seen::node_port(&bed::services(tenant).get("signal").await?, 3868)?;
    let targets = seen::targets(tenant, &["vm1", "vm2"], node_port).await?;
    seen::vips_become(lab, "a/default/signal", "sctp", &[(format!("{eip}:3868"), targets)]).await?;
    let rows = seen::rows_of(lab, "a/default/signal").await?;
    let attached = seen::attached(lab, &tenant.vpc()).await?;
    ensure!(rows.len() == 1 && rows.iter().all(|row| attached.contains(&row.uuid)), "{rows:?}");
    Ok(())
}

async fn affinity_sticks(lab: &Lab, tenant: &Tenant) -> Result<()> {
    let sticky = service("sticky").selector("app", "web").port(80).affinity(600).build();
    let eip = bed::create(tenant, &sticky).await?;
    let row = seen::rows_of(lab, "a/default/sticky").await?.pop().context("no row")?;
    let timeout = row.options.get("affinity_timeout").map(String::as_str);
    ensure!(timeout == Some("600"), "{row:?}");
    ensure!(row.selection_fields == BTreeSet::from(["ip_src".to_owned()]), "{row:?}");
    let node_port = seen::node_port(&bed::services(tenant).get("sticky").await?, 80)?;
    for host in [lab.near(), lab.far()] {
        let host: &Host = host;
        let reached = seen::reached(tenant, host, eip, 80, node_port).await?;
        ensure!(reached.len() == 1, "{} reached {reached:?}", host.address());
    }
    Ok(())
}
