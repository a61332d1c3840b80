//! An engine beside a world that obeys it: what changes in the world is handed in as the watches
//! would, jobs are executed by the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::effect::{Effect, TenantEffect};
use crate::engine::{
    Engine, Input, Job, NamespacesSeen, Outcome, TenantKind, TenantObject, UnderKind, UnderObject,
};
use crate::ids::ServiceKey;
use crate::ovn::RowChange;
use crate::service::Service;
use crate::testing::{self, Applied, at};
use crate::time::Now;
use crate::world::World;

pub(super) const WEB: &str = "a/default/web";

/// An engine and the world it is to bring about.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) truth: World,
    pub(super) now: Now,
    /// Every job's effect so far.
    pub(super) log: Vec<Effect>,
    /// What each patch of a Service was answered.
    pub(super) answers: Vec<(ServiceKey, Service)>,
}

/// A Service nobody has touched yet.
pub(super) fn new_service() -> Box<Service> {
    Box::new(Service { finalizer: false, ..testing::service() })
}

/// A pool of ranges instead of Kube-OVN's.
pub(super) fn with_pool(pool: crate::under::Pool) -> World {
    let mut world = testing::world();
    world.under.pools = [("ours".to_owned(), pool)].into();
    world
}

pub(super) fn key(number: usize) -> String {
    format!("a/default/web-{number}")
}

pub(super) fn with_services(world: World, count: usize) -> World {
    (0..count).fold(world, |world, number| {
        let uid = crate::ids::Uid::new(&format!("uid-{number}"));
        world.with_service(&key(number), Service { uid, ..*new_service() })
    })
}

pub(super) fn published(bench: &mut Bench, count: usize) -> Vec<String> {
    (0..count).filter_map(|number| bench.published(&key(number))).collect()
}

impl Bench {
    /// An engine that leads, and has been told nothing.
    pub(super) fn untold(truth: World) -> Self {
        let mut engine = Engine::new("default".parse().unwrap());
        engine.lead();
        Self { engine, truth, now: at(1_000_000), log: Vec::new(), answers: Vec::new() }
    }

    /// An engine that was told everything, and has not been polled.
    pub(super) fn told(truth: World) -> Self {
        let mut bench = Self::untold(truth);
        bench.feed();
        bench.list_all();
        bench
    }

    /// A world in which `default/web` is served, at rest.
    pub(super) fn served() -> Self {
        let service = *new_service();
        let mut bench = Self::told(testing::world().with_service(WEB, service));
        bench.run();
        bench.wait(2);
        assert_eq!(bench.published(WEB).as_deref(), Some("198.51.100.10"));
        bench.log.clear();
        bench
    }

    /// The lists are complete.
    pub(super) fn list_all(&mut self) {
        for kind in UnderKind::ALL {
            self.list(kind);
        }
        for tenant in self.truth.tenants.values().filter(|t| t.synced) {
            let name = &tenant.spec.name;
            let keys = tenant.services.keys().map(|k| k.in_tenant()).collect();
            let nodes = tenant.nodes.keys().map(ToString::to_string).collect();
            let slices = tenant.slices.keys().map(|(n, s)| format!("{n}/{s}")).collect();
            let lists: [(TenantKind, BTreeSet<String>); 3] = [
                (TenantKind::Service, keys),
                (TenantKind::Node, nodes),
                (TenantKind::EndpointSlice, slices),
            ];
            for (kind, names) in lists {
                self.engine.handle(Input::TenantListed(name.clone(), kind, names));
            }
        }
    }

    /// One list is complete.
    pub(super) fn list(&mut self, kind: UnderKind) {
        fn names<V>(map: &BTreeMap<String, V>) -> BTreeSet<String> {
            map.keys().cloned().collect()
        }
        fn pairs<V>(map: &BTreeMap<(String, String), V>) -> BTreeSet<String> {
            map.keys().map(|(namespace, name)| format!("{namespace}/{name}")).collect()
        }
        let under = &self.truth.under;
        let names = match kind {
            UnderKind::TenantCluster => {
                self.truth.tenants.keys().map(ToString::to_string).collect()
            }
            UnderKind::AddressPool => names(&under.pools),
            UnderKind::L2Advertisement => names(&under.advertisements),
            UnderKind::Eip => names(&under.eips),
            UnderKind::OvnEip => names(&under.ovn_eips),
            UnderKind::Shield if under.shield == crate::under::Shield::Missing => BTreeSet::new(),
            UnderKind::Shield => ["cloud-provider-ovn".to_owned()].into(),
            UnderKind::Subnet => names(&under.subnets),
            UnderKind::Vpc => names(&under.vpcs),
            UnderKind::Ip => names(&under.ips),
            UnderKind::Vip => names(&under.vips),
            UnderKind::Node => names(&under.nodes),
            UnderKind::ServiceCidr => names(&under.service_cidrs),
            UnderKind::Machine => pairs(&under.machines),
            UnderKind::Instance => pairs(&under.instances),
        };
        self.engine.handle(Input::UnderListed(kind, names));
    }

