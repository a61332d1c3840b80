//! Objects of the under cluster into the core's types. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cpo_api::{AddressPool, Eip, L2Advertisement, TenantCluster, TenantMode, names};
use cpo_core::engine::UnderObject;
use cpo_core::ids::{ServiceKey, TenantName, Uid, Version};
use cpo_core::tenant::{Access, SecretKey, TenantSpec, Vlan};
use cpo_core::under::{self, PoolSource, PoolTenants};
use ipnet::{Ipv4Net, Ipv6Net};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use pools::AddressRange;

use super::kinds;

fn uid(meta: &ObjectMeta) -> Uid {
    Uid::new(meta.uid.as_deref().unwrap_or_default())
}

fn version(meta: &ObjectMeta) -> Version {
    Version::parse(meta.resource_version.as_deref())
}

/// `metadata.creationTimestamp` in seconds of Unix time; an object without one is the oldest.
fn created(meta: &ObjectMeta) -> u64 {
    let seconds = meta.creation_timestamp.as_ref().map(|time| time.0.as_second());
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default()
}

/// An IPv4 address; Kube-OVN's empty string is none.
fn v4(text: &str) -> Option<Ipv4Addr> {
    text.parse().ok()
}

/// An IPv6 address; Kube-OVN's empty string is none.
fn v6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok()
}

/// A tenant; `None` where it is not ours to serve.
pub(crate) fn tenant_cluster(object: &TenantCluster) -> Option<UnderObject> {
    let name: TenantName = object.name_any().parse().ok()?;
    let (spec, meta) = (&object.spec, &object.metadata);
    let vlan = match spec.mode {
        TenantMode::Overlay => None,
        // Without it the API server takes none of that mode.
        TenantMode::Vlan => Some(spec.vlan.clone().unwrap_or_default()),
        TenantMode::Unmanaged => return unmanaged(name, object),
    };
    let classes = if spec.load_balancer_classes.is_empty() {
        vec![names::DEFAULT_CLASS.to_owned()]
    } else {
        spec.load_balancer_classes.clone()
    };
    let machine_labels = if spec.backends.match_labels.is_empty() {
        BTreeMap::from([(names::LABEL_CAPI_CLUSTER.to_owned(), name.to_string())])
    } else {
        spec.backends.match_labels.clone()
    };
    let finalizers = object.finalizers().iter().cloned();
    let (ours, others): (Vec<_>, Vec<_>) = finalizers.partition(|f| f == names::TENANT_FINALIZER);
    let parsed = TenantSpec {
        name: name.clone(),
        uid: uid(meta),
        version: version(meta),
        generation: meta.generation.unwrap_or_default(),
        labels: object.labels().clone(),
        deleting: meta.deletion_timestamp.is_some(),
        finalizer: !ours.is_empty(),
        other_finalizers: others,
        access: match &spec.kubeconfig {
            Some(kubeconfig) => Access::Kubeconfig(SecretKey {
                namespace: kubeconfig.secret_ref.namespace.clone(),
                name: kubeconfig.secret_ref.name.clone(),
                key: kubeconfig.secret_ref.key.clone(),
            }),
            // Without it the API server takes none but the under cluster.
            None => Access::InCluster,
        },
        created: created(meta),
        classes,
        claim_classless: spec.claim_classless,
        pools: spec.pools.clone(),
        vpc: spec.overlay.vpc.clone().filter(|_| vlan.is_none()),
        subnets: vlan.as_ref().map_or(&spec.overlay.subnets, |vlan| &vlan.subnets).clone(),
        vlan: vlan.as_ref().map(link),
        machine_namespace: spec.backends.namespace.clone(),
        machine_labels,
        quota: spec.quota.unwrap_or_default(),
        cleanup: spec.cleanup_policy,
        suspended: spec.suspend,
        acknowledged: object
            .annotations()
            .get(names::ANNOTATION_ACKNOWLEDGE)
            .and_then(|count| count.parse().ok()),
        status: object.status.clone().unwrap_or_default(),
    };
    Some(UnderObject::TenantCluster(name, Some(parsed)))
}

