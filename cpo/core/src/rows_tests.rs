use proptest::prelude::*;

use super::*;
use crate::ovn::RowChange;
use crate::service::Port;
use crate::testing::{self, Applied, ROUTER, key, world};
use crate::world::World;

const WEB: &str = "a/default/web";
const SECOND: Uuid = Uuid::from_u128(0xb0);

fn install() -> Install {
    "default".parse().unwrap()
}

fn backend(address: &str) -> Backend {
    Backend {
        address: address.parse().unwrap(),
        subnet: "tenant-a".into(),
        vpc: "vpc-a".into(),
        node: "vm".parse().unwrap(),
        machine: "vm1".into(),
        mac: None,
    }
}

fn request(ports: &[(Protocol, u16, u16)]) -> Request {
    let (mut request, _) =
        crate::request::read(&testing::service(), crate::tenant::Mode::Overlay).unwrap();
    let port = |(protocol, number, node_port): &(Protocol, u16, u16)| {
        let port: Port = testing::port(*protocol, *number, *node_port);
        (port, *node_port)
    };
    request.ports = ports.iter().map(port).collect();
    request
}

fn compiled(ports: &[(Protocol, u16, u16)], backends: &[&str]) -> BTreeMap<Protocol, LoadBalancer> {
    let backends: Vec<_> = backends.iter().map(|b| backend(b)).collect();
    let address = "198.51.100.20".parse().unwrap();
    compile(&install(), &Uid::new("uid-a"), &key(WEB), address, &request(ports), &backends)
}

fn one_row() -> BTreeMap<Protocol, LoadBalancer> {
    compiled(&[(Protocol::Tcp, 80, 30080)], &["10.0.0.2"])
}

fn router() -> RouterRef {
    RouterRef { uuid: ROUTER, name: "vpc-a".into() }
}

fn edits(world: &World, desired: &BTreeMap<Protocol, LoadBalancer>) -> Vec<LbEdit> {
    diff(&world.ovn, &key(WEB), desired, &router())
}

/// The world with these rows of the Service, each attached to the routers named.
fn holding(rows: &[(u128, LoadBalancer, &[Uuid])]) -> World {
    let mut world = world();
    world.put_row(RowChange::Router(SECOND, Some(testing::router("vpc-b"))));
    for (uuid, row, routers) in rows {
        let uuid = Uuid::from_u128(*uuid);
        world.put_row(RowChange::LoadBalancer(uuid, Some(row.clone())));
        for router in *routers {
            let mut row = world.ovn.routers[router].clone();
            row.load_balancers.insert(uuid);
            world.put_row(RowChange::Router(*router, Some(row)));
        }
    }
    world
}

fn words(edits: &[LbEdit]) -> Vec<(&'static str, u128)> {
    let word = |edit: &LbEdit| match edit {
        LbEdit::Insert { .. } => "insert",
        LbEdit::Change { change, .. } if change.vips.as_ref().is_some_and(BTreeMap::is_empty) => {
            "empty"
        }
        LbEdit::Change { .. } => "change",
        LbEdit::Attach { .. } => "attach",
        LbEdit::Detach { .. } => "detach",
        LbEdit::Delete { .. } => "delete",
    };
    edits.iter().map(|edit| (word(edit), edit.row().as_u128())).collect()
}

#[test]
fn there_is_one_row_per_protocol_with_every_port_of_it() {
    let ports = [
        (Protocol::Tcp, 80, 30080),
        (Protocol::Tcp, 443, 30443),
        (Protocol::Udp, 443, 31443),
        (Protocol::Sctp, 9, 30009),
    ];
    let rows = compiled(&ports, &["10.0.0.2"]);
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), Protocol::ALL);
    assert_eq!(rows[&Protocol::Tcp].vips.len(), 2);
    assert_eq!(rows[&Protocol::Udp].vips["198.51.100.20:443"], "10.0.0.2:31443");
    for (protocol, row) in &rows {
        assert_eq!(
            (row.protocol, row.external_ids["owner"].as_str()),
            (*protocol, format!("uid-a/default/web/{protocol}").as_str())
        );
    }
}

#[test]
fn targets_are_sorted_by_number_and_named_once() {
    let rows = compiled(&[(Protocol::Tcp, 80, 30080)], &["10.0.0.10", "10.0.0.9", "10.0.0.10"]);
    assert_eq!(rows[&Protocol::Tcp].vips["198.51.100.20:80"], "10.0.0.9:30080,10.0.0.10:30080");
}

