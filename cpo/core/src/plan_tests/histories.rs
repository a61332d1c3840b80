//! Random histories: whatever happened, and wherever `cpo` was killed, it ends in the right state.
//! The model itself refuses what must never happen on the way.

use proptest::prelude::*;

use super::*;
use crate::ids::Uid;
use crate::ovn::{OvnLink, RowChange};
use crate::service::Protocol;
use crate::testing::{key, port, seen_from_outside};

const API: &str = "a/default/api";

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// One effect of the next plan of a Service is executed, and no other of it.
    Effect(prop::sample::Index),
    KubeOvn,
    Restart,
    Seconds(u64),
    Create,
    Delete,
    ForceDelete,
    Type(bool),
    Port(u16),
    Ask(Option<u8>),
    Exclude(bool),
    SourceRanges(bool),
    OvnEipStolen,
    RowDeleted,
    Gateway(bool),
    Link(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    prop_oneof![
        12 => any::<prop::sample::Index>().prop_map(Effect),
        6 => Just(KubeOvn),
        1 => Just(Restart),
        2 => (0_u64..70).prop_map(Seconds),
        2 => Just(Create),
        1 => Just(Delete),
        1 => Just(ForceDelete),
        1 => any::<bool>().prop_map(Type),
        1 => (80_u16..83).prop_map(Port),
        1 => prop::option::of(48_u8..52).prop_map(Ask),
        1 => any::<bool>().prop_map(Exclude),
        1 => any::<bool>().prop_map(SourceRanges),
        1 => Just(OvnEipStolen),
        1 => Just(RowDeleted),
        1 => any::<bool>().prop_map(Gateway),
        1 => any::<bool>().prop_map(Link),
    ]
}

/// Executes one effect of the plans that are due, chosen by `index`.
fn one_effect(model: &mut Model, index: &prop::sample::Index) {
    let mut effects = model.plan(&key(WEB)).effects;
    effects.extend(model.plan(&key(API)).effects);
    if !effects.is_empty() {
        model.execute(index.get(&effects));
    }
}

fn happen(model: &mut Model, what: &Happening, count: usize) {
    let exists = model.world.tenant_a().services.contains_key(&key(WEB));
    let world = &mut model.world;
    match what {
        Happening::Effect(index) => one_effect(model, index),
        Happening::KubeOvn => testing::kube_ovn(world),
        Happening::Restart => model.restart(),
        Happening::Seconds(seconds) => {
            let milliseconds = u64::try_from(model.now.mono.as_millis()).unwrap();
            model.now = testing::at(milliseconds + seconds * 1_000);
        }
        Happening::Create if !exists => {
            let uid = Uid::new(&format!("uid-web-{count}"));
            world.put_service(WEB, Some(Service { uid, ..new_service() }));
        }
        Happening::Delete if exists => {
            world.service(WEB).deleting = true;
            if !world.service(WEB).finalizer {
                world.put_service(WEB, None);
            }
        }
        Happening::ForceDelete => world.put_service(WEB, None),
        Happening::Type(load_balancer) if exists => {
            let service = world.service(WEB);
            service.load_balancer = *load_balancer;
            if !load_balancer {
                service.status.ingress.clear();
            }
        }
        Happening::Port(number) if exists => {
            world.service(WEB).ports = vec![port(Protocol::Tcp, *number, 30_000 + *number)];
        }
        Happening::Ask(last) if exists => {
            world.service(WEB).load_balancer_ip = last.map(|last| format!("198.51.100.{last}"));
        }
        Happening::Exclude(excluded) => world.node("vm1").excluded = *excluded,
        Happening::SourceRanges(on) if exists => {
            world.service(WEB).source_ranges = if *on { vec!["10.0.0.0/8".into()] } else { vec![] };
        }
        Happening::OvnEipStolen => {
            if let Some(name) = world.under.ovn_eips.keys().next().cloned() {
                world.put_ovn_eip(&name, None);
            }
        }
        Happening::RowDeleted => {
            if let Some(row) = world.ovn.load_balancers.keys().next().copied() {
                world.put_row(RowChange::LoadBalancer(row, None));
            }
        }
        Happening::Gateway(there) => gateway(world, *there),
        Happening::Link(up) => {
            world.ovn.link = if *up { OvnLink::Up } else { OvnLink::Down("away".into()) };
        }
        _ => {}
    }
}