/// A tenant that serves its Services itself.
fn unmanaged(name: TenantName, object: &TenantCluster) -> Option<UnderObject> {
    let secret = &object.spec.kubeconfig.as_ref()?.secret_ref;
    let tenant = under::Unmanaged {
        uid: uid(&object.metadata),
        labels: object.labels().clone(),
        namespace: secret.namespace.clone(),
    };
    Some(UnderObject::Unmanaged(name, tenant))
}

/// The link of a tenant in VLAN mode. What cannot be read of it is not on the link. Addresses of
/// speakers are as little given to a Service as those of gateways.
fn link(vlan: &cpo_api::Vlan) -> Vlan {
    let gateways = vlan.gateway.iter().flat_map(|text| text.split(','));
    let speakers = vlan.speaker_addresses.iter().flat_map(|of| of.addresses.iter());
    let gateways = gateways.chain(speakers.map(String::as_str));
    Vlan {
        addresses: vlan.cidrs.iter().filter_map(|cidr| cidr.parse::<AddressRange>().ok()).collect(),
        gateways: gateways.filter_map(|text| text.trim().parse().ok()).collect(),
        interfaces: vlan.interfaces.iter().map(|of| of.name.clone()).collect(),
    }
}

/// A pool. What cannot be read of it makes it broken, and the first such thing is named.
pub(crate) fn pool(object: AddressPool) -> Option<UnderObject> {
    let name = object.name_any();
    let labels = object.labels().clone();
    let meta = &object.metadata;
    let (generation, created) = (meta.generation.unwrap_or_default(), created(meta));
    let spec = object.spec;
    let mut broken = None;
    let mut ranges = |field: &str, texts: &[String]| -> Vec<AddressRange> {
        let read = |(i, text): (usize, &String)| {
            let range = text.parse::<AddressRange>();
            range
                .map_err(|error| {
                    broken.get_or_insert_with(|| format!("spec.{field}[{i}]: {error}"))
                })
                .ok()
        };
        texts.iter().enumerate().filter_map(read).collect()
    };
    let source = match spec.ovn_subnet {
        Some(subnet) => PoolSource::Subnet(subnet),
        None => PoolSource::Ranges(ranges("addresses", &spec.addresses.unwrap_or_default())),
    };
    let pool = under::Pool {
        generation,
        labels,
        created,
        source,
        excludes: ranges("excludes", &spec.excludes),
        avoid_buggy_ips: spec.avoid_buggy_ips,
        auto_assign: spec.auto_assign,
        tenants: spec.tenants.map(|tenants| PoolTenants {
            names: tenants.names.into_iter().flatten().collect(),
            selector: tenants.selector.map(Into::into),
        }),
        allocation: spec.service_allocation.map(allocation),
        drain: spec.drain,
        delegated: spec.delegated,
        quarantine_seconds: spec.quarantine_seconds,
        broken,
        status: object.status.unwrap_or_default(),
    };
    Some(UnderObject::AddressPool(name, Some(pool)))
}

fn allocation(allocation: cpo_api::ServiceAllocation) -> pools::ServiceAllocation {
    pools::ServiceAllocation {
        priority: allocation.priority,
        namespaces: allocation.namespaces.into_iter().collect(),
        namespace_selectors: allocation.namespace_selectors.into_iter().map(Into::into).collect(),
        service_selectors: allocation.service_selectors.into_iter().map(Into::into).collect(),
    }
}

/// An `L2Advertisement`.
pub(crate) fn l2_advertisement(object: L2Advertisement) -> Option<UnderObject> {
    let name = object.name_any();
    let (generation, created) =
        (object.metadata.generation.unwrap_or_default(), created(&object.metadata));
    let spec = object.spec;
    let of = [
        ("ipAddressPoolSelectors", &spec.ip_address_pool_selectors),
        ("nodeSelectors", &spec.node_selectors),
        ("serviceSelectors", &spec.service_selectors),
    ];
    let broken = of.into_iter().find_map(|(field, all)| {
        let mut faults = all.iter().map(cpo_api::LabelSelector::fault).enumerate();
        faults.find_map(|(i, fault)| Some(format!("spec.{field}[{i}].{}", fault?)))
    });
    let selectors = |all: Vec<cpo_api::LabelSelector>| all.into_iter().map(Into::into).collect();
    let advertisement = under::Advertisement {
        generation,
        created,
        broken,
        interfaces: spec.interfaces.into_iter().collect(),
        status: object.status.unwrap_or_default(),
        pools: spec.ip_address_pools.into_iter().collect(),
        pool_selectors: selectors(spec.ip_address_pool_selectors),
        service_selectors: selectors(spec.service_selectors),
        delivery: spec.delivery,
        probe: spec.probe,
    };
    Some(UnderObject::L2Advertisement(name, Some(advertisement)))
}

