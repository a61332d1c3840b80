//! What is done beside the Services: the shield, the sweep of emptied rows, and the counts that
//! operators read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cpo_api::{CleanupPolicy, conditions_differ, names};

use super::{Engine, Job, Outcome, Waiter};
use crate::assignments::Claim;
use crate::effect::{Effect, LbEdit, UnderEffect};
use crate::ids::{ServiceKey, TenantName};
use crate::ovn::{self, OvnLink};
use crate::plan;
use crate::rows;
use crate::tenant::{Link, Tenant};
use crate::time::Now;
use crate::under::Unmanaged;
use crate::under::{Eip, Shield};
use crate::world::World;

/// The least time between two sweeps of emptied rows, unless set: each stalls northd for seconds
/// (a detached row is a full recompute).
pub(super) const SWEEP_PERIOD: Duration = Duration::from_secs(60);
/// Rows deleted in one sweep.
const SWEEP_BATCH: usize = 200;
/// The least time between two Events that tell of rows deleted by others.
const TELL_PERIOD: Duration = Duration::from_secs(60);
/// Deletions come in bursts: they are counted for this long before they are told.
const TELL_DELAY: Duration = Duration::from_secs(1);
/// How long Kube-OVN may take to grant a reserved address before that is told.
const GRANT_PERIOD: Duration = Duration::from_secs(5);
/// How long an address that Kube-OVN did not grant is left out.
const UNGRANTED_PERIOD: Duration = Duration::from_secs(60);
/// The least time between two writes of one status that only counts.
const STATUS_PERIOD: Duration = Duration::from_millis(1000);
/// How long a status that only counts waits after a change.
const STATUS_DELAY: Duration = Duration::from_millis(200);

/// One chore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chore {
    /// Make the shield, or mark it ready.
    Shield,
    /// Delete emptied rows.
    Sweep,
    /// Write a `TenantCluster`'s status or finalizer.
    Tenant(TenantName),
    /// Write an `AddressPool`'s status.
    Pool(String),
    /// Write an `L2Advertisement`'s status.
    Advertisement(String),
    /// See to an address that an operator reserved and no Service has.
    Reserved(IpAddr),
    /// Try an address again that Kube-OVN did not grant.
    Ungranted(IpAddr),
    /// Write the objects for a tenant's own MetalLB.
    Render(TenantName),
    /// Tell that rows of a tenant were deleted by others.
    Deletions(TenantName),
}

/// When each chore is due.
#[derive(Debug, Default)]
pub(super) struct Chores {
    due: BTreeMap<Chore, Duration>,
    under_way: BTreeSet<Chore>,
    last: BTreeMap<Chore, Duration>,
    /// Statuses of which a count changed since that was looked at last.
    counted: BTreeSet<Chore>,
    rows_changed: bool,
    deleted: BTreeMap<TenantName, u64>,
    /// Tenants that served their Services themselves before, and are to be told that nothing is left
    /// to them.
    formerly: BTreeMap<TenantName, Unmanaged>,
}

impl Chores {
    pub(super) fn deadline(&self) -> Option<Duration> {
        let free = self.due.iter().filter(|(chore, _)| !self.under_way.contains(chore));
        free.map(|(_, at)| *at).min()
    }

    pub(super) fn shield_changed(&mut self) {
        self.due.insert(Chore::Shield, Duration::ZERO);
    }

    pub(super) const fn rows_changed(&mut self) {
        self.rows_changed = true;
    }

    /// A live row of the tenant was deleted by somebody else.
    pub(super) fn deleted_by_others(&mut self, tenant: &TenantName) {
        *self.deleted.entry(tenant.clone()).or_default() += 1;
    }

    /// Makes it due to tell of deletions that were not told yet.
    fn deletions_due(&mut self, now: Now) {
        for tenant in self.deleted.keys() {
            let chore = Chore::Deletions(tenant.clone());
            let last = self.last.get(&chore).map_or(Duration::ZERO, |last| *last + TELL_PERIOD);
            self.due.entry(chore).or_insert_with(|| last.max(now.mono + TELL_DELAY));
        }
    }

