//! The `Eip` that records whose an address is.

use std::net::IpAddr;

use cpo_api::{EipMode, EipOverlay, EipPort, EipService, EipSpec, EipTenant};

use super::super::serve::Serving;
use super::super::{Plan, vlan};
use super::Address;
use crate::effect::{Effect, UnderEffect};
use crate::ids::ServiceKey;
use crate::request::{self, Request};
use crate::tenant::{Mode, Tenant};
use crate::under::Eip;

/// Binds an `Eip` of this Service's name to this incarnation of it.
pub(in crate::plan) fn bind(name: &str, eip: &Eip, mut spec: EipSpec, plan: &mut Plan) -> Address {
    spec.overlay = match (spec.overlay, &eip.spec.overlay) {
        (Some(new), Some(old)) => {
            Some(EipOverlay { router: new.router.or_else(|| old.router.clone()), ..new })
        }
        (new, _) => new,
    };
    let name = name.to_owned();
    let effect = if differs(&eip.spec, &spec) {
        UnderEffect::BindEip { name, version: eip.version, spec }
    } else {
        let status = cpo_api::EipStatus { released_at: None, ..eip.status.clone() };
        let (uid, version) = (eip.uid.clone(), Some(eip.version));
        UnderEffect::PatchEipStatus { name, uid, version, status }
    };
    plan.effects.push(Effect::Under(effect));
    Address::Waiting
}

/// Whether the parts of a spec differ that follow the Service; the router follows the rows.
pub(in crate::plan) fn differs(observed: &EipSpec, desired: &EipSpec) -> bool {
    let router = |spec: &EipSpec| spec.overlay.as_ref().and_then(|o| o.router.clone());
    let same_router = router(desired).is_none() || router(desired) == router(observed);
    let ovn_eip = |spec: &EipSpec| spec.overlay.as_ref().map(|o| o.ovn_eip.clone());
    !(same_router
        && ovn_eip(observed) == ovn_eip(desired)
        && (observed.mode, &observed.vlan) == (desired.mode, &desired.vlan)
        && (&observed.services, &observed.sharing) == (&desired.services, &desired.sharing)
        && observed.keep == desired.keep
        && observed.tenant == desired.tenant)
}

/// The spec of an `Eip` bound to this Service, and to those that share it already; `eip` is what
/// there is of it.
pub(in crate::plan) fn spec(
    serving: &Serving<'_>,
    eip: Option<&Eip>,
    address: IpAddr,
    pool: &str,
    request: &Request,
) -> EipSpec {
    let tenant = &serving.tenant.spec;
    let reserved = eip.is_some_and(|eip| eip.spec.reserved);
    let services = services(serving, eip, request);
    let (mode, overlay, vlan) = match tenant.mode() {
        Mode::Overlay => {
            let ovn_eip =
                eip.map_or_else(|| serving.ovn_eip.clone(), |eip| serving.holders.of(eip));
            let overlay = EipOverlay { ovn_eip, router: serving.router_name() };
            (EipMode::Overlay, Some(overlay), None)
        }
        Mode::Vlan => {
            let orders = vlan::orders_of(serving, eip, address, pool, &services);
            (EipMode::Vlan, None, Some(orders))
        }
    };
    let keep = request.keep || kept_by_others(serving.tenant, serving.key, &services);
    EipSpec {
        address: address.to_string(),
        mode,
        pool: pool.to_owned(),
        tenant: EipTenant { name: tenant.name.to_string(), uid: tenant.uid.to_string() },
        services,
        sharing: request.sharing.clone(),
        reserved,
        keep: keep && !reserved,
        overlay,
        vlan,
    }
}

/// This Service, and those that share the address with it, by key.
fn services(serving: &Serving<'_>, eip: Option<&Eip>, request: &Request) -> Vec<EipService> {
    let mut ports: Vec<_> = request
        .ports
        .iter()
        .map(|(p, _)| EipPort { protocol: p.protocol.upper().to_owned(), port: p.port })
        .collect();
    ports.sort();
    let (key, uid) = (serving.key.in_tenant(), serving.service.uid.to_string());
    let ours = |eip: &&Eip| {
        let tenant = &serving.tenant.spec.uid;
        eip.on_vlan() && eip.released().is_none() && eip.spec.tenant.uid == tenant.as_str()
    };
    let others = eip.filter(ours).into_iter().flat_map(|eip| &eip.spec.services);
    let mut services: Vec<_> = others.filter(|other| other.key != key).cloned().collect();
    services.push(EipService { key, uid, ports });
    services.sort_by(|one, other| one.key.cmp(&other.key));
    services
}

/// Whether another of these Services asks to keep the address.
pub(in crate::plan) fn kept_by_others(
    tenant: &Tenant,
    but: &ServiceKey,
    services: &[EipService],
) -> bool {
    let others = services.iter().filter(|other| other.key != but.in_tenant());
    let mut others = others.filter_map(|other| vlan::service_of(tenant, &other.key));
    others.any(|(_, service)| request::keeps(service))
}