    /// Hands in everything that differs from what the engine knows.
    pub(super) fn feed(&mut self) {
        for input in changes(self.engine.world(), &self.truth) {
            self.engine.handle(input);
        }
    }

    /// Hands in everything again, what the engine knows already too.
    pub(super) fn tell_again(&mut self) {
        let nothing = World::new(self.truth.install.clone());
        for input in changes(&nothing, &self.truth) {
            self.engine.handle(input);
        }
    }

    /// Jobs to execute now.
    pub(super) fn poll(&mut self) -> Vec<Job> {
        self.engine.poll(self.now)
    }

    /// Executes a job as the systems would, and tells the engine.
    pub(super) fn finish(&mut self, job: &Job) {
        self.log.push(job.effect.clone());
        let patched = match &job.effect {
            Effect::Tenant(TenantEffect::PatchService { key, .. }) => Some(key),
            _ => None,
        };
        let applied = testing::apply_effect(&mut self.truth, &job.effect);
        let outcome = if applied == Applied::Done { Outcome::Done } else { Outcome::Failed };
        let answer = patched
            .and_then(|key| Some((key, self.truth.tenants.get(key.tenant())?.services.get(key)?)));
        self.answers.extend(answer.map(|(key, service)| (key.clone(), service.clone())));
        self.feed();
        self.engine.done(job.id, outcome, self.now);
    }

    /// Feeds, polls and executes until nothing is left to do at this time.
    pub(super) fn run(&mut self) {
        for _ in 0..1_000 {
            testing::kube_ovn(&mut self.truth);
            self.feed();
            let jobs = self.poll();
            let waiting = self.truth.under.ovn_eips.values().any(|e| e.deleting);
            if jobs.is_empty() && !self.engine.has_work() && !waiting {
                self.engine.world().recount();
                return;
            }
            jobs.iter().for_each(|job| self.finish(job));
        }
        panic!("no rest; last: {:?}", self.log.last());
    }

    /// Lets seconds pass, one at a time.
    pub(super) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let second = Duration::from_secs(1);
            self.now = Now { wall: self.now.wall + second, mono: self.now.mono + second };
            self.run();
        }
    }

    /// Changes the world, and runs.
    pub(super) fn when(&mut self, change: impl FnOnce(&mut World)) {
        change(&mut self.truth);
        self.run();
    }

    pub(super) fn edits_of_rows(&self) -> usize {
        self.log.iter().filter(|effect| matches!(effect, Effect::Ovn(_))).count()
    }

    pub(super) fn published(&mut self, service: &str) -> Option<String> {
        self.truth.service(service).status.ingress.first().map(|i| i.ip.clone())
    }
}

/// The differences between two maps, new values and removals.
fn differ<'m, K: Ord, V: PartialEq>(
    known: &'m BTreeMap<K, V>,
    truth: &'m BTreeMap<K, V>,
) -> impl Iterator<Item = (&'m K, Option<&'m V>)> {
    let changed =
        truth.iter().filter(|(k, v)| known.get(*k) != Some(*v)).map(|(k, v)| (k, Some(v)));
    let gone = known.keys().filter(|k| !truth.contains_key(*k)).map(|k| (k, None));
    changed.chain(gone)
}