    pub(super) fn tenant_changed(&mut self, name: TenantName) {
        self.counted(Chore::Tenant(name));
    }

    pub(super) fn pool_changed(&mut self, name: String) {
        self.counted(Chore::Pool(name));
    }

    /// What tenants are told that serve their Services themselves may be another.
    pub(super) fn rendered_changed(&mut self, world: &World) {
        world.under.unmanaged.keys().for_each(|name| self.counted(Chore::Render(name.clone())));
    }

    /// What an advertisement says is held against all others as well.
    pub(super) fn advertisements_changed(&mut self, world: &World) {
        let all = world.under.advertisements.keys();
        all.for_each(|name| self.counted(Chore::Advertisement(name.clone())));
    }

    /// Nothing is left any more to a tenant that served its Services itself.
    pub(super) fn rendered_no_more(&mut self, name: TenantName, tenant: Unmanaged) {
        self.formerly.insert(name.clone(), tenant);
        self.counted(Chore::Render(name));
    }

    pub(super) fn reserved_changed(&mut self, address: IpAddr) {
        self.due.insert(Chore::Reserved(address), Duration::ZERO);
    }

    pub(super) fn ungranted(&mut self, address: IpAddr, now: Now) {
        self.due.insert(Chore::Ungranted(address), now.mono + UNGRANTED_PERIOD);
    }

    pub(super) fn tenant_gone(&mut self, name: &TenantName) {
        self.due.remove(&Chore::Tenant(name.clone()));
        self.counted.remove(&Chore::Tenant(name.clone()));
        self.last.remove(&Chore::Tenant(name.clone()));
    }

    /// Everything is to be looked at. What was deleted before was for others to tell.
    pub(super) fn all_due(&mut self, world: &World) {
        self.deleted.clear();
        self.shield_changed();
        self.rows_changed();
        world.tenants.keys().for_each(|name| self.tenant_changed(name.clone()));
        world.under.pools.keys().for_each(|name| self.pool_changed(name.clone()));
        self.rendered_changed(world);
        self.advertisements_changed(world);
    }

    fn counted(&mut self, chore: Chore) {
        self.counted.insert(chore);
    }

    /// Makes statuses due that only count: behind what they count, for what a Service waits for is
    /// under way now. The first one of all does not wait.
    fn counts_due(&mut self, now: Now) {
        for chore in std::mem::take(&mut self.counted) {
            let after = |last: &Duration| (*last + STATUS_PERIOD).max(now.mono + STATUS_DELAY);
            let at = self.last.get(&chore).map_or(Duration::ZERO, after);
            self.due.entry(chore).or_insert(at);
        }
    }

    pub(super) fn done(&mut self, chore: &Chore, outcome: Outcome, now: Now) {
        self.under_way.remove(chore);
        if outcome == Outcome::Failed {
            self.due.insert(chore.clone(), now.mono + STATUS_PERIOD);
        }
    }

    fn take_due(&mut self, now: Now) -> Vec<Chore> {
        let due = self.due.iter().filter(|(c, at)| **at <= now.mono && !self.under_way.contains(c));
        let due: Vec<_> = due.map(|(chore, _)| chore.clone()).collect();
        for chore in &due {
            self.due.remove(chore);
        }
        due
    }
}

