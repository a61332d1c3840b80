//! Events on our own objects, for operators.

use cpo_api::{TenantCluster, names};
use cpo_core::ids::Uid;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource as _;

/// Events on objects without a namespace live here.
pub(super) const NAMESPACE: &str = "default";

/// An Event on a `TenantCluster`, with a name of its own.
pub(super) fn on_tenant(name: &str, uid: &Uid, reason: &str, message: String) -> Event {
    let now = Some(Time(jiff::Timestamp::now()));
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}.")),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(TenantCluster::api_version(&()).into_owned()),
            kind: Some(TenantCluster::kind(&()).into_owned()),
            name: Some(name.to_owned()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        },
        reason: Some(reason.to_owned()),
        message: Some(message),
        type_: Some("Warning".to_owned()),
        source: Some(EventSource { component: Some(names::EVENT_SOURCE.into()), host: None }),
        reporting_component: Some(names::EVENT_SOURCE.into()),
        first_timestamp: now.clone(),
        last_timestamp: now,
        count: Some(1),
        ..Event::default()
    }
}