#[test]
fn without_backends_the_vip_is_there_and_empty() {
    let rows = compiled(&[(Protocol::Tcp, 80, 30080)], &[]);
    assert_eq!(rows[&Protocol::Tcp].vips["198.51.100.20:80"], "");
    assert!(!rows[&Protocol::Tcp].is_tombstone());
}

#[test]
fn a_row_carries_these_options_and_no_other() {
    let rows = one_row();
    let options: Vec<_> =
        rows[&Protocol::Tcp].options.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(options, ["ct_flush=true", "neighbor_responder=reachable", "reject=true"]);
    let fields: Vec<_> = rows[&Protocol::Tcp].selection_fields.iter().map(String::as_str).collect();
    assert_eq!(fields, ["ip_dst", "ip_src", "tp_dst", "tp_src"]);
}

#[test]
fn affinity_sticks_by_source_for_its_time() {
    let mut request = request(&[(Protocol::Tcp, 80, 30080)]);
    request.affinity = Some(10_800);
    let address = "198.51.100.20".parse().unwrap();
    let rows = compile(&install(), &Uid::new("uid-a"), &key(WEB), address, &request, &[]);
    let row = &rows[&Protocol::Tcp];
    assert_eq!(row.options["affinity_timeout"], "10800");
    assert_eq!(row.selection_fields, ["ip_src".to_owned()].into());
}

#[test]
fn a_second_installation_has_a_name_and_a_mark_of_its_own() {
    assert_eq!(row_name(&install()), "cloud-provider-ovn");
    assert_eq!(row_name(&"edge".parse().unwrap()), "cloud-provider-ovn-edge");
}

#[test]
fn what_is_missing_is_inserted() {
    assert_eq!(words(&edits(&world(), &one_row())), [("insert", 0)]);
}

#[test]
fn what_is_right_is_left_alone() {
    let world = holding(&[(1, one_row()[&Protocol::Tcp].clone(), &[ROUTER])]);
    assert!(edits(&world, &one_row()).is_empty());
}

#[test]
fn only_the_columns_that_differ_are_written() {
    let world = holding(&[(
        1,
        compiled(&[(Protocol::Tcp, 80, 30080)], &[])[&Protocol::Tcp].clone(),
        &[ROUTER],
    )]);
    let edits = edits(&world, &one_row());
    let [LbEdit::Change { row, owner, change }] = edits.as_slice() else { panic!("{edits:?}") };
    assert_eq!((row.as_u128(), owner.as_str()), (1, "uid-a/default/web/tcp"));
    let vips = one_row()[&Protocol::Tcp].vips.clone();
    assert_eq!(*change, LbChange { vips: Some(vips), ..LbChange::default() });
}

#[test]
fn a_row_on_no_router_is_attached_and_on_another_one_moved() {
    let row = one_row()[&Protocol::Tcp].clone();
    assert_eq!(words(&edits(&holding(&[(1, row.clone(), &[])]), &one_row())), [("attach", 1)]);
    let moved = holding(&[(1, row, &[SECOND])]);
    assert_eq!(words(&edits(&moved, &one_row())), [("attach", 1), ("detach", 1)]);
}

#[test]
fn of_two_rows_with_one_owner_the_attached_one_stays() {
    let row = one_row()[&Protocol::Tcp].clone();
    let world = holding(&[(1, row.clone(), &[]), (2, row.clone(), &[ROUTER])]);
    assert_eq!(words(&edits(&world, &one_row())), [("empty", 1)]);
    let both = holding(&[(1, row.clone(), &[ROUTER]), (2, row, &[ROUTER])]);
    assert_eq!(words(&edits(&both, &one_row())), [("empty", 2)]);
}

#[test]
fn a_tombstone_of_the_owner_is_used_again() {
    let mut row = one_row()[&Protocol::Tcp].clone();
    row.vips.clear();
    assert_eq!(words(&edits(&holding(&[(1, row, &[ROUTER])]), &one_row())), [("change", 1)]);
}

#[test]
fn a_protocol_no_longer_asked_for_is_emptied_and_stays_attached() {
    let both = compiled(&[(Protocol::Tcp, 80, 30080), (Protocol::Udp, 53, 30053)], &["10.0.0.2"]);
    let world = holding(&[
        (1, both[&Protocol::Tcp].clone(), &[ROUTER]),
        (2, both[&Protocol::Udp].clone(), &[ROUTER]),
    ]);
    assert_eq!(words(&edits(&world, &one_row())), [("empty", 2)]);
}

