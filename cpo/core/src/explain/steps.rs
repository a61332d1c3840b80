//! The steps, one by one.

use cpo_api::{CleanupPolicy, Condition, ConditionStatus, Reason};
use pools::{Families, Family};

use super::{Chain, Facts, Mark, Step, UNDER_WAY};
use crate::plan::Holders;
use crate::request;
use crate::rows;
use crate::service::Service;
use crate::tenant::{Mode, Tenant, TenantSpec};
use crate::under::Eip;

impl Facts<'_> {
    pub(super) fn tenant(&self) -> Option<&Tenant> {
        self.world.tenants.get(self.key.tenant())
    }

    /// The Service, if it was read.
    pub(super) fn service(&self) -> Option<&Service> {
        self.tenant()?.services.get(self.key).filter(|_| self.unread.is_none())
    }

    pub(super) fn holders(&self) -> Option<Holders<'_>> {
        Some(Holders { world: self.world, tenant: self.tenant()?, key: self.key })
    }

    /// The Service's Eips; such as are released only where there is no Service that is served.
    pub(super) fn eips(&self) -> Vec<&Eip> {
        let Some(holders) = self.holders() else { return Vec::new() };
        let served = self.service().filter(|service| !service.deleting);
        let lives: Vec<_> = holders.lives().into_iter().map(|(_, eip)| eip).collect();
        match lives.is_empty() && served.is_none() {
            true => holders.eips().map(|(_, eip)| eip).collect(),
            false => lives,
        }
    }

    /// The first of them.
    pub(super) fn eip(&self) -> Option<&Eip> {
        self.eips().first().copied()
    }

    fn live_eips(&self) -> Vec<&Eip> {
        let mut eips = self.eips();
        eips.retain(|eip| eip.released().is_none() && !eip.deleting);
        eips
    }

    fn live_eip(&self) -> Option<&Eip> {
        self.live_eips().first().copied()
    }
}

pub(super) fn condition<'c>(conditions: &'c [Condition], type_: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

pub(super) fn holds(condition: Option<&Condition>) -> bool {
    condition.is_some_and(|condition| condition.status == ConditionStatus::True)
}

