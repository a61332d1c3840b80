//! Effects on the under cluster's API server.

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use cpo_api::{AddressPool, Eip, EipSpec, EipStatus, L2Advertisement, TenantCluster, names};
use cpo_core::effect::{Effect, Purpose, UnderEffect};
use cpo_core::engine::{Input, UnderObject};
use cpo_core::ids::{Install, Uid, Version};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{events, kinds, metallb, parse};
use crate::outbox::{ExecuteError, Executed, Executor};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Executes effects on the under cluster.
#[derive(Clone)]
pub(crate) struct UnderExecutor {
    client: Client,
    install: Install,
}

impl Executor for UnderExecutor {
    async fn execute(&self, effect: Effect) -> Executed {
        match effect {
            Effect::Under(effect) => self.under(effect).await,
            Effect::Tenant(_) | Effect::Ovn(_) => Ok(Vec::new()),
        }
    }
}

impl UnderExecutor {
    /// An executor that calls through `client`.
    pub(crate) const fn new(client: Client, install: Install) -> Self {
        Self { client, install }
    }

    fn api<K: Resource<DynamicType = (), Scope = ClusterResourceScope>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    async fn under(&self, effect: UnderEffect) -> Executed {
        match effect {
            UnderEffect::CreateOvnEip { name, purpose, pool, subnet, v4 } => {
                self.create_ovn_eip(&name, &purpose, &pool, subnet, v4).await
            }
            UnderEffect::LabelOvnEip { name, purpose } => {
                let patch = json!({"metadata": self.marks(&purpose)});
                let api = self.api::<kinds::OvnEip>();
                let object = merge("label OvnEip", &api, &name, patch, Subresource::None).await?;
                Ok(seen(object.map(parse::ovn_eip)))
            }
            UnderEffect::DeleteOvnEip { name, uid } => {
                let api = self.api::<kinds::OvnEip>();
                let object = delete("delete OvnEip", &api, &name, &uid, None).await?;
                let gone = UnderObject::OvnEipGone(name, uid);
                Ok(seen(Some(object.map_or(gone, parse::ovn_eip))))
            }
            UnderEffect::CreateEip { spec } => self.create_eip(spec).await,
            UnderEffect::BindEip { name, version, spec } => {
                let patch = eip_spec(version, &spec);
                let api = self.api::<Eip>();
                let object = merge("bind Eip", &api, &name, patch, Subresource::None).await?;
                Ok(seen(object.map(parse::eip)))
            }
            UnderEffect::PatchEipStatus { name, uid, version, status } => {
                let patch = eip_status(&uid, version, &status);
                let api = self.api::<Eip>();
                let what = "status of Eip";
                let object = merge(what, &api, &name, patch, Subresource::Status).await?;
                Ok(seen(object.map(parse::eip)))
            }
            UnderEffect::DeleteEip { name, uid, version } => {
                let api = self.api::<Eip>();
                delete("delete Eip", &api, &name, &uid, Some(version.to_string())).await?;
                Ok(seen(Some(UnderObject::EipGone(name, uid))))
            }
            UnderEffect::RaiseShield { name, create } => self.raise_shield(&name, create).await,
            // The watch alone tells of a TenantCluster: an answer that it overtakes would bring
            // back one that is gone, and a session with it.
            UnderEffect::PatchTenantStatus { name, status } => {
                let api = self.api::<TenantCluster>();
                let patch = replace_status(json!(status));
                let name = name.to_string();
                json_patch("status of TenantCluster", &api, &name, patch).await?;
                Ok(Vec::new())
            }
            UnderEffect::TenantFinalizer { name, version, finalizers } => {
                // A merge replaces the list: the version it was read from must still be there.
                let patch = json!({"metadata": {
                    "resourceVersion": version.to_string(),
                    "finalizers": finalizers,
                }});
                let api = self.api::<TenantCluster>();
                let (what, name) = ("finalizer of TenantCluster", name.to_string());
                merge(what, &api, &name, patch, Subresource::None).await?;
                Ok(Vec::new())
            }
            UnderEffect::TenantEvent { name, uid, reason, message } => {
                let event = events::on_tenant(name.as_str(), &uid, reason, message);
                let api = Api::namespaced(self.client.clone(), events::NAMESPACE);
                let what = "event on TenantCluster";
                create(what, &api, name.as_str(), &event, &[]).await?;
                Ok(Vec::new())
            }
            UnderEffect::RenderMetallb { namespace, name, owner, documents } => {
                let api = Api::namespaced(self.client.clone(), &namespace);
                metallb::render(&api, &name, (&self.install, &owner), &documents).await?;
                Ok(Vec::new())
            }
            UnderEffect::PatchAdvertisementStatus { name, status } => {
                let api = self.api::<L2Advertisement>();
                let patch = replace_status(json!(status));
                // The watch alone tells of it, as of a pool.
                json_patch("status of L2Advertisement", &api, &name, patch).await?;
                Ok(Vec::new())
            }
            UnderEffect::PatchPoolStatus { name, status } => {
                let api = self.api::<AddressPool>();
                let patch = replace_status(json!(status));
                // The watch alone tells of it, as above: an answer may be older than an edit.
                json_patch("status of AddressPool", &api, &name, patch).await?;
                Ok(Vec::new())
            }
        }
    }

