use std::sync::Arc;

use speaker_core::mac::MacAddress;
use speaker_core::order::Delivery;
use speaker_core::world::{Advertisement, Connection, Eip, Node, VlanSpec};

use super::*;
use crate::input::{SeenEip, Tenant};

const ADDRESS: &str = "10.205.0.50";

fn us() -> NodeName {
    "n1".parse().unwrap()
}

fn address() -> IpAddr {
    ADDRESS.parse().unwrap()
}

fn tenant(deleting: bool) -> Object {
    let connection = Connection { interface: "eth0".to_owned(), ..Connection::default() };
    let interfaces = vec![connection];
    let vlan = VlanSpec { tenant: "t1".into(), interfaces, ..VlanSpec::default() };
    Object::Tenant("a".into(), Some(Tenant { vlan, deleting }))
}

fn eip() -> Object {
    let eip = Eip {
        uid: "u1".into(),
        vlan: "a".into(),
        tenant: "t1".into(),
        advertised: Arc::new(["all".to_owned()].into()),
        delivery: Delivery::Routed { machines: Arc::default() },
        ports: BTreeSet::new(),
        probe: None,
        announced: false,
    };
    Object::Eip(address(), Some(Box::new(SeenEip { eip, version: None, ours: None })))
}

fn member(last: u8) -> Member {
    let mac = MacAddress::new([2, 0, 0, 0, 0, last]).unwrap();
    Member { mac, address: mac.link_local() }
}

fn known() -> Store {
    let mut store = Store::new(us());
    store.take(tenant(false));
    store.take(eip());
    store.take(Object::Advertisement("all".to_owned(), Some(Advertisement::default())));
    store.take(Object::Node(us(), Some(Node::default())));
    store
}

fn names(kind: Kind) -> BTreeSet<String> {
    let name = match kind {
        Kind::Tenant => "a",
        Kind::Eip => ADDRESS,
        Kind::Advertisement => "all",
        Kind::Node => "n1",
        Kind::Lease => "cpo-speaker-n1",
        Kind::Pool => "lan",
    };
    [name.to_owned()].into()
}

fn complete() -> Store {
    let mut store = known();
    Kind::NEEDED.into_iter().for_each(|kind| store.listed(kind, &names(kind)));
    store
}

#[test]
fn nothing_is_planned_before_every_kind_was_listed_once() {
    let mut store = known();
    for kind in Kind::NEEDED {
        assert_eq!(store.plan(), None);
        store.listed(kind, &names(kind));
    }
    let plan = store.plan().unwrap();
    assert!(plan[&Arc::from("a")].orders.contains_key(&address()));
}

#[test]
fn what_changes_nothing_is_not_planned_again() {
    let mut store = complete();
    assert!(store.plan().is_some());
    store.take(eip());
    store.listed(Kind::Eip, &names(Kind::Eip));
    assert_eq!(store.plan(), None);
}

#[test]
fn what_a_complete_list_does_not_name_is_gone() {
    for kind in [Kind::Tenant, Kind::Eip, Kind::Advertisement, Kind::Node] {
        let mut store = complete();
        store.listed(kind, &BTreeSet::new());
        let plan = store.plan().unwrap();
        let served = plan.values().any(|part| !part.orders.is_empty());
        assert!(!served, "{kind:?}: {plan:?}");
    }
}

#[test]
fn where_we_are_ourselves_counts_at_once_and_no_lease_says_otherwise() {
    let mut store = complete();
    store.set_own([("a".into(), member(1))].into());
    store.take(Object::Speaker(us(), Some(BTreeMap::new())));
    store.listed(Kind::Lease, &BTreeSet::new());
    let plan = store.plan().unwrap();
    assert_eq!(plan[&Arc::from("a")].members, [(us(), member(1))].into());
}

#[test]
fn what_the_plan_does_not_name_for_what_is_not_known_is_spared() {
    let (known, unread) = (VlanName::from("a"), VlanName::from("b"));
    let mut store = complete();
    assert!(!store.is_spared(&known) && !store.is_spared(&unread));
    store.unreadable(Kind::Tenant, "b");
    assert!(store.is_spared(&unread) && !store.is_spared(&known));
    store.plan();
    store.listed(Kind::Tenant, &["a".to_owned(), "b".to_owned()].into());
    assert!(store.is_spared(&unread) && store.plan().is_none());
    store.take(Object::Tenant(unread.clone(), None));
    assert!(!store.is_spared(&unread) && store.plan().is_some(), "it is read, and has no VLAN");
    store.unreadable(Kind::Tenant, "b");
    store.listed(Kind::Tenant, &names(Kind::Tenant));
    assert!(!store.is_spared(&unread), "it is gone");
    store.listed(Kind::Node, &BTreeSet::new());
    assert!(!store.knows_us() && store.is_spared(&known));
}

#[test]
fn another_speaker_is_there_as_long_as_its_lease() {
    let other: NodeName = "n2".parse().unwrap();
    let mut store = complete();
    store.take(Object::Node(other.clone(), Some(Node::default())));
    store.set_own([("a".into(), member(1))].into());
    store.take(Object::Speaker(other.clone(), Some([("a".into(), member(2))].into())));
    assert_eq!(store.plan().unwrap()[&Arc::from("a")].members.len(), 2);
    store.listed(Kind::Lease, &BTreeSet::new());
    assert!(!store.plan().unwrap()[&Arc::from("a")].members.contains_key(&other));
}

#[test]
fn a_tenant_that_is_being_deleted_keeps_its_vlan_until_its_last_address_is_gone() {
    let mut store = complete();
    store.take(tenant(true));
    assert_eq!(store.plan().unwrap().len(), 1);
    store.take(Object::Eip(address(), None));
    assert_eq!(store.plan().unwrap().len(), 0);
    store.take(tenant(false));
    assert_eq!(store.plan().unwrap().len(), 1);
}

#[test]
fn what_pools_give_next_is_asked_ahead_and_not_waited_for() {
    let mut store = complete();
    store.plan();
    let next = |last: u8| Some([IpAddr::from([10, 205, 0, last])].into());
    store.take(Object::Pool("lan".to_owned(), next(60)));
    assert!(store.plan().is_some(), "it was never listed");
    store.take(Object::Pool("lan".to_owned(), next(60)));
    assert!(store.plan().is_none(), "it says the same");
    store.listed(Kind::Pool, &BTreeSet::new());
    assert!(store.plan().is_some() && store.world.next.is_empty());
}