impl Engine {
    pub(super) fn do_chores(&mut self, now: Now, jobs: &mut Vec<Job>) {
        if std::mem::take(&mut self.chores.rows_changed) && !self.world.ovn.tombstones.is_empty() {
            // Not at once: an owner that returns takes its row again, and a sweep stalls northd.
            self.chores.due.entry(Chore::Sweep).or_insert(now.mono + self.sweep_period);
        }
        self.chores.counts_due(now);
        self.chores.deletions_due(now);
        for chore in self.chores.take_due(now) {
            let effect = match &chore {
                Chore::Shield => self.shield(),
                Chore::Sweep => self.sweep(now),
                Chore::Tenant(name) => self.tenant_chore(name, now),
                Chore::Pool(name) => self.pool_chore(name, now),
                Chore::Advertisement(name) => self.advertisement_chore(name, now),
                Chore::Reserved(address) => self.reserved_chore(*address, now),
                Chore::Ungranted(address) => {
                    self.world.claim(Some(*address), Claim::Ungranted, false);
                    self.feed();
                    None
                }
                Chore::Render(name) => self.render_chore(name).map(Effect::Under),
                Chore::Deletions(tenant) => self.tell_deletions(tenant),
            };
            if let Some(effect) = effect {
                self.chores.last.insert(chore.clone(), now.mono);
                self.chores.under_way.insert(chore.clone());
                self.dispatch(Waiter::Chore(chore), effect, jobs);
            }
        }
    }

    fn shield(&self) -> Option<Effect> {
        let create = match self.world.under.shield {
            Shield::Up => return None,
            Shield::Missing => true,
            Shield::Unready => false,
        };
        let name = rows::row_name(&self.world.install);
        Some(Effect::Under(UnderEffect::RaiseShield { name, create }))
    }

    fn tombstones(&self) -> impl Iterator<Item = (&ServiceKey, uuid::Uuid, &ovn::LoadBalancer)> {
        let ovn = &self.world.ovn;
        let rows = ovn.tombstones.iter();
        rows.filter_map(|(uuid, key)| Some((key, *uuid, ovn.load_balancers.get(uuid)?)))
    }

    /// Deletes emptied rows, in one batch, of Services with nothing under way.
    fn sweep(&mut self, now: Now) -> Option<Effect> {
        if self.world.ovn.link != OvnLink::Up {
            self.chores.due.insert(Chore::Sweep, now.mono + self.sweep_period);
            return None;
        }
        let quiet = |key: &ServiceKey| {
            let busy = self.progress.get(key).is_some_and(|p| p.under_way > 0);
            let tenant = self.world.tenants.get(key.tenant());
            let known = tenant.is_none_or(|t| !t.spec.suspended && (t.synced || t.spec.deleting));
            known && !busy
        };
        let edits: Vec<_> = self
            .tombstones()
            .filter(|(key, ..)| quiet(key))
            .take(SWEEP_BATCH)
            .map(|(_, row, balancer)| LbEdit::Delete {
                row,
                owner: balancer.external_id(ovn::OWNER).unwrap_or_default().to_owned(),
            })
            .collect();
        if !self.world.ovn.tombstones.is_empty() {
            self.chores.due.insert(Chore::Sweep, now.mono + self.sweep_period);
        }
        (!edits.is_empty()).then_some(Effect::Ovn(edits))
    }

    fn tenant_chore(&self, name: &TenantName, now: Now) -> Option<Effect> {
        let tenant = self.world.tenants.get(name)?;
        if let Some(present) = self.finalizer_wanted(tenant) {
            let mut finalizers = tenant.spec.other_finalizers.clone();
            finalizers.extend(present.then(|| names::TENANT_FINALIZER.to_owned()));
            let (name, version) = (name.clone(), tenant.spec.version);
            return Some(Effect::Under(UnderEffect::TenantFinalizer { name, version, finalizers }));
        }
        if tenant.spec.deleting {
            return None;
        }
        let status = plan::tenant_status(&self.world, tenant, now);
        let observed = &tenant.spec.status;
        let same = !conditions_differ(&observed.conditions, &status.conditions)
            && (observed.services, observed.eips) == (status.services, status.eips)
            && observed.kubeconfig_expires == status.kubeconfig_expires
            && observed.kubernetes_version == status.kubernetes_version;
        let settled = observed.conditions.is_empty() || decided(tenant);
        let name = name.clone();
        (!same && settled).then_some(Effect::Under(UnderEffect::PatchTenantStatus { name, status }))
    }