/// When the speaker of each node wrote last. A node whose name is too long for the API server to
/// know its writer by is not among them.
fn said(meta: &ObjectMeta) -> BTreeMap<String, u64> {
    let written = meta.managed_fields.iter().flatten().filter_map(|by| {
        let node = by.manager.as_deref()?.strip_prefix(names::SPEAKER_WRITER)?;
        let seconds = u64::try_from(by.time.as_ref()?.0.as_second()).ok()?;
        Some((node.to_owned(), seconds))
    });
    written.collect()
}

/// An `Eip`.
pub(crate) fn eip(object: Eip) -> UnderObject {
    let name = object.name_any();
    let silenced = object.annotations().get(names::ANNOTATION_WITHDRAWN);
    let silenced = silenced.into_iter().flat_map(|nodes| nodes.split(','));
    let silenced = silenced.map(|node| node.trim().to_owned()).collect();
    let tenant = &object.spec.tenant.name;
    let owners = object.spec.services.iter();
    let owners = owners.filter_map(|s| format!("{tenant}/{}", s.key).parse().ok()).collect();
    let said = said(&object.metadata);
    let eip = under::Eip {
        uid: uid(&object.metadata),
        version: version(&object.metadata),
        generation: object.metadata.generation.unwrap_or_default(),
        created: created(&object.metadata),
        deleting: object.metadata.deletion_timestamp.is_some(),
        owners,
        silenced,
        said,
        spec: object.spec,
        status: object.status.unwrap_or_default(),
    };
    UnderObject::Eip(name, Some(eip))
}

/// An `OvnEip`.
pub(crate) fn ovn_eip(object: kinds::OvnEip) -> UnderObject {
    let name = object.name_any();
    let meta = &object.metadata;
    let annotation = object.annotations().get(names::ANNOTATION_SERVICE);
    let service: Option<ServiceKey> = annotation.and_then(|text| text.parse().ok());
    let labels = object.labels();
    let reserved = object.annotations().get(names::ANNOTATION_EIP);
    let reserved: Option<Ipv4Addr> = reserved.and_then(|text| text.parse().ok());
    let pool = object.annotations().get(names::ANNOTATION_POOL).cloned();
    let labelled = (service.is_some() || reserved.is_some())
        && labels.contains_key(names::LABEL_INSTALL)
        && labels.contains_key(names::LABEL_TENANT);
    let status = object.status.clone().unwrap_or_default();
    let eip = under::OvnEip {
        uid: uid(meta),
        version: version(meta),
        deleting: meta.deletion_timestamp.is_some(),
        created: meta.creation_timestamp.as_ref().map(|t| t.0),
        service,
        reserved,
        labelled,
        pool,
        subnet: object.spec.external_subnet.clone(),
        spec_v4: v4(&object.spec.v4_ip),
        status_v4: v4(&status.v4_ip),
        ready: status.ready,
    };
    UnderObject::OvnEip(name, Some(eip))
}

