//! An address that an operator reserved and no Service has: it is held at Kube-OVN, unless it is on a
//! VLAN, and its `Eip` tells how it stands.

use std::net::{IpAddr, Ipv4Addr};

use cpo_api::{
    CleanupPolicy, EipMode, EipOverlay, EipSpec, EipStatus, EipTenant, EipVlan, Reason,
    conditions_differ, merge_conditions,
};

use super::holders::delete_ovn_eip;
use super::{report, reserved_ovn_eip_name};
use crate::effect::{Purpose, UnderEffect};
use crate::ids::TenantName;
use crate::tenant::{Mode, Tenant};
use crate::time::Now;
use crate::under::{Eip, OvnEip};
use crate::world::World;

/// How long Kube-OVN may take to grant the address before that is told.
const PATIENCE: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// What is to be done for a reserved address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The next step, if there is one.
    pub effect: Option<UnderEffect>,
    /// Kube-OVN has not answered yet: look again though nothing happens.
    pub again: bool,
}

impl From<Option<UnderEffect>> for Step {
    fn from(effect: Option<UnderEffect>) -> Self {
        Self { effect, again: false }
    }
}

/// How an address that nobody has stands: a CamelCase reason, and a text for an operator.
type Standing = (&'static str, String);

/// The next step for a reserved address; none where all is as it should be, or it is a Service's.
#[must_use]
pub fn step(world: &World, address: IpAddr, now: Now) -> Step {
    let name = reserved_ovn_eip_name(&world.install, address);
    let ovn_eip = world.under.ovn_eips.get(&name);
    let Some(eip) = world.under.eip(address) else {
        // The reservation was taken back: what is served goes on until it is not.
        let mut rows = world.ovn.load_balancers.values();
        let served = rows.any(|row| row.address().map(IpAddr::V4) == Some(address));
        let ovn_eip = ovn_eip.filter(|_| !served);
        return ovn_eip.filter(|eip| !eip.deleting).map(|eip| delete_ovn_eip(&name, eip)).into();
    };
    if !eip.spec.reserved || !eip.spec.services.is_empty() || eip.deleting {
        return Step::default();
    }
    let tenant = match tenant(world, eip) {
        Ok(tenant) => tenant,
        Err(standing) => return tell(eip, address, standing, now).into(),
    };
    if tenant.spec.deleting {
        return end(tenant, eip, address, name, ovn_eip).into();
    }
    let drawn = ovn_eip.filter(|held| held.granted().is_none()).and_then(|held| held.created);
    if drawn.is_some_and(|created| now.wall.duration_since(created) < PATIENCE) {
        return Step { effect: None, again: true };
    }
    let next = hold(world, tenant, eip, address, name, ovn_eip);
    next.unwrap_or_else(|standing| tell(eip, address, standing, now)).into()
}

fn tenant<'w>(world: &'w World, eip: &Eip) -> Result<&'w Tenant, Standing> {
    let EipTenant { name, uid } = &eip.spec.tenant;
    let known = name.parse::<TenantName>().ok().and_then(|name| world.tenants.get(&name));
    let Some(tenant) = known else {
        let text = format!(
            "no TenantCluster {name} is served here: make it, or delete this Eip to free the address"
        );
        return Err(("TenantNotFound", text));
    };
    if !uid.is_empty() && tenant.spec.uid.as_str() != uid {
        let text = format!(
            "reserved for a TenantCluster {name} that is gone (uid {uid}); the one of that name now \
             is another: delete this Eip, and make it anew for that one"
        );
        return Err(("TenantNotFound", text));
    }
    Ok(tenant)
}

