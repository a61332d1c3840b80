//! The ConfigMap from which a tenant's own MetalLB takes its objects.

use cpo_api::{TenantCluster, names};
use cpo_core::effect::Owner;
use cpo_core::ids::Install;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource as _};
use serde_json::{Value, json};

use super::execute::call;
use crate::outbox::ExecuteError;

/// The key of its one text.
const KEY: &str = "metallb.yaml";
/// Who applies it.
const FIELD_MANAGER: &str = "cloud-provider-ovn";

/// Writes these objects into a ConfigMap, as YAML, unless it holds them already.
pub(super) async fn render(
    api: &Api<ConfigMap>,
    name: &str,
    (install, owner): (&Install, &Owner),
    documents: &[Value],
) -> Result<(), ExecuteError> {
    let what = "ConfigMap for MetalLB";
    // Who is left nothing may not have given us the right to tell.
    let harmless: &[u16] = if documents.is_empty() { &[403, 404] } else { &[404] };
    let found = call(what, name, harmless, api.get(name)).await?;
    let text = yaml(documents);
    let held = found.and_then(|found| found.data).and_then(|mut data| data.remove(KEY));
    if held.unwrap_or_default() == text {
        return Ok(());
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": {
                (names::LABEL_INSTALL): install.as_str(),
                (names::LABEL_TENANT): owner.name.as_str(),
            },
            // It ends with its TenantCluster.
            "ownerReferences": [{
                "apiVersion": TenantCluster::api_version(&()),
                "kind": TenantCluster::kind(&()),
                "name": owner.name.as_str(),
                "uid": owner.uid.as_str(),
            }],
        },
        "data": {(KEY): text},
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    call(what, name, &[], api.patch(name, &params, &Patch::Apply(object))).await?;
    Ok(())
}

/// Objects as YAML documents.
fn yaml(documents: &[Value]) -> String {
    let texts = documents.iter().filter_map(|document| serde_saphyr::to_string(document).ok());
    texts.map(|text| format!("---\n{}\n", text.trim_end())).collect()
}