    /// Whether our finalizer on a `TenantCluster` has to come or go; `None`: it is as it should be.
    fn finalizer_wanted(&self, tenant: &Tenant) -> Option<bool> {
        let spec = &tenant.spec;
        let left = || {
            let uid = spec.uid.as_str();
            let of_us = |key: &&ServiceKey| *key.tenant() == spec.name;
            let live = |key: &&ServiceKey| !rows::withdraw(&self.world.ovn, key).is_empty();
            self.world.under.eips.values().any(|eip| eip.spec.tenant.uid == uid)
                || self.world.under.ovn_eips_of.keys().any(|key| of_us(&key))
                || self.world.ovn.of_service.keys().filter(of_us).any(|key| live(&key))
        };
        let wanted = spec.cleanup == CleanupPolicy::Delete && (!spec.deleting || left());
        (wanted != spec.finalizer && (wanted != spec.deleting || !wanted)).then_some(wanted)
    }

    fn tell_deletions(&mut self, name: &TenantName) -> Option<Effect> {
        let count = self.chores.deleted.remove(name)?;
        let tenant = self.world.tenants.get(name)?;
        Some(Effect::Under(UnderEffect::TenantEvent {
            name: name.clone(),
            uid: tenant.spec.uid.clone(),
            reason: "ForeignDeletion",
            message: format!(
                "{count} load balancer rows were deleted from the Northbound database by somebody \
                 else and are inserted again: look for kube-ovn-controller restarts without the \
                 OvnDnatRule {}, and for other programs that write load balancers",
                rows::row_name(&self.world.install)
            ),
        }))
    }

    /// Sees to every reserved address of a tenant, or of all.
    pub(super) fn reserved_of(&mut self, tenant: Option<&TenantName>) {
        let of = |eip: &&Eip| tenant.is_none_or(|t| eip.spec.tenant.name == t.as_str());
        let eips = self.world.under.eips.values().filter(|eip| eip.spec.reserved).filter(of);
        for address in eips.filter_map(Eip::address).collect::<Vec<_>>() {
            self.chores.reserved_changed(address);
        }
    }

    fn reserved_chore(&mut self, address: IpAddr, now: Now) -> Option<Effect> {
        let next = plan::reserved_step(&self.world, address, now);
        if next.again {
            self.chores.due.insert(Chore::Reserved(address), now.mono + GRANT_PERIOD);
        }
        next.effect.map(Effect::Under)
    }

    fn advertisement_chore(&self, name: &str, now: Now) -> Option<Effect> {
        let of = self.world.under.advertisements.get(name)?;
        let status = plan::advertisement_status(&self.world, name, of, now);
        let differs = conditions_differ(&of.status.conditions, &status.conditions);
        let name = name.to_owned();
        let effect = UnderEffect::PatchAdvertisementStatus { name, status };
        differs.then_some(Effect::Under(effect))
    }

    fn render_chore(&self, name: &TenantName) -> Option<UnderEffect> {
        let now = plan::render_metallb(&self.world, name);
        let before = || Some(plan::render_nothing(name, self.chores.formerly.get(name)?));
        now.or_else(before)
    }

    fn pool_chore(&self, name: &str, now: Now) -> Option<Effect> {
        if !self.world.ovn.known() {
            // Which addresses the routers themselves have is not known yet.
            return None;
        }
        let pool = self.world.under.pools.get(name)?;
        let status = plan::pool_status(&self.world, name, pool, now);
        let same = !conditions_differ(&pool.status.conditions, &status.conditions)
            && (pool.status.ipv4, pool.status.ipv6) == (status.ipv4, status.ipv6)
            && pool.status.next == status.next;
        let name = name.to_owned();
        (!same).then_some(Effect::Under(UnderEffect::PatchPoolStatus { name, status }))
    }
}

/// Whether the link's state is worth telling. After a restart the status of before stands until
/// the tenant is synced again or found to be out of reach: connecting anew is no news.
const fn decided(tenant: &Tenant) -> bool {
    match tenant.link {
        Link::Connecting => false,
        Link::Up { .. } => tenant.synced,
        Link::Down(_) | Link::Rejected(_) => true,
    }
}
