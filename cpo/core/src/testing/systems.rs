//! The API servers, Kube-OVN and the Northbound database as a model: each obeys, and refuses to
//! break what must never break, so that every test that runs it proves the order of effects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

use cpo_api::{AnnouncementState, Condition, EipAnnouncement, EipSpec, EipStatus, names};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{key, version};
use crate::effect::{Effect, LbEdit, Purpose, TenantEffect, UnderEffect};
use crate::ids::{ServiceKey, Uid, Version};
use crate::ovn::{self, LoadBalancer, RowChange};
use crate::rows;
use crate::service::{Ingress, Protocol};
use crate::under::{Eip, OvnEip, Shield};
use crate::world::World;

/// What an effect came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The system took it.
    Done,
    /// The system refused it: what it relied on has changed.
    Refused,
}

fn fresh() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1 << 32);
    LAST.fetch_add(1, Ordering::Relaxed)
}

fn fresh_uid() -> Uid {
    Uid::new(&format!("uid-{}", fresh()))
}

pub(crate) fn next(before: Version) -> Version {
    version(before.to_string().parse::<u64>().unwrap() + 1)
}

/// Executes one effect on the world as the systems would.
pub(crate) fn apply_effect(world: &mut World, effect: &Effect) -> Applied {
    match effect {
        Effect::Tenant(TenantEffect::PatchService { key, patch }) => {
            patch_service(world, key, patch)
        }
        Effect::Tenant(TenantEffect::Event(_)) => Applied::Done,
        Effect::Under(effect) => under(world, effect),
        Effect::Ovn(edits) => {
            edits.iter().for_each(|edit| check_edit(world, edit));
            apply_edits(world, edits)
        }
    }
}

fn patch_service(world: &mut World, key: &ServiceKey, patch: &Value) -> Applied {
    let live = rows::withdraw(&world.ovn, key);
    let Some(tenant) = world.tenants.get_mut(key.tenant()) else { return Applied::Refused };
    let Some(service) = tenant.services.get_mut(key) else { return Applied::Refused };
    let metadata = &patch["metadata"];
    if metadata["uid"] != service.uid.as_str() {
        return Applied::Refused;
    }
    service.version = next(service.version);
    if metadata["finalizers"].is_array() {
        assert!(!service.deleting, "a finalizer cannot be added to what is being deleted");
        service.finalizer = true;
    }
    if metadata["$deleteFromPrimitiveList/finalizers"].is_array() {
        assert!(live.is_empty(), "{key} is let go while it is on the network");
        service.finalizer = false;
    }
    let status = &patch["status"];
    if let Some(ingress) = status["loadBalancer"].get("ingress") {
        service.status.ingress = match ingress.as_array() {
            None => Vec::new(),
            Some(entries) => {
                assert!(service.load_balancer, "422: a status on what is no load balancer");
                entries.iter().map(ingress_of).collect()
            }
        };
    }
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let conditions = &mut service.status.conditions;
        conditions.retain(|c| condition["type"] != c.type_);
        if condition["$patch"].is_null() {
            conditions.push(serde_json::from_value::<Condition>(condition.clone()).unwrap());
        }
    }
    if service.deleting && !service.finalizer {
        tenant.services.remove(key);
    }
    Applied::Done
}

fn ingress_of(entry: &Value) -> Ingress {
    assert_eq!(entry["ipMode"], "VIP");
    let port = |p: &Value| {
        let number = u16::try_from(p["port"].as_u64().unwrap()).unwrap();
        (number, Protocol::parse(p["protocol"].as_str().unwrap()).unwrap())
    };
    Ingress {
        ip: entry["ip"].as_str().unwrap().into(),
        ports: entry["ports"].as_array().unwrap().iter().map(port).collect(),
        ..Ingress::default()
    }
}