fn gateway(world: &mut crate::world::World, there: bool) {
    *world = world.clone().with_router(|router| {
        router.ports.clear();
        router.ports.extend(there.then_some(testing::GATEWAY));
    });
}

/// Nothing is in the way any more; the Services are as the user left them.
fn calm_down(model: &mut Model) {
    model.restart();
    model.world.ovn.link = OvnLink::Up;
    gateway(&mut model.world, true);
    model.settle().after_seconds(15).after_seconds(15).after_seconds(60).after_seconds(15);
}

fn is_right(model: &mut Model) -> Result<(), TestCaseError> {
    for service in [WEB, API] {
        let key = key(service);
        let rows: Vec<_> = crate::rows::rows_of(&model.world.ovn, &key)
            .filter(|(_, r)| !r.is_tombstone())
            .collect();
        let eips = model.world.under.eips_of.get(&key).map_or(0, |names| names.len());
        let wanted = model.world.tenants[key.tenant()].services.get(&key).cloned();
        let wanted = wanted.filter(|s| s.load_balancer && !s.deleting);
        let served = wanted.clone().filter(|s| s.source_ranges.is_empty());
        // One that must not be served keeps the address it had, if it had one.
        let right = usize::from(served.is_some())..=usize::from(wanted.is_some());
        prop_assert!(right.contains(&eips), "{} has {} addresses", service, eips);
        prop_assert_eq!(rows.len(), usize::from(served.is_some()), "rows of {}", service);
        let Some(served) = served else { continue };
        let (uuid, row) = rows[0];
        prop_assert_eq!(model.world.ovn.attached_to(uuid).count(), 1);
        let ip = &served.status.ingress[0].ip;
        let vips: Vec<_> = row.vips.keys().cloned().collect();
        prop_assert_eq!(vips, [format!("{ip}:{}", served.ports[0].port)]);
        if let Some(wish) = &served.load_balancer_ip {
            prop_assert_eq!(wish, ip);
        }
        prop_assert!(served.finalizer);
    }
    let (drawn, assigned) = (model.world.under.ovn_eips.len(), model.world.under.eips.len());
    prop_assert_eq!(drawn, assigned, "every OvnEip has its Eip");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_ends_in_the_right_state(
        history in prop::collection::vec(happening(), 1..60),
    ) {
        let other = Service { uid: Uid::new("uid-api"), ..new_service() };
        let mut model = Model::new(world().with_service(WEB, new_service()).with_service(API, other));
        for (count, what) in history.iter().enumerate() {
            happen(&mut model, what, count);
        }
        calm_down(&mut model);
        is_right(&mut model)?;
        for service in [WEB, API] {
            prop_assert!(model.plan(&key(service)).effects.is_empty());
        }
    }

    #[test]
    fn a_kill_after_any_effects_in_any_order_changes_nothing_of_the_end(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..12),
    ) {
        let mut straight = created();
        straight.settle();
        let mut killed = created();
        for (index, kube_ovn) in &picks {
            one_effect(&mut killed, index);
            if *kube_ovn {
                testing::kube_ovn(&mut killed.world);
            }
        }
        killed.restart();
        killed.settle();
        prop_assert_eq!(seen_from_outside(&killed.world), seen_from_outside(&straight.world));
    }

    #[test]
    fn a_kill_while_it_is_deleted_changes_nothing_of_the_end(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut model = served();
        model.world.service(WEB).deleting = true;
        for index in &picks {
            one_effect(&mut model, index);
        }
        model.restart();
        model.settle().after_seconds(60);
        prop_assert_eq!(seen_from_outside(&model.world), Default::default());
    }
}