/// A `Subnet`.
pub(crate) fn subnet(object: kinds::Subnet) -> Option<UnderObject> {
    let name = object.name_any();
    let spec = object.spec;
    let parts = |text: &str| text.split(',').map(|p| p.trim().to_owned()).collect::<Vec<_>>();
    let cidr = parts(&spec.cidr_block).iter().find_map(|p| p.parse::<Ipv4Net>().ok());
    let cidr6 = parts(&spec.cidr_block).iter().find_map(|p| p.parse::<Ipv6Net>().ok());
    let gateways = parts(&spec.gateway).iter().filter_map(|p| p.parse::<IpAddr>().ok()).collect();
    let excludes = spec.exclude_ips.iter().filter_map(|p| p.parse::<AddressRange>().ok());
    let available = object.status.unwrap_or_default().v4_available;
    let subnet = under::Subnet {
        vpc: spec.vpc,
        cidr: cidr.map(|net| net.trunc()),
        cidr6: cidr6.map(|net| net.trunc()),
        gateways,
        excludes: excludes.collect(),
        available: whole(available),
        underlay: !spec.vlan.is_empty(),
    };
    Some(UnderObject::Subnet(name, Some(subnet)))
}

/// Kube-OVN counts addresses in floating point.
fn whole(count: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let whole = count.clamp(0.0, 9e15) as u64;
    whole
}

/// A `Vpc`: its router.
pub(crate) fn vpc(object: kinds::Vpc) -> Option<UnderObject> {
    let name = object.name_any();
    Some(UnderObject::Vpc(name, Some(object.status.unwrap_or_default().router)))
}

/// An `IP`.
pub(crate) fn ip(object: kinds::Ip) -> Option<UnderObject> {
    let name = object.name_any();
    let spec = object.spec;
    let ip = under::Ip {
        machine: spec.pod_name,
        namespace: spec.namespace,
        subnet: spec.subnet,
        v4: v4(&spec.v4_ip_address),
        v6: v6(&spec.v6_ip_address),
        mac: Some(spec.mac_address).filter(|mac| !mac.is_empty()),
        of_machine: spec.pod_type == "VirtualMachine",
    };
    Some(UnderObject::Ip(name, Some(ip)))
}

/// A Kube-OVN `Vip`.
pub(crate) fn vip(object: kinds::Vip) -> Option<UnderObject> {
    let status = object.status.as_ref()?;
    let v4 = v4(&status.v4ip).map(IpAddr::V4);
    let addresses: Vec<IpAddr> = v4.into_iter().chain(v6(&status.v6ip).map(IpAddr::V6)).collect();
    let name = object.name_any();
    (!addresses.is_empty()).then_some(UnderObject::Vip(name, Some(addresses)))
}

/// A node of the under cluster. Host names are of no concern.
pub(crate) fn node(object: Node) -> Option<UnderObject> {
    let name = object.name_any();
    let taints = object.spec.and_then(|spec| spec.taints).unwrap_or_default();
    let out_of_service = taints.iter().any(|taint| taint.key == names::TAINT_OUT_OF_SERVICE);
    let addresses = object.status.and_then(|status| status.addresses).unwrap_or_default();
    let addresses = addresses.iter().filter_map(|address| address.address.parse().ok()).collect();
    Some(UnderObject::Node(name, Some(under::Node { addresses, out_of_service })))
}

/// A `ServiceCIDR`.
pub(crate) fn service_cidr(object: ServiceCIDR) -> Option<UnderObject> {
    let name = object.name_any();
    let cidrs = object.spec.and_then(|spec| spec.cidrs).unwrap_or_default();
    let ranges = cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect();
    Some(UnderObject::ServiceCidr(name, Some(ranges)))
}

/// A `VirtualMachine`.
pub(crate) fn machine(object: kinds::VirtualMachine) -> Option<UnderObject> {
    let id = (object.namespace().unwrap_or_default(), object.name_any());
    let labels = object.labels().clone();
    Some(UnderObject::Machine(id, Some(under::Machine { labels })))
}

/// A `VirtualMachineInstance`.
pub(crate) fn instance(object: kinds::VirtualMachineInstance) -> Option<UnderObject> {
    let id = (object.namespace().unwrap_or_default(), object.name_any());
    let runs = object.status.unwrap_or_default().phase == "Running"
        && object.metadata.deletion_timestamp.is_none();
    Some(UnderObject::Instance(id, Some(runs)))
}

/// The shield.
pub(crate) fn shield(object: &kinds::OvnDnatRule) -> UnderObject {
    let ready = object.status.as_ref().is_some_and(|s| s.ready && !s.v4_ip.is_empty());
    UnderObject::Shield(if ready { under::Shield::Up } else { under::Shield::Unready })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