fn under(world: &mut World, effect: &UnderEffect) -> Applied {
    let under = &mut world.under;
    match effect {
        UnderEffect::CreateOvnEip { name, purpose, pool, subnet, v4 } => {
            if under.ovn_eips.contains_key(name) {
                return Applied::Done;
            }
            let eip = OvnEip { pool: Some(pool.clone()), ..ovn_eip(None, subnet, *v4) };
            world.put_ovn_eip(name, Some(marked(eip, purpose)));
        }
        UnderEffect::LabelOvnEip { name, purpose } => {
            let Some(eip) = under.ovn_eips.get(name).cloned() else { return Applied::Refused };
            let version = next(eip.version);
            world.put_ovn_eip(name, Some(marked(OvnEip { version, ..eip }, purpose)));
        }
        UnderEffect::DeleteOvnEip { name, uid } => {
            let Some(eip) = under.ovn_eips.get(name).cloned() else { return Applied::Done };
            if eip.uid != *uid {
                return Applied::Refused;
            }
            // What another holds on the network was never ours to withdraw.
            let owner = eip.status_v4.and_then(|v4| under.eips.get(&v4.to_string()));
            if let Some(v4) =
                eip.status_v4.filter(|_| owner.is_none_or(|e| e.owner() == eip.service.as_ref()))
            {
                assert!(!on_network(&world.ovn, v4), "{v4} is freed while it is on the network");
            }
            let version = next(eip.version);
            world.put_ovn_eip(name, Some(OvnEip { deleting: true, version, ..eip }));
        }
        UnderEffect::CreateEip { spec } => {
            let name = cpo_api::Eip::name_of(spec.address.parse().unwrap());
            if under.eips.contains_key(&name) {
                return Applied::Refused;
            }
            let eip = Eip {
                uid: fresh_uid(),
                version: version(1),
                generation: 1,
                created: 0,
                deleting: false,
                owners: owners(spec),
                silenced: BTreeSet::new(),
                said: BTreeMap::new(),
                spec: spec.clone(),
                status: EipStatus::default(),
            };
            world.put_eip(&name, Some(eip));
        }
        UnderEffect::BindEip { name, version, spec } => {
            let eip = under.eips.get(name).filter(|e| e.version == *version).cloned();
            let Some(eip) = eip else { return Applied::Refused };
            let version = next(eip.version);
            let owners = owners(spec);
            let spec = merged(&eip.spec, spec);
            let silenced = BTreeSet::new();
            world.put_eip(name, Some(Eip { spec, owners, version, silenced, ..eip }));
        }
        UnderEffect::PatchEipStatus { name, uid, version, status } => {
            let eip = under.eips.get(name).filter(|e| e.uid == *uid).cloned();
            let Some(eip) = eip else { return Applied::Refused };
            if version.is_some_and(|version| version != eip.version) {
                return Applied::Refused;
            }
            if version.is_some() && status.released_at.is_some() {
                let v4 = eip.address().unwrap();
                assert!(!on_network(&world.ovn, v4), "{v4} is released while it is on the network");
                assert!(!eip.is_ordered(), "{v4} is released while it is to be announced");
                let speaks = |node: &String| {
                    let runs = under.nodes.get(node).is_some_and(|node| !node.out_of_service);
                    runs && !eip.silenced.contains(node)
                };
                let mut said = eip.status.announcements.iter();
                let forgotten = |by: &EipAnnouncement| {
                    let counts = by.state != AnnouncementState::Unable && speaks(&by.node);
                    counts && (eip.released().is_none() || !status.announcements.contains(by))
                };
                assert!(!said.any(forgotten), "{v4} is released while it is announced");
            }
            let mut status = status.clone();
            if version.is_none() {
                // What speakers say is theirs.
                status.announcements.clone_from(&eip.status.announcements);
                status.released_at.clone_from(&eip.status.released_at);
            }
            let version = next(eip.version);
            world.put_eip(name, Some(Eip { status, version, ..eip }));
        }
        UnderEffect::DeleteEip { name, uid, version } => {
            let Some(eip) = under.eips.get(name) else { return Applied::Done };
            if (&eip.uid, eip.version) != (uid, *version) {
                return Applied::Refused;
            }
            let v4 = eip.address().unwrap();
            assert!(!on_network(&world.ovn, v4), "{v4} is forgotten while it is on the network");
            let ovn_eip = eip.spec.overlay.as_ref().map(|o| o.ovn_eip.clone());
            let held = ovn_eip.is_some_and(|name| under.ovn_eips.contains_key(&name));
            assert!(!held, "{v4} is forgotten before its OvnEip");
            world.put_eip(name, None);
        }
        UnderEffect::RaiseShield { create, .. } => {
            assert_eq!(*create, under.shield == Shield::Missing);
            under.shield = Shield::Up;
        }
        UnderEffect::PatchTenantStatus { name, status } => {
            let Some(tenant) = world.tenants.get_mut(name) else { return Applied::Refused };
            tenant.spec.status = status.clone();
            tenant.spec.version = next(tenant.spec.version);
        }
        UnderEffect::TenantFinalizer { name, version, finalizers } => {
            let present = finalizers.iter().any(|f| f == names::TENANT_FINALIZER);
            let Some(tenant) = world.tenants.get_mut(name) else { return Applied::Refused };
            if tenant.spec.version != *version {
                return Applied::Refused;
            }
            tenant.spec.finalizer = present;
            tenant.spec.version = next(tenant.spec.version);
            if tenant.spec.deleting && !present {
                world.tenants.remove(name);
            }
        }
        UnderEffect::TenantEvent { name, .. } => {
            return if world.tenants.contains_key(name) { Applied::Done } else { Applied::Refused };
        }
        UnderEffect::RenderMetallb { .. } => {}
        UnderEffect::PatchAdvertisementStatus { name, status } => {
            let Some(of) = under.advertisements.get_mut(name) else { return Applied::Refused };
            of.status = status.clone();
        }
        UnderEffect::PatchPoolStatus { name, status } => {
            let Some(pool) = under.pools.get_mut(name) else { return Applied::Refused };
            pool.status = status.clone();
        }
    }
    Applied::Done
}