fn changes(known: &World, truth: &World) -> Vec<Input> {
    let mut under = Vec::new();
    let (k, t) = (&known.under, &truth.under);
    under.extend(
        differ(&k.pools, &t.pools).map(|(n, v)| UnderObject::AddressPool(n.clone(), v.cloned())),
    );
    under.extend(
        differ(&k.subnets, &t.subnets).map(|(n, v)| UnderObject::Subnet(n.clone(), v.cloned())),
    );
    under.extend(differ(&k.vpcs, &t.vpcs).map(|(n, v)| UnderObject::Vpc(n.clone(), v.cloned())));
    under.extend(differ(&k.ips, &t.ips).map(|(n, v)| UnderObject::Ip(n.clone(), v.cloned())));
    under.extend(differ(&k.vips, &t.vips).map(|(n, v)| UnderObject::Vip(n.clone(), v.cloned())));
    under.extend(differ(&k.nodes, &t.nodes).map(|(n, v)| UnderObject::Node(n.clone(), v.cloned())));
    under.extend(
        differ(&k.service_cidrs, &t.service_cidrs)
            .map(|(n, v)| UnderObject::ServiceCidr(n.clone(), v.cloned())),
    );
    under.extend(
        differ(&k.machines, &t.machines).map(|(n, v)| UnderObject::Machine(n.clone(), v.cloned())),
    );
    under.extend(
        differ(&k.instances, &t.instances)
            .map(|(n, v)| UnderObject::Instance(n.clone(), v.copied())),
    );
    under.extend(
        differ(&k.ovn_eips, &t.ovn_eips).map(|(n, v)| UnderObject::OvnEip(n.clone(), v.cloned())),
    );
    under.extend(
        differ(&k.advertisements, &t.advertisements)
            .map(|(n, v)| UnderObject::L2Advertisement(n.clone(), v.cloned())),
    );
    under.extend(differ(&k.eips, &t.eips).map(|(n, v)| UnderObject::Eip(n.clone(), v.cloned())));
    under.extend((k.shield != t.shield).then_some(UnderObject::Shield(t.shield)));
    // One that is ours to serve from now on is told of below, and at once.
    let unmanaged = differ(&k.unmanaged, &t.unmanaged);
    let unmanaged = unmanaged.filter(|(name, _)| !truth.tenants.contains_key(*name));
    under.extend(unmanaged.map(|(name, tenant)| match tenant {
        Some(tenant) => UnderObject::Unmanaged(name.clone(), tenant.clone()),
        None => UnderObject::TenantCluster(name.clone(), None),
    }));
    let spec = |world: &World| -> BTreeMap<_, _> {
        world.tenants.iter().map(|(n, t)| (n.clone(), t.spec.clone())).collect()
    };
    let (known_specs, specs) = (spec(known), spec(truth));
    under.extend(
        differ(&known_specs, &specs)
            .map(|(n, v)| UnderObject::TenantCluster(n.clone(), v.cloned())),
    );
    let mut inputs: Vec<_> = under.into_iter().map(Input::Under).collect();
    inputs.extend(truth.tenants.keys().flat_map(|name| of_tenant(name, known, truth)));
    inputs
        .extend((known.ovn.link != truth.ovn.link).then(|| Input::OvnLink(truth.ovn.link.clone())));
    let (k, t) = (&known.ovn, &truth.ovn);
    let mut rows = Vec::new();
    rows.extend(
        differ(&k.load_balancers, &t.load_balancers)
            .map(|(u, v)| RowChange::LoadBalancer(*u, v.cloned())),
    );
    rows.extend(differ(&k.ports, &t.ports).map(|(u, v)| RowChange::Port(*u, v.cloned())));
    rows.extend(differ(&k.policies, &t.policies).map(|(u, v)| RowChange::Policy(*u, v.cloned())));
    rows.extend(differ(&k.routers, &t.routers).map(|(u, v)| RowChange::Router(*u, v.cloned())));
    inputs.extend((!rows.is_empty()).then_some(Input::Rows(rows)));
    inputs
}

fn of_tenant(name: &crate::ids::TenantName, known: &World, truth: &World) -> Vec<Input> {
    let truth = &truth.tenants[name];
    let empty = crate::tenant::Tenant::new(truth.spec.clone());
    // A namesake begins with nothing.
    let known = known.tenants.get(name).filter(|k| k.spec.uid == truth.spec.uid).unwrap_or(&empty);
    let service = |(key, v): (&ServiceKey, Option<&Service>)| {
        let v = v.cloned().map(Box::new);
        TenantObject::Service(key.namespace().into(), key.name().into(), v)
    };
    // What is of no concern is not kept.
    let concerned = truth.services.iter().filter(|(_, service)| service.concerns_us());
    let services = concerned.map(|(key, service)| (key.clone(), service.clone())).collect();
    let mut objects: Vec<_> = differ(&known.services, &services).map(service).collect();
    objects.extend(
        differ(&known.nodes, &truth.nodes).map(|(n, v)| TenantObject::Node(n.clone(), v.cloned())),
    );
    objects.extend(
        differ(&known.slices, &truth.slices)
            .map(|((n, s), v)| TenantObject::Slice(n.clone(), s.clone(), v.cloned())),
    );
    let mut inputs: Vec<_> = objects.into_iter().map(|o| Input::Tenant(name.clone(), o)).collect();
    let (labels, wanted) = (&known.namespaces.labels, &truth.namespaces.labels);
    inputs.extend(known.namespaces.round.into_iter().flat_map(|round| {
        let seen = differ(labels, wanted).map(|(n, v)| NamespacesSeen::One(n.clone(), v.cloned()));
        seen.map(move |seen| Input::Namespaces(name.clone(), round, seen))
    }));
    let link =
        (known.link != truth.link).then(|| Input::TenantLink(name.clone(), truth.link.clone()));
    inputs.extend(link);
    inputs
}