#[test]
fn withdrawing_touches_live_rows_of_the_service_alone() {
    let mut empty = one_row()[&Protocol::Tcp].clone();
    empty.vips.clear();
    let world = holding(&[
        (1, one_row()[&Protocol::Tcp].clone(), &[ROUTER]),
        (2, empty, &[ROUTER]),
        (3, testing::balancer("a/default/other", "198.51.100.21:80", ""), &[ROUTER]),
    ]);
    assert_eq!(words(&withdraw(&world.ovn, &key(WEB))), [("empty", 1)]);
}

fn ports() -> impl Strategy<Value = Vec<(Protocol, u16, u16)>> {
    let port = (prop::sample::select(Protocol::ALL.to_vec()), 1_u16..5, 30_000_u16..30_003);
    prop::collection::vec(port, 0..5)
}

fn row() -> impl Strategy<Value = BTreeMap<Protocol, LoadBalancer>> {
    let backends = prop::sample::subsequence(vec!["10.0.0.2", "10.0.0.3", "10.0.0.4"], 0..=3);
    (ports(), backends).prop_map(|(ports, backends)| compiled(&ports, &backends))
}

fn damaged() -> impl Strategy<Value = World> {
    let routers = prop::sample::subsequence(vec![ROUTER, SECOND], 0..=2);
    let damage = (0_u8..6, routers);
    (row(), prop::collection::vec(damage, 0..6)).prop_map(|(rows, damages)| {
        let mut world = holding(&[]);
        let rows: Vec<_> = rows.into_values().collect();
        for (number, (damage, routers)) in damages.iter().enumerate() {
            let Some(row) = rows.get(number % rows.len().max(1)) else { continue };
            let mut row = row.clone();
            match damage {
                0 => row.vips.clear(),
                1 => row.name = "renamed".into(),
                2 => row.options.clear(),
                3 => row.selection_fields.clear(),
                4 => drop(row.external_ids.insert("note".into(), "x".into())),
                _ => {}
            }
            let uuid = Uuid::from_u128(100 + number as u128);
            world.put_row(RowChange::LoadBalancer(uuid, Some(row)));
            for router in routers {
                let mut row = world.ovn.routers[router].clone();
                row.load_balancers.insert(uuid);
                world.put_row(RowChange::Router(*router, Some(row)));
            }
        }
        world
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_the_difference_is_applied_there_is_none(
        mut world in damaged(),
        desired in row(),
    ) {
        let foreign = testing::balancer("a/default/other", "198.51.100.21:80", "10.0.0.9:1");
        let other = Uuid::from_u128(7);
        world.put_row(RowChange::LoadBalancer(other, Some(foreign.clone())));
        let edits = edits(&world, &desired);
        prop_assert_eq!(testing::apply_edits(&mut world, &edits), Applied::Done);
        prop_assert_eq!(diff(&world.ovn, &key(WEB), &desired, &router()), vec![]);
        let web = key(WEB);
        let live = rows_of(&world.ovn, &web).filter(|(_, row)| !row.is_tombstone());
        let live: BTreeMap<_, _> = live.map(|(_, row)| (row.protocol, row.clone())).collect();
        prop_assert_eq!(live, desired, "what is live is what was wanted");
        prop_assert_eq!(&world.ovn.load_balancers[&other], &foreign);
    }

    #[test]
    fn after_a_withdrawal_nothing_is_live(mut world in damaged()) {
        let edits = withdraw(&world.ovn, &key(WEB));
        prop_assert_eq!(testing::apply_edits(&mut world, &edits), Applied::Done);
        prop_assert_eq!(withdraw(&world.ovn, &key(WEB)), vec![]);
    }
}

#[test]
fn an_edit_of_a_row_that_is_gone_or_anothers_is_refused_as_a_whole() {
    let mut world = holding(&[(1, one_row()[&Protocol::Tcp].clone(), &[ROUTER])]);
    let edits = withdraw(&world.ovn, &key(WEB));
    world.put_row(RowChange::LoadBalancer(Uuid::from_u128(1), None));
    assert_eq!(testing::apply_edits(&mut world, &edits), Applied::Refused);
}