/// The Services that a spec names.
fn owners(spec: &EipSpec) -> Vec<ServiceKey> {
    let all = spec.services.iter();
    all.map(|of| key(&format!("{}/{}", spec.tenant.name, of.key))).collect()
}

/// What the API server makes of a merge patch (RFC 7396).
fn merged(before: &EipSpec, patch: &EipSpec) -> EipSpec {
    let mut whole = json!(before);
    merge(&mut whole, &patch.merge_patch());
    serde_json::from_value(whole).unwrap()
}

fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return into.clone_from(patch) };
    if !into.is_object() {
        *into = json!({});
    }
    let into = into.as_object_mut().unwrap();
    for (key, value) in patch {
        match value.is_null() {
            true => drop(into.remove(key)),
            false => merge(into.entry(key).or_insert(Value::Null), value),
        }
    }
}

fn marked(eip: OvnEip, purpose: &Purpose) -> OvnEip {
    let (service, reserved) = match purpose {
        Purpose::Service(key) => (Some(key.clone()), None),
        Purpose::Reserved { address, .. } => (None, Some(*address)),
    };
    OvnEip { labelled: true, service, reserved, ..eip }
}

/// An `OvnEip` Kube-OVN has not looked at yet.
pub(crate) fn ovn_eip(service: Option<ServiceKey>, subnet: &str, v4: Option<Ipv4Addr>) -> OvnEip {
    OvnEip {
        uid: fresh_uid(),
        version: version(1),
        deleting: false,
        created: None,
        labelled: service.is_some(),
        pool: None,
        reserved: None,
        service,
        subnet: subnet.into(),
        spec_v4: v4,
        status_v4: None,
        ready: false,
    }
}

fn on_network(ovn: &ovn::Ovn, v4: impl std::fmt::Display) -> bool {
    let at = format!("{v4}:");
    ovn.load_balancers.values().any(|row| row.vips.keys().any(|vip| vip.starts_with(&at)))
}

/// What must hold before an edit is committed, at any time.
fn check_edit(world: &World, edit: &LbEdit) {
    let (vips, service) = match edit {
        LbEdit::Insert { row, .. } => {
            assert_eq!(world.under.shield, Shield::Up, "a row without the shield");
            (Some(&row.vips), row.service("default"))
        }
        LbEdit::Change { row, change, .. } => {
            let before = world.ovn.load_balancers.get(row);
            (change.vips.as_ref(), before.and_then(|row| row.service("default")))
        }
        LbEdit::Attach { .. } | LbEdit::Detach { .. } => return,
        LbEdit::Delete { row, .. } => {
            let row = world.ovn.load_balancers.get(row);
            assert!(row.is_none_or(LoadBalancer::is_tombstone), "a live row is deleted");
            return;
        }
    };
    for vip in vips.into_iter().flat_map(BTreeMap::keys) {
        let (address, _) = vip.rsplit_once(':').unwrap();
        let eip = world.under.eips.get(address);
        let eip = eip.unwrap_or_else(|| panic!("{vip} before its Eip"));
        assert_eq!(eip.owner(), service.as_ref(), "{vip} is another's");
        assert!(eip.released().is_none(), "{vip} rests in quarantine");
    }
}

