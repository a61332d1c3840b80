use pools::Protocol;

use super::*;
use crate::health::{Failing, Target};
use crate::mac::MacAddress;

fn node(number: u8) -> NodeName {
    format!("node{number}").parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn member(number: u8) -> Member {
    let mac = MacAddress::new([2, 0, 0, 0, 0, number]).unwrap();
    Member { mac, address: mac.link_local() }
}

fn labelled(key: &str, value: &str) -> Selector {
    Selector { labels: [(key.to_owned(), value.to_owned())].into(), requirements: Vec::new() }
}

const HTTP: Port = Port { protocol: Protocol::Tcp, number: 80 };

fn eip() -> Eip {
    let machine = |address| Machine { address: ip(address), mac: None };
    let machines = Arc::new(["10.0.0.1", "10.0.0.2", "2001:db8::1"].map(machine).into());
    Eip {
        uid: "uid".into(),
        vlan: "a".into(),
        tenant: "tenant-a".into(),
        advertised: Arc::new(["all".to_owned()].into()),
        delivery: Delivery::Routed { machines },
        ports: [HTTP].into(),
        probe: None,
        announced: false,
    }
}

/// Three nodes of two racks on the VLAN of one tenant, with one address.
fn world() -> World {
    let rack = |number: u8| if number == 3 { "b" } else { "a" };
    let labels = |number: u8| Labels::from([("rack".to_owned(), rack(number).to_owned())]);
    let connection = |rack: &str, interface: &str| Connection {
        nodes: labelled("rack", rack),
        interface: interface.to_owned(),
        kind: ConnectionKind::Macvlan,
    };
    let interfaces = vec![connection("a", "eth1"), connection("b", "bond0")];
    let addresses = ["198.51.100.0/24".parse().unwrap()].into_iter().collect();
    let vlan: VlanName = "a".into();
    World {
        vlans: [(
            vlan.clone(),
            VlanSpec { tenant: "tenant-a".into(), addresses, interfaces, ..VlanSpec::default() },
        )]
        .into(),
        eips: [(ip("198.51.100.9"), eip())].into(),
        next: BTreeMap::new(),
        advertisements: [("all".to_owned(), Advertisement::default())].into(),
        nodes: (1..=3).map(|n| (node(n), Node { labels: labels(n), excluded: false })).collect(),
        speakers: (1..=3).map(|n| (node(n), [(vlan.clone(), member(n))].into())).collect(),
    }
}

fn part(world: &World) -> Part {
    world.plan(&node(1)).remove("a").unwrap()
}

fn announcers(world: &World) -> Vec<NodeName> {
    let orders = part(world).orders;
    orders.values().flat_map(|order| order.nodes.iter().cloned()).collect()
}

#[test]
fn addresses_share_what_they_have_alike_and_nothing_else() {
    let mut world = world();
    let nodes = [node(2)].into();
    let own = Eip { delivery: Delivery::Local { nodes }, ..eip() };
    let [one, other, six, local] =
        ["198.51.100.9", "198.51.100.10", "2001:db8::9", "198.51.100.11"].map(ip);
    world.eips = [(one, eip()), (other, eip()), (six, eip()), (local, own)].into();
    let Part { routes, orders, .. } = part(&world);
    assert_eq!(*routes[&one], [ip("10.0.0.1"), ip("10.0.0.2")].into());
    assert!(Arc::ptr_eq(&routes[&one], &routes[&other]));
    assert_eq!(*routes[&six], [ip("2001:db8::1")].into());
    assert!(Arc::ptr_eq(&orders[&one].nodes, &orders[&six].nodes));
    assert_eq!((orders[&one].nodes.len(), orders[&local].nodes.len()), (3, 1));

    world.eips.values_mut().for_each(|eip| eip.probe = Some(10_256));
    let healthy = part(&world).without(&failing(10_256));
    assert_eq!(*healthy.routes[&one], [ip("10.0.0.2")].into());
    assert!(Arc::ptr_eq(&healthy.routes[&one], &healthy.routes[&other]));
}

#[test]
fn an_address_leads_to_the_machines_of_its_family_and_its_ports_are_open() {
    let part = part(&world());
    let address = ip("198.51.100.9");
    assert_eq!(
        part.routes,
        Wanted::from([(address, Arc::new([ip("10.0.0.1"), ip("10.0.0.2")].into()))])
    );
    assert_eq!(part.gate.services, [(address, HTTP)].into());
    assert_eq!(part.gate.peers, (1..=3).map(|n| member(n).address).collect());
    assert_eq!(part.connection.interface, "eth1");
    assert_eq!(part.members.len(), 3);
}

#[test]
fn all_nodes_come_to_the_same_orders() {
    let world = world();
    let orders = |n| world.plan(&node(n)).remove("a").unwrap().orders;
    assert_eq!(orders(1), orders(3));
    assert_eq!(announcers(&world), [node(1), node(2), node(3)]);
}

#[test]
fn a_node_that_is_not_connected_has_no_part_in_a_vlan() {
    let mut world = world();
    world.nodes.get_mut(&node(1)).unwrap().labels.clear();
    assert!(world.plan(&node(1)).is_empty());
    let part = world.plan(&node(2)).remove("a").unwrap();
    assert_eq!(part.members.keys().cloned().collect::<Vec<_>>(), [node(2), node(3)]);
}

#[test]
fn of_many_speakers_eight_take_part_and_for_each_address_one_at_least() {
    let mut world = world();
    for number in 4..=20 {
        let labels = Labels::from([("rack".to_owned(), "a".to_owned())]);
        world.nodes.insert(node(number), Node { labels, excluded: false });
        world.speakers.insert(node(number), [(VlanName::from("a"), member(number))].into());
    }
    let rack_b = Advertisement { nodes: vec![labelled("rack", "b")], ..Advertisement::default() };
    world.advertisements.insert("b".to_owned(), rack_b);
    assert_eq!(part(&world).members.len(), 8);
    // The only one of its rack.
    let only = Eip { advertised: Arc::new(["b".to_owned()].into()), ..eip() };
    world.eips.insert(ip("198.51.100.10"), only);
    let members = part(&world).members;
    assert_eq!((members.len(), members.contains_key(&node(3))), (8, true));
    let others = world.plan(&node(20)).remove("a").unwrap().members;
    assert_eq!(members, others, "all come to the same");
}

#[test]
fn a_node_that_is_kept_out_or_does_not_exist_is_no_member() {
    let mut world = world();
    world.nodes.get_mut(&node(2)).unwrap().excluded = true;
    world.nodes.remove(&node(3));
    assert_eq!(part(&world).members.keys().cloned().collect::<Vec<_>>(), [node(1)]);
    assert!(!announcers(&world).contains(&node(3)));
}

#[test]
fn leases_of_nodes_that_are_gone_take_no_place() {
    let mut world = world();
    for number in 4..=40 {
        world.speakers.insert(node(number), [(VlanName::from("a"), member(number))].into());
    }
    let members = |world: &World| part(world).members.into_keys().collect::<Vec<_>>();
    assert_eq!(members(&world), [node(1), node(2), node(3)]);
    world.eips.clear();
    assert_eq!(members(&world), [node(1), node(2), node(3)], "nor before there is an address");
}

#[test]
fn a_connection_is_alike_whichever_nodes_it_selects() {
    let one = Connection { interface: "eth1".to_owned(), ..Connection::default() };
    assert!(one.is_alike(&Connection { nodes: labelled("rack", "b"), ..one.clone() }));
    assert!(!one.is_alike(&Connection { interface: "eth2".to_owned(), ..one.clone() }));
    assert!(!one.is_alike(&Connection { kind: ConnectionKind::Moved, ..one.clone() }));
}

#[test]
fn advertisements_choose_nodes_and_interfaces_and_how_often() {
    let mut world = world();
    let rack_b = Advertisement { nodes: vec![labelled("rack", "b")], ..Advertisement::default() };
    let eth1 = Advertisement { interfaces: ["eth1".to_owned()].into(), ..Advertisement::default() };
    for (advertisement, nodes) in [(rack_b, vec![node(3)]), (eth1, vec![node(1), node(2)])] {
        world.advertisements.insert("all".to_owned(), advertisement);
        assert_eq!(announcers(&world), nodes);
    }
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (name, refresh) in [("one", 30), ("two", 20)] {
        let often = Advertisement { refresh: seconds(refresh), ..Advertisement::default() };
        world.advertisements.insert(name.to_owned(), often);
        let eip = world.eips.get_mut(&ip("198.51.100.9")).unwrap();
        Arc::make_mut(&mut eip.advertised).insert(name.to_owned());
    }
    let order = part(&world).orders.remove(&ip("198.51.100.9")).unwrap();
    assert_eq!(order.refresh, Duration::from_secs(20));
    assert_eq!(order.nodes.len(), 3, "any of them is enough");
}

#[test]
fn an_address_that_no_advertisement_is_for_has_its_way_and_is_not_announced() {
    let mut world = world();
    world.advertisements.clear();
    let part = part(&world);
    assert!(part.orders.is_empty());
    assert_eq!((part.routes.len(), part.gate.services.len()), (1, 1));
}

#[test]
fn of_a_tenant_that_is_another_by_now_nothing_is_served() {
    let mut world = world();
    world.vlans.get_mut("a").unwrap().tenant = "another".into();
    let part = part(&world);
    assert!(part.orders.is_empty() && part.routes.is_empty() && part.gate.services.is_empty());
}

#[test]
fn direct_delivery_needs_no_way_through_the_speaker() {
    let mut world = world();
    let machines = Arc::new([Machine { address: ip("10.0.0.1"), mac: Some(member(9).mac) }].into());
    world.eips.get_mut(&ip("198.51.100.9")).unwrap().delivery = Delivery::Direct { machines };
    let part = part(&world);
    assert_eq!((part.orders.len(), part.routes.len()), (1, 0));
    assert!(part.gate.services.is_empty());
}

#[test]
fn what_a_speaker_announced_before_is_known() {
    let mut world = world();
    world.eips.get_mut(&ip("198.51.100.9")).unwrap().announced = true;
    assert!(part(&world).orders.values().all(|order| order.announced));
}

#[test]
fn what_pools_on_a_vlan_give_next_is_asked_ahead_by_whoever_may_announce_it() {
    let mut world = world();
    assert_eq!(part(&world).ahead, Ahead::default());
    world.next = [
        ("on it".to_owned(), ["198.51.100.9", "198.51.100.10"].map(ip).into()),
        ("elsewhere".to_owned(), ["203.0.113.7"].map(ip).into()),
    ]
    .into();
    let rack_b = Advertisement { nodes: vec![labelled("rack", "b")], ..Advertisement::default() };
    world.advertisements.insert("b".to_owned(), rack_b);
    let ahead = part(&world).ahead;
    let expected = ["198.51.100.9", "198.51.100.10"].map(ip).into();
    assert_eq!(ahead.addresses, expected, "one was given, and has no order with its speaker yet");
    assert_eq!(
        ahead.nodes,
        [Arc::new((1..=3).map(node).collect()), Arc::new([node(3)].into())].into()
    );
}

/// One whose first machine is out.
fn failing(port: u16) -> Failing {
    [(Target { machine: ip("10.0.0.1"), port }, "answered 503".to_owned())].into()
}

/// The world of before, whose machines are asked at a port.
fn probed() -> World {
    let mut world = world();
    world.eips.insert(ip("198.51.100.9"), Eip { probe: Some(10_256), ..eip() });
    world
}

#[test]
fn machines_are_asked_where_a_node_has_an_address_to_ask_by() {
    let mut world = probed();
    assert_eq!(part(&world).targets(), [].into(), "by none");
    let source = Source { address: ip("10.0.0.241"), prefix: 32 };
    let vlan = world.vlans.values_mut().next().unwrap();
    vlan.sources.insert(node(1), [source].into());
    vlan.sources.insert(node(2), [Source { address: ip("10.0.0.242"), prefix: 32 }].into());
    let part = part(&world);
    assert_eq!(part.sources, [source].into(), "by our own");
    let target = |machine| Target { machine: ip(machine), port: 10_256 };
    // Those of the address' family.
    assert_eq!(part.targets(), [target("10.0.0.1"), target("10.0.0.2")].into());
    assert_eq!(part.gate.probed, part.targets());
}

#[test]
fn a_machine_that_is_out_is_led_to_by_no_address_that_is_probed() {
    let mut world = probed();
    world.eips.insert(ip("198.51.100.10"), eip());
    let part = part(&world);
    let healthy = part.without(&failing(10_256));
    assert_eq!(*healthy.routes[&ip("198.51.100.9")], [ip("10.0.0.2")].into());
    assert_eq!(healthy.routes[&ip("198.51.100.10")], part.routes[&ip("198.51.100.10")]);
    assert_eq!(part.without(&failing(30_000)), part, "it is out at another port");
    assert_eq!(part.without(&Failing::new()), part);
}

#[test]
fn direct_delivery_chooses_among_the_machines_that_are_in_and_all_if_none_is() {
    let mut world = world();
    let machine = |address| Machine { address: ip(address), mac: None };
    let both: Arc<BTreeSet<Machine>> = Arc::new(["10.0.0.1", "10.0.0.2"].map(machine).into());
    let delivery = Delivery::Direct { machines: both.clone() };
    let eip = Eip { probe: Some(10_256), delivery, ..eip() };
    world.eips.insert(ip("198.51.100.9"), eip);
    let part = part(&world);
    let machines = |part: &Part| match &part.orders[&ip("198.51.100.9")].delivery {
        Delivery::Direct { machines } => machines.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(*machines(&part.without(&failing(10_256))), [machine("10.0.0.2")].into());
    let mut all = failing(10_256);
    all.insert(Target { machine: ip("10.0.0.2"), port: 10_256 }, String::new());
    assert_eq!(machines(&part.without(&all)), both);
}