    /// Labels and annotations of an `OvnEip` of ours.
    fn marks(&self, purpose: &Purpose) -> Value {
        let (tenant, key, value) = match purpose {
            Purpose::Service(service) => {
                (service.tenant().as_str(), names::ANNOTATION_SERVICE, service.to_string())
            }
            Purpose::Reserved { address, tenant } => {
                (tenant.as_str(), names::ANNOTATION_EIP, address.to_string())
            }
        };
        json!({
            "labels": {
                (names::LABEL_INSTALL): self.install.as_str(),
                (names::LABEL_TENANT): tenant,
            },
            "annotations": {(key): value},
        })
    }

    async fn create_ovn_eip(
        &self,
        name: &str,
        purpose: &Purpose,
        pool: &str,
        subnet: String,
        v4: Option<Ipv4Addr>,
    ) -> Executed {
        let spec = kinds::OvnEipSpec {
            external_subnet: subnet,
            v4_ip: v4.map(|v4| v4.to_string()).unwrap_or_default(),
            type_: "nat".to_owned(),
        };
        let mut object = kinds::OvnEip::new(name, spec);
        let marks = self.marks(purpose);
        object.metadata.labels = from_json(marks.get("labels"));
        object.metadata.annotations = from_json(marks.get("annotations"));
        let drawn_from = (names::ANNOTATION_POOL.to_owned(), pool.to_owned());
        object.annotations_mut().extend([drawn_from]);
        let api = self.api::<kinds::OvnEip>();
        Ok(seen(create("create OvnEip", &api, name, &object, &[]).await?.map(parse::ovn_eip)))
    }

    async fn create_eip(&self, spec: EipSpec) -> Executed {
        let name = spec.address.parse().map_or_else(|_| spec.address.clone(), Eip::name_of);
        let object = Eip::new(&name, spec);
        let api = self.api::<Eip>();
        Ok(seen(create("create Eip", &api, &name, &object, &[]).await?.map(parse::eip)))
    }

    /// The rule is marked ready in the same breath: until then Kube-OVN tries to program it.
    async fn raise_shield(&self, name: &str, needs_creation: bool) -> Executed {
        let api = self.api::<kinds::OvnDnatRule>();
        if needs_creation {
            let mut rule = kinds::OvnDnatRule::new(name, kinds::OvnDnatRuleSpec {});
            let label = (names::LABEL_INSTALL.to_owned(), self.install.to_string());
            rule.metadata.labels = Some([label].into());
            create("create OvnDnatRule", &api, name, &rule, &[409]).await?;
        }
        let patch = json!({"status": {"ready": true, "v4Ip": "0.0.0.0"}});
        let what = "status of OvnDnatRule";
        let object = merge(what, &api, name, patch, Subresource::Status).await?;
        Ok(seen(object.as_ref().map(parse::shield)))
    }
}

fn from_json<T: DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    value.and_then(|value| serde_json::from_value(value.clone()).ok())
}

fn seen(object: Option<UnderObject>) -> Vec<Input> {
    object.map(Input::Under).into_iter().collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Subresource {
    None,
    Status,
}

/// One call, in bounded time; `None` where the server answers with one of the `harmless` codes.
pub(super) async fn call<T>(
    what: &'static str,
    name: &str,
    harmless: &[u16],
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Option<T>, ExecuteError> {
    let name = name.to_owned();
    match timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(object)) => Ok(Some(object)),
        Ok(Err(kube::Error::Api(status))) if harmless.contains(&status.code) => Ok(None),
        Ok(Err(source)) => Err(ExecuteError::Kube { what, name, source: Box::new(source) }),
        Err(_) => Err(ExecuteError::Timeout { what, name }),
    }
}

trait Object: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned {}
impl<K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned> Object for K {}

async fn create<K: Object + serde::Serialize>(
    what: &'static str,
    api: &Api<K>,
    name: &str,
    object: &K,
    harmless: &[u16],
) -> Result<Option<K>, ExecuteError> {
    call(what, name, harmless, api.create(&PostParams::default(), object)).await
}

async fn merge<K: Object>(
    what: &'static str,
    api: &Api<K>,
    name: &str,
    patch: Value,
    subresource: Subresource,
) -> Result<Option<K>, ExecuteError> {
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    match subresource {
        Subresource::None => call(what, name, &[], api.patch(name, &params, &patch)).await,
        Subresource::Status => call(what, name, &[], api.patch_status(name, &params, &patch)).await,
    }
}