/// Executes edits as one transaction: all of them, or none.
pub(crate) fn apply_edits(world: &mut World, edits: &[LbEdit]) -> Applied {
    let install = world.install.to_string();
    let before = world.ovn.clone();
    for edit in edits {
        if !apply_edit(&mut world.ovn, edit, &install) {
            world.ovn = before;
            return Applied::Refused;
        }
    }
    Applied::Done
}

fn apply_edit(ovn: &mut ovn::Ovn, edit: &LbEdit, install: &str) -> bool {
    let owned = |ovn: &ovn::Ovn, uuid: &Uuid, owner: &str| {
        let row = ovn.load_balancers.get(uuid).cloned();
        row.filter(|row| row.external_id(ovn::OWNER) == Some(owner))
    };
    match edit {
        LbEdit::Insert { row, router } => {
            let uuid = Uuid::from_u128(u128::from(fresh()));
            ovn.apply(RowChange::LoadBalancer(uuid, Some(row.clone())), install);
            attach(ovn, router.uuid, uuid, true, install)
        }
        LbEdit::Change { row: uuid, owner, change } => {
            let Some(mut row) = owned(ovn, uuid, owner) else { return false };
            let change = change.clone();
            row.name = change.name.unwrap_or(row.name);
            row.protocol = change.protocol.unwrap_or(row.protocol);
            row.vips = change.vips.unwrap_or(row.vips);
            row.options = change.options.unwrap_or(row.options);
            row.selection_fields = change.selection_fields.unwrap_or(row.selection_fields);
            row.external_ids = change.external_ids.unwrap_or(row.external_ids);
            ovn.apply(RowChange::LoadBalancer(*uuid, Some(row)), install);
            true
        }
        LbEdit::Attach { row, router } => attach(ovn, router.uuid, *row, true, install),
        LbEdit::Detach { row, router } => attach(ovn, *router, *row, false, install),
        LbEdit::Delete { row, owner } => {
            if owned(ovn, row, owner).is_none() {
                return false;
            }
            let routers: Vec<_> = ovn.attached_to(*row).collect();
            routers.into_iter().for_each(|router| {
                attach(ovn, router, *row, false, install);
            });
            ovn.apply(RowChange::LoadBalancer(*row, None), install);
            true
        }
    }
}

fn attach(ovn: &mut ovn::Ovn, router: Uuid, row: Uuid, on: bool, install: &str) -> bool {
    let Some(mut changed) = ovn.routers.get(&router).cloned() else { return false };
    if on {
        changed.load_balancers.insert(row)
    } else {
        changed.load_balancers.remove(&row)
    };
    ovn.apply(RowChange::Router(router, Some(changed)), install);
    true
}

/// Kube-OVN grants what it can, and removes what is being deleted.
pub(crate) fn kube_ovn(world: &mut World) {
    for (name, mut eip) in world.under.ovn_eips.clone() {
        if eip.deleting {
            world.put_ovn_eip(&name, None);
            continue;
        }
        if eip.ready {
            continue;
        }
        let cidr = world.under.subnets.get(&eip.subnet).and_then(|subnet| subnet.cidr);
        let held = |v4: &Ipv4Addr| world.under.ovn_eips.values().any(|e| e.status_v4 == Some(*v4));
        let grant = match eip.spec_v4 {
            Some(v4) => Some(v4).filter(|v4| cidr.is_some_and(|net| net.contains(v4)) && !held(v4)),
            None => cidr.and_then(|net| {
                let reserved = &world.under.subnets[&eip.subnet].excludes;
                net.hosts().find(|v4| !held(v4) && !reserved.contains((*v4).into()))
            }),
        };
        if let Some(v4) = grant {
            (eip.spec_v4, eip.status_v4, eip.ready) = (Some(v4), Some(v4), true);
            eip.version = next(eip.version);
            world.put_ovn_eip(&name, Some(eip));
        }
    }
}
