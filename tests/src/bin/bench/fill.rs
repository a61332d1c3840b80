//! Thousands of Services at once, with addresses that Kube-OVN has granted before: as after a
//! restore of both clusters, so that the filling waits for nobody's allocator.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use cpo_api::names;
use cpo_core::ids::{Install, ServiceKey, Uid};
use cpo_core::plan::ovn_eip_name;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use lab::Lab;
use lab::overlay::Tenant;
use serde_json::json;

use crate::single;

/// Far above what Kube-OVN draws by itself.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 64, 128, 0);
/// Calls to an API server at a time.
const CALLS: usize = 16;

/// Writes that many Services, built from their names, and an OvnEip for each.
pub(crate) async fn fill(
    lab: &Lab,
    tenant: &Tenant,
    count: usize,
    build: fn(&str) -> Service,
) -> Result<()> {
    // It takes granted OvnEips over when it starts.
    lab.kube_ovn().process().kill().await?;
    ovn_eips(lab, tenant, count).await?;
    lab.kube_ovn().process().start_again()?;
    services(tenant, count, build).await?;
    lab.kube_ovn().wait_ready(lab.under()).await
}

fn name(number: usize) -> String {
    format!("crowd-{number}")
}

async fn ovn_eips(lab: &Lab, tenant: &Tenant, count: usize) -> Result<()> {
    let clusters = lab.under().api("cloud-provider-ovn.io/v1alpha1", "TenantCluster", "").await?;
    let uid = Uid::new(&clusters.get(tenant.name()).await?.uid().context("no UID")?);
    let install: Install = "default".parse()?;
    let api = lab.under().api("kubeovn.io/v1", "OvnEip", "").await?;
    let tenant = tenant.name().parse()?;
    let create = async |number: usize| {
        let key = ServiceKey::new(&tenant, "default", &name(number))?;
        let name = ovn_eip_name(&install, &uid, &key);
        let offset = u32::try_from(number)?;
        let address = Ipv4Addr::from(u32::from(FIRST_ADDRESS) + offset);
        let [_, _, c, d] = address.octets();
        let mac = format!("00:00:00:00:{c:02x}:{d:02x}");
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "kubeovn.io/v1", "kind": "OvnEip",
            "metadata": {
                "name": name,
                "labels": {
                    (names::LABEL_INSTALL): "default", (names::LABEL_TENANT): tenant.to_string(),
                },
                "annotations": {(names::ANNOTATION_SERVICE): key.to_string()},
            },
            "spec": {
                "externalSubnet": "external", "type": "nat", "v4Ip": address, "macAddress": mac,
            },
        }))?;
        api.create(&PostParams::default(), &object).await?;
        let status = json!({"status": {
            "v4Ip": address, "macAddress": mac, "type": "nat", "ready": true,
        }});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        anyhow::Ok(())
    };
    stream::iter(0..count).map(create).buffer_unordered(CALLS).try_collect::<()>().await
}

async fn services(tenant: &Tenant, count: usize, build: fn(&str) -> Service) -> Result<()> {
    let api = single::services(tenant);
    let create = async |number| {
        api.create(&PostParams::default(), &build(&name(number))).await?;
        anyhow::Ok(())
    };
    stream::iter(0..count).map(create).buffer_unordered(CALLS).try_collect::<()>().await
}