/// Operations (RFC 6902) that replace the whole status.
fn replace_status(status: Value) -> Value {
    json!([{"op": "add", "path": "/status", "value": status}])
}

/// A merge patch (RFC 7396) that replaces the spec of an `Eip`: what it has not is removed. What an
/// operator said of speakers holds for one withdrawal.
fn eip_spec(version: Version, spec: &EipSpec) -> Value {
    json!({
        "metadata": {
            "resourceVersion": version.to_string(),
            "annotations": {(names::ANNOTATION_WITHDRAWN): null},
        },
        "spec": spec.merge_patch(),
    })
}

/// A merge patch that writes the status of an `Eip`: without a version, our own part alone. (The API
/// server compares the version; a UID it would pass over.)
fn eip_status(uid: &Uid, version: Option<Version>, status: &EipStatus) -> Value {
    let EipStatus { conditions, announced_by, announcements, backends, ovn, released_at } = status;
    let mut metadata = json!({"uid": uid.as_str()});
    let mut fields = json!({
        "conditions": conditions,
        "announcedBy": announced_by,
        "backends": backends,
        "ovn": ovn,
    });
    if let Some(version) = version {
        extend(&mut metadata, json!({"resourceVersion": version.to_string()}));
        extend(&mut fields, json!({"announcements": announcements, "releasedAt": released_at}));
    }
    json!({"metadata": metadata, "status": fields})
}

/// Adds the fields of one mapping to another.
fn extend(into: &mut Value, fields: Value) {
    if let (Some(into), Value::Object(fields)) = (into.as_object_mut(), fields) {
        into.extend(fields);
    }
}

async fn json_patch<K: Object>(
    what: &'static str,
    api: &Api<K>,
    name: &str,
    operations: Value,
) -> Result<Option<K>, ExecuteError> {
    let patch = serde_json::from_value(operations).map_err(|error| ExecuteError::Kube {
        what,
        name: name.to_owned(),
        source: Box::new(kube::Error::SerdeError(error)),
    })?;
    let params = PatchParams::default();
    call(what, name, &[], api.patch_status(name, &params, &Patch::<()>::Json(patch))).await
}

/// Deletes one incarnation of an object; what is gone is success. Gives back the object while it
/// waits for its finalizers, `None` where it is gone.
async fn delete<K: Object>(
    what: &'static str,
    api: &Api<K>,
    name: &str,
    uid: &Uid,
    version: Option<String>,
) -> Result<Option<K>, ExecuteError> {
    let preconditions = Preconditions { uid: Some(uid.to_string()), resource_version: version };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let deleted = call(what, name, &[404], api.delete(name, &params)).await?;
    Ok(deleted.and_then(either::Either::left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_takes_away_what_it_has_not_and_what_an_operator_said_of_speakers() {
        let object: Eip = serde_json::from_value(json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "Eip",
            "metadata": {"name": "10.205.0.50"},
            "spec": {"address": "10.205.0.50", "mode": "Vlan", "tenant": {"name": "a"}, "vlan": {}},
        }))
        .unwrap();
        let patch = eip_spec(Version::parse(Some("7")), &object.spec);
        assert_eq!(patch.pointer("/spec/overlay"), Some(&Value::Null));
        assert_eq!(patch.pointer("/spec/sharing"), Some(&Value::Null));
        assert_eq!(patch.pointer("/spec/vlan/probe"), Some(&Value::Null));
        assert_eq!(patch.pointer("/spec/vlan/announce/l2"), Some(&json!([])));
        assert_eq!(patch.pointer("/metadata/resourceVersion"), Some(&json!("7")));
        let said = patch.pointer("/metadata/annotations").and_then(Value::as_object).unwrap();
        assert_eq!(said.get(names::ANNOTATION_WITHDRAWN), Some(&Value::Null));
    }

    #[test]
    fn a_status_is_released_at_one_version_alone_and_leaves_to_speakers_what_they_say() {
        let (uid, status) = (Uid::new("u"), EipStatus::default());
        let ours = eip_status(&uid, None, &status);
        let fields = ours.get("status").and_then(Value::as_object).unwrap();
        assert!(!fields.contains_key("announcements") && !fields.contains_key("releasedAt"));
        assert_eq!(fields.get("announcedBy"), Some(&Value::Null));
        let whole = eip_status(&uid, Some(Version::parse(Some("7"))), &status);
        assert_eq!(whole.pointer("/metadata/resourceVersion"), Some(&json!("7")));
        assert_eq!(whole.pointer("/status/announcements"), Some(&json!([])));
        assert_eq!(whole.pointer("/status/releasedAt"), Some(&Value::Null));
    }
}
