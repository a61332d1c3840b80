//! A world that does what is planned for it.

use std::collections::BTreeMap;
use std::time::Duration;

use cpo_api::names;

use super::systems::{Applied, apply_effect, kube_ovn};
use crate::effect::{Effect, Notice, TenantEffect};
use crate::ids::ServiceKey;
use crate::plan::{Plan, Since, plan};
use crate::time::Now;
use crate::under::OvnEip;
use crate::world::World;

/// A world that does what is planned for it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// The world.
    pub(crate) world: World,
    /// The time.
    pub(crate) now: Now,
    /// Whether Kube-OVN works.
    pub(crate) kube_ovn: bool,
    /// Every effect so far.
    pub(crate) log: Vec<Effect>,
    since: BTreeMap<ServiceKey, Since>,
}

impl Model {
    /// A world at rest.
    pub(crate) fn new(world: World) -> Self {
        let now = super::at(100_000);
        Self { world, now, kube_ovn: true, log: Vec::new(), since: BTreeMap::new() }
    }

    /// The plan of a Service now, remembered as the engine does.
    pub(crate) fn plan(&mut self, key: &ServiceKey) -> Plan {
        // Tests change the world as they please.
        self.world.reckon_all();
        let since = self.since.entry(key.clone()).or_default();
        let plan = plan(&self.world, key, since, self.now);
        since.retain(|wait, _| plan.waits.contains(wait));
        for wait in &plan.waits {
            since.entry(*wait).or_insert(self.now.mono);
        }
        plan
    }

    /// Executes one effect.
    pub(crate) fn execute(&mut self, effect: &Effect) -> Applied {
        self.log.push(effect.clone());
        apply_effect(&mut self.world, effect)
    }

    /// `cpo` forgets everything it had not written down.
    pub(crate) fn restart(&mut self) {
        self.since.clear();
    }

    fn keys(&self) -> Vec<ServiceKey> {
        let tenants = self.world.tenants.keys();
        tenants.flat_map(|tenant| self.world.keys_of(tenant)).collect()
    }

    /// Plans and executes until nothing is left to do at this time.
    pub(crate) fn settle(&mut self) -> &mut Self {
        for _ in 0..100 {
            if self.kube_ovn {
                kube_ovn(&mut self.world);
            }
            let mut quiet = true;
            for key in self.keys() {
                let plan = self.plan(&key);
                for effect in &plan.effects {
                    quiet = false;
                    self.execute(effect);
                }
            }
            let waiting = |e: &OvnEip| e.deleting;
            if quiet && !(self.kube_ovn && self.world.under.ovn_eips.values().any(waiting)) {
                return self;
            }
        }
        panic!("no rest after 100 rounds; last: {:#?}", self.log.last());
    }

    /// Lets time pass, and settles.
    pub(crate) fn after(&mut self, time: Duration) -> &mut Self {
        self.now = Now { wall: self.now.wall + time, mono: self.now.mono + time };
        self.settle()
    }

    /// Lets seconds pass, and settles.
    pub(crate) fn after_seconds(&mut self, seconds: u64) -> &mut Self {
        self.after(Duration::from_secs(seconds))
    }

    /// Changes the world, and settles.
    pub(crate) fn when(&mut self, change: impl FnOnce(&mut World)) -> &mut Self {
        change(&mut self.world);
        self.settle()
    }

    /// The user deletes a Service.
    pub(crate) fn delete(&mut self, service: &str) -> &mut Self {
        self.when(|world| {
            let deleted = world.service(service);
            deleted.deleting = true;
            if !deleted.finalizer {
                world.put_service(service, None);
            }
        })
    }

    /// The address published on a Service.
    pub(crate) fn published(&mut self, service: &str) -> Option<String> {
        self.world.service(service).status.ingress.first().map(|i| i.ip.clone())
    }

    /// Status and reason of a condition of a Service.
    pub(crate) fn condition(&mut self, service: &str, type_: &str) -> (bool, String) {
        let conditions = &self.world.service(service).status.conditions;
        let found = conditions.iter().find(|c| c.type_ == type_).unwrap();
        (found.status == cpo_api::ConditionStatus::True, found.reason.clone())
    }

    /// Status and reason of `Programmed` on a Service.
    pub(crate) fn programmed(&mut self, service: &str) -> (bool, String) {
        self.condition(service, names::PROGRAMMED)
    }

    /// Reason of `Ready` on an `Eip`.
    pub(crate) fn eip_reason(&self, address: &str) -> String {
        let conditions = &self.world.under.eips[address].status.conditions;
        conditions.iter().find(|c| c.type_ == "Ready").unwrap().reason.clone()
    }

    /// The Events so far.
    pub(crate) fn events(&self) -> Vec<&Notice> {
        let event = |effect| match effect {
            &Effect::Tenant(TenantEffect::Event(ref notice)) => Some(notice),
            _ => None,
        };
        self.log.iter().filter_map(event).collect()
    }
}