impl Chain<'_> {
    pub(super) fn walk(&mut self) {
        let facts = self.facts;
        let Some(tenant) = facts.tenant() else { return self.no_tenant() };
        self.tenant(&tenant.spec);
        self.connected(&tenant.spec);
        self.namespaces(tenant);
        self.service(&tenant.spec);
        self.wish();
        self.pool(tenant);
        match tenant.spec.mode() {
            Mode::Overlay => {
                self.ovn_eip();
                self.eip();
                self.rows();
            }
            Mode::Vlan => {
                self.eip();
                self.announced();
            }
        }
        self.status();
    }

    fn no_tenant(&mut self) {
        let name = self.facts.key.tenant();
        if self.facts.unmanaged {
            let text =
                format!("TenantCluster {name} has mode Unmanaged: it is not served from here");
            return self.no(Step::Tenant, text, "look in the tenant, or set spec.mode to Overlay");
        }
        let remedy = "check the name (`kubectl get tcl`), or register the tenant \
                      (docs/operations.md)";
        self.no(Step::Tenant, format!("there is no TenantCluster {name}"), remedy);
    }

    fn tenant(&mut self, spec: &TenantSpec) {
        let name = &spec.name;
        if spec.deleting {
            let policy = match spec.cleanup {
                CleanupPolicy::Retain => "Retain: what it has stays, and nothing new is made",
                CleanupPolicy::Delete => "Delete: what it has is withdrawn",
            };
            let text = format!("TenantCluster {name} is being deleted (cleanupPolicy {policy})");
            let remedy = "wait for its end, and register the tenant anew if that was not meant";
            return self.no(Step::Tenant, text, remedy);
        }
        if spec.suspended {
            let text = format!("TenantCluster {name} is suspended: nothing of it is changed");
            return self.no(Step::Tenant, text, "set spec.suspend of the TenantCluster to false");
        }
        let vpc = spec.vpc.as_ref().map_or_else(String::new, |vpc| format!(", Vpc {vpc}"));
        self.ok(Step::Tenant, format!("TenantCluster {name}{vpc}"));
    }

    fn connected(&mut self, spec: &TenantSpec) {
        let conditions = &spec.status.conditions;
        let Some(connected) = condition(conditions, "Connected") else {
            let text = "no cpo has told yet whether its API server answers";
            return self.add(Step::Connected, Mark::Unknown, text, UNDER_WAY);
        };
        if connected.status != ConditionStatus::True {
            let remedy = Reason::parse(&connected.reason).map_or(UNDER_WAY, Reason::remedy);
            let text = format!("{}: {}", connected.reason, connected.message);
            return self.no(Step::Connected, text, remedy);
        }
        self.ok(Step::Connected, "the tenant's API server answers");
        let braked = condition(conditions, "MassDeletionBraked");
        if let Some(braked) = braked.filter(|_| self.facts.service().is_none()) {
            let text = format!("MassDeletionBraked: {}", braked.message);
            let remedy = "annotate the TenantCluster as the message says, if that is meant";
            self.add(Step::Connected, Mark::Warning, text, remedy);
        }
    }

    fn service(&mut self, spec: &TenantSpec) {
        let facts = self.facts;
        if let Some(why) = &facts.unread {
            let text = format!("the tenant's own objects were not read: {why}");
            return self.add(Step::Service, Mark::Unknown, text, "");
        }
        let name = facts.key.in_tenant();
        let Some(service) = facts.service() else {
            let text = format!("the tenant has no Service {name}");
            return self.no(
                Step::Service,
                text,
                "check namespace and name, or let the tenant make it",
            );
        };
        if let Some((text, remedy)) = unclaimed(spec, service) {
            return self.no(Step::Service, text, remedy);
        }
        if service.deleting {
            let text = format!("Service {name} is being deleted");
            return self.no(
                Step::Service,
                text,
                "nothing: its address is withdrawn and then rests",
            );
        }
        if !self.troubled(Step::Service) {
            let class = service.class.as_deref().unwrap_or("none");
            self.ok(Step::Service, format!("Service {name}, type LoadBalancer, class {class}"));
        }
    }

    fn wish(&mut self) {
        let facts = self.facts;
        let Some((tenant, service)) = facts.tenant().zip(facts.service()) else { return };
        if self.troubled(Step::Wish) || self.blocked() {
            return;
        }
        let Ok((request, _)) = request::read(service, tenant.spec.mode()) else { return };
        let named: Vec<_> = request.addresses.iter().map(ToString::to_string).collect();
        let mut text = match (named.as_slice(), &request.pool) {
            ([_, ..], _) => format!("asks for {}", named.join(" and ")),
            ([], Some(pool)) => format!("asks for an address of pool {pool}"),
            ([], None) => "asks for any address".to_owned(),
        };
        text.push_str(match request.families {
            Families::Only(Family::V4) => "",
            Families::Only(Family::V6) => ", IPv6",
            Families::Prefer(_) => ", of both families if that can be",
            Families::Both => ", of both families",
        });
        if let Some(sharing) = &request.sharing {
            text.push_str(&format!(", shared by key {:?}", sharing.key));
        }
        self.ok(Step::Wish, text);
    }

    fn ovn_eip(&mut self) {
        let facts = self.facts;
        let under = &facts.world.under;
        if self.troubled(Step::OvnEip) {
            return;
        }
        let holders = facts.holders();
        let drawn = || holders.and_then(|holders| holders.unrecorded().next()).cloned();
        let of_eip = holders.zip(facts.live_eip()).map(|(holders, eip)| holders.of(eip));
        let name = of_eip.or_else(drawn);
        match name.and_then(|name| Some((under.ovn_eips.get(&name)?, name))) {
            Some((ovn_eip, name)) => match ovn_eip.granted() {
                Some(address) => {
                    self.ok(Step::OvnEip, format!("OvnEip {name} holds {address}"));
                }
                None => {
                    let text = format!("OvnEip {name} is not ready");
                    self.no(Step::OvnEip, text, Reason::OvnEipPending.remedy());
                }
            },
            None if self.blocked() => {}
            None => self.no(Step::OvnEip, "there is no OvnEip for it yet", UNDER_WAY),
        }
    }

    fn eip(&mut self) {
        let eips = self.facts.eips();
        if eips.is_empty() && !self.blocked() {
            self.no(Step::Eip, "there is no Eip for it yet", UNDER_WAY);
        }
        eips.into_iter().for_each(|eip| self.eip_of(eip));
    }

    fn eip_of(&mut self, eip: &Eip) {
        let address = &eip.spec.address;
        if eip.released().is_some() {
            let word = condition(&eip.status.conditions, "Ready").map_or("", |c| &c.reason);
            let text = format!("Eip {address} is released: {word}");
            self.no(Step::Eip, text, "a Service of the same namespace and name gets it again");
        } else if eip.deleting {
            self.no(Step::Eip, format!("Eip {address} is being deleted"), UNDER_WAY);
        } else {
            let reserved = if eip.spec.reserved { ", reserved" } else { "" };
            let own = self.facts.key.in_tenant();
            let others = eip.spec.services.iter().filter(|other| other.key != own);
            let others: Vec<_> = others.map(|other| other.key.as_str()).collect();
            let whose = match others.is_empty() {
                true => "its own".to_owned(),
                false => format!("shared with {}", others.join(", ")),
            };
            let text = format!("Eip {address} is {whose}, of pool {}{reserved}", eip.spec.pool);
            self.ok(Step::Eip, text);
        }
    }

    fn rows(&mut self) {
        let facts = self.facts;
        if self.troubled(Step::Rows) {
            return;
        }
        let Some(eip) = facts.live_eip() else { return };
        if facts.world.ovn.known() {
            let live = rows::rows_of(&facts.world.ovn, facts.key);
            let vips = live.flat_map(|(_, row)| {
                row.vips.iter().map(move |(vip, to)| format!("{} {vip} to {to}", row.protocol))
            });
            let vips: Vec<_> = vips.collect();
            return match vips.is_empty() {
                true => self.no(Step::Rows, "there is no row of it on the router", UNDER_WAY),
                false => self.ok(Step::Rows, vips.join("; ")),
            };
        }
        match holds(condition(&eip.status.conditions, "Programmed")) {
            true => self.ok(Step::Rows, "programmed, by the Eip (--ovn-nb looks at the rows)"),
            false => self.no(Step::Rows, "not programmed, by the Eip", UNDER_WAY),
        }
    }

    fn announced(&mut self) {
        let facts = self.facts;
        let steps = [Step::OvnEip, Step::Rows, Step::Announced];
        if steps.map(|step| self.troubled(step)).contains(&true) {
            return;
        }
        for eip in facts.live_eips() {
            let address = &eip.spec.address;
            match &eip.status.announced_by {
                Some(nodes) => {
                    let text = format!("{address} is announced by {nodes}, by the Eip");
                    self.ok(Step::Announced, text);
                }
                None => {
                    let text = format!("no speaker says that it announces {address}");
                    self.no(Step::Announced, text, UNDER_WAY);
                }
            }
        }
    }

    fn status(&mut self) {
        if self.troubled(Step::Status) {
            return;
        }
        self.facts.live_eips().into_iter().for_each(|eip| self.status_of(eip));
    }

    fn status_of(&mut self, eip: &Eip) {
        let facts = self.facts;
        if let Some(service) = facts.service() {
            let published = service.status.ingress.iter().any(|i| i.ip == eip.spec.address);
            match published {
                true => self.ok(Step::Status, format!("{} is published", eip.spec.address)),
                false if self.blocked() => {}
                false => {
                    let text = "the Service's status does not show the address yet";
                    self.no(Step::Status, text, UNDER_WAY);
                }
            }
            return;
        }
        let ready = condition(&eip.status.conditions, "Ready");
        match (holds(ready), ready) {
            (true, _) => self.ok(Step::Status, "Eip is Ready"),
            (false, _) if self.blocked() => {}
            (false, ready) => {
                let word = ready.map_or("nothing", |ready| &ready.reason);
                self.no(Step::Status, format!("the Eip is not Ready, it says {word}"), UNDER_WAY);
            }
        }
    }

    /// It has addresses, all Ready, published as far as that was looked at, and with rows as far as
    /// those were.
    pub(super) fn served(&self) -> bool {
        let eips = self.facts.live_eips();
        !eips.is_empty() && eips.into_iter().all(|eip| self.served_at(eip))
    }

    fn served_at(&self, eip: &Eip) -> bool {
        let facts = self.facts;
        let address = &eip.spec.address;
        let published = facts.unread.is_some()
            || facts.service().is_some_and(|s| s.status.ingress.iter().any(|i| i.ip == *address));
        let of_address = |vip: &String| vip.rsplit_once(':').is_some_and(|(ip, _)| ip == address);
        let rows = eip.on_vlan()
            || !facts.world.ovn.known()
            || rows::rows_of(&facts.world.ovn, facts.key)
                .any(|(_, row)| row.vips.keys().any(of_address));
        holds(condition(&eip.status.conditions, "Ready")) && published && rows
    }
}

/// Why a Service is not ours to serve, and what makes it so.
fn unclaimed(spec: &TenantSpec, service: &Service) -> Option<(String, &'static str)> {
    if !service.load_balancer {
        let text = "the Service's type is not LoadBalancer".to_owned();
        return Some((text, "let the tenant set spec.type to LoadBalancer"));
    }
    if spec.claims(service) {
        return None;
    }
    let classes = spec.classes.join(", ");
    let text = match &service.class {
        Some(class) => {
            format!(
                "its loadBalancerClass {class} is none of TenantCluster {} ({classes})",
                spec.name
            )
        }
        None => format!(
            "it has no loadBalancerClass, and TenantCluster {} has claimClassless: false",
            spec.name
        ),
    };
    let remedy = "let the tenant make the Service anew with one of these classes, or change \
                  loadBalancerClasses or claimClassless of the TenantCluster";
    Some((text, remedy))
}