/// Fills in what the operator left out, and holds the address at Kube-OVN.
fn hold(
    world: &World,
    tenant: &Tenant,
    eip: &Eip,
    address: IpAddr,
    name: String,
    ovn_eip: Option<&OvnEip>,
) -> Result<Option<UnderEffect>, Standing> {
    let at = world.assignments.pool_at(address).map(str::to_owned);
    let pool = Some(eip.spec.pool.clone()).filter(|pool| !pool.is_empty()).or(at);
    let Some(pool) = pool else {
        let text = format!(
            "{address} is in no AddressPool that is Ready: make one that holds it, or delete this Eip"
        );
        return Err(("OutsidePools", text));
    };
    let spec = whole(tenant, eip, &pool, &name);
    if spec != eip.spec {
        let (name, version) = (cpo_api::Eip::name_of(address), eip.version);
        return Ok(Some(UnderEffect::BindEip { name, version, spec }));
    }
    if eip.on_vlan() {
        return Err(set_aside(tenant));
    }
    let v4 = match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    let place = v4.and_then(|v4| Some((v4, world.under.subnet_for(&pool, v4)?)));
    let Some((address, subnet)) = place else {
        let text = format!("no Subnet of a provider network holds {address}");
        return Err(("SubnetNotFound", text));
    };
    let purpose = Purpose::Reserved { address, tenant: tenant.spec.name.to_string() };
    match ovn_eip {
        None => {
            let v4 = Some(address);
            Ok(Some(UnderEffect::CreateOvnEip { name, purpose, pool, subnet, v4 }))
        }
        Some(held) if held.granted() == Some(address) => {
            if !held.labelled {
                return Ok(Some(UnderEffect::LabelOvnEip { name, purpose }));
            }
            Err(set_aside(tenant))
        }
        Some(held) if held.deleting => Ok(None),
        Some(_) => Err(ungranted(world, address, &name)),
    }
}

/// The spec with what the operator left out.
fn whole(tenant: &Tenant, eip: &Eip, pool: &str, ovn_eip: &str) -> EipSpec {
    let router = eip.spec.overlay.as_ref().and_then(|overlay| overlay.router.clone());
    let (mode, overlay, vlan) = match tenant.spec.mode() {
        Mode::Overlay => {
            let overlay = EipOverlay { ovn_eip: ovn_eip.to_owned(), router };
            (EipMode::Overlay, Some(overlay), None)
        }
        // Nobody is told to announce what is nobody's.
        Mode::Vlan => (EipMode::Vlan, None, Some(EipVlan::default())),
    };
    EipSpec {
        pool: pool.to_owned(),
        mode,
        tenant: EipTenant { uid: tenant.spec.uid.to_string(), ..eip.spec.tenant.clone() },
        overlay,
        vlan,
        ..eip.spec.clone()
    }
}

fn ungranted(world: &World, address: Ipv4Addr, name: &str) -> Standing {
    let mut others = world.under.ovn_eips.iter().filter(|(other, _)| *other != name);
    let why = others.find(|(_, eip)| eip.address() == Some(address)).map_or_else(
        || "look at its events and at the log of kube-ovn-controller".to_owned(),
        |(other, _)| format!("OvnEip {other} has it"),
    );
    let text = format!("Kube-OVN has not granted {address} to OvnEip {name}: {why}");
    (Reason::OvnEipPending.as_str(), text)
}

fn set_aside(tenant: &Tenant) -> Standing {
    let text = format!(
        "set aside for tenant {}, whose Service gets it by asking for it",
        tenant.spec.name
    );
    ("Reserved", text)
}

/// Ends a reservation with its tenant.
fn end(
    tenant: &Tenant,
    eip: &Eip,
    address: IpAddr,
    name: String,
    ovn_eip: Option<&OvnEip>,
) -> Option<UnderEffect> {
    match (tenant.spec.cleanup, ovn_eip) {
        (CleanupPolicy::Retain, _) => None,
        (CleanupPolicy::Delete, Some(held)) if held.deleting => None,
        (CleanupPolicy::Delete, Some(held)) => Some(delete_ovn_eip(&name, held)),
        (CleanupPolicy::Delete, None) => Some(UnderEffect::DeleteEip {
            name: cpo_api::Eip::name_of(address),
            uid: eip.uid.clone(),
            version: eip.version,
        }),
    }
}

/// Writes how the address stands, unless the `Eip` says so already.
fn tell(eip: &Eip, address: IpAddr, standing: Standing, now: Now) -> Option<UnderEffect> {
    let (reason, text) = standing;
    let conditions = report::unbound(eip.generation, reason, &text, now);
    let announcements = eip.status.announcements.clone();
    let unbound = EipStatus { announcements, ..EipStatus::default() };
    let status = EipStatus {
        conditions: merge_conditions(&eip.status.conditions, conditions),
        ..unbound.clone()
    };
    let told = !conditions_differ(&eip.status.conditions, &status.conditions)
        && EipStatus { conditions: Vec::new(), ..eip.status.clone() } == unbound;
    (!told).then(|| UnderEffect::PatchEipStatus {
        name: cpo_api::Eip::name_of(address),
        uid: eip.uid.clone(),
        version: None,
        status,
    })
}
