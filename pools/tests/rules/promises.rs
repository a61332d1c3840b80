//! What was given and has no record yet.

use super::*;

fn pool() -> Scene {
    Scene::new([("pool", spec(&["10.0.0.0/30", "2001:db8::/126"]))])
}

fn promised(scene: &Scene, address: &str) -> bool {
    scene.allocator.entry(ip(address)).is_some_and(|entry| entry.promised)
}

#[test]
fn what_is_given_is_a_promise_until_its_record_is_told() {
    let mut scene = pool();
    assert!(matches!(scene.assign("s", V4), Ok(Assigned::New(_))));
    assert!(promised(&scene, "10.0.0.0"));
    assert!(matches!(scene.assign("s", V4), Ok(Assigned::Kept(_))), "it is asked again");
    bound(&mut scene, "10.0.0.0", &["s"]).unwrap();
    assert!(!promised(&scene, "10.0.0.0"));
    scene.allocator.withdraw(&service("default", "s"));
    assert_eq!(scene.gets("s", V4), ["10.0.0.0"], "what is recorded stays");
    assert!(!promised(&scene, "10.0.0.0"));
}

#[test]
fn what_is_promised_is_free_at_once_when_it_is_withdrawn() {
    let mut scene = pool();
    scene.gets("s", DUAL);
    assert_eq!(scene.allocator.usage("tenant").addresses, PerFamily { v4: 1, v6: 1 });
    scene.allocator.withdraw(&service("default", "s"));
    assert_eq!(scene.allocator.iter().count(), 0);
    assert_eq!(scene.allocator.usage("tenant"), Default::default());
    assert_eq!(scene.gets("t", DUAL), ["10.0.0.0", "2001:db8::"]);
}

#[test]
fn a_promise_that_is_withdrawn_leaves_what_the_record_says() {
    for owner in [
        resting("s"),
        Owner::Kept { tenant: "tenant", namespace: "default", name: "s" },
        Owner::Reserved { tenant: "tenant", service: Some(("default", "s")) },
    ] {
        let mut scene = pool();
        tell(&mut scene, "10.0.0.2", owner).unwrap();
        let before = state(&scene, "10.0.0.2");
        assert_eq!(scene.gets("s", V4), ["10.0.0.2"]);
        assert_eq!(scene.allocator.rested(60), [] as [std::net::IpAddr; 0], "it is in use");
        // The record is told again while the Service is about to be written into it.
        tell(&mut scene, "10.0.0.2", owner).unwrap();
        assert_eq!(state(&scene, "10.0.0.2"), assigned(&["s"]));
        scene.allocator.withdraw(&service("default", "s"));
        assert_eq!(state(&scene, "10.0.0.2"), before);
    }
}

#[test]
fn a_promise_to_share_leaves_those_that_share_already() {
    let mut scene = pool();
    let with = |port| Ask { sharing: Some(("k", "")), port, ..V4 };
    scene.gets("s1", with(80));
    let services = [Bound { namespace: "default", name: "s1", ports: &[] }];
    let sharing = Some(pools::Sharing { key: "k", backends: "" });
    let owner = Owner::Services { tenant: "tenant", services: &services, sharing };
    tell(&mut scene, "10.0.0.0", owner).unwrap();
    assert_eq!(scene.gets("s2", with(81)), ["10.0.0.0"]);
    tell(&mut scene, "10.0.0.0", owner).unwrap();
    assert_eq!(state(&scene, "10.0.0.0"), assigned(&["s1", "s2"]), "the old record says nothing");
    scene.allocator.withdraw(&service("default", "s2"));
    assert_eq!(state(&scene, "10.0.0.0"), assigned(&["s1"]));
    // A record that names a Service twice has its last ports.
    scene.gets("s2", with(81));
    let port = |number| [pools::Port { protocol: pools::Protocol::Tcp, number }];
    let (before, last) = (port(81), port(82));
    let twice = [&before, &last].map(|ports| Bound { ports, ..services[0] });
    let owner = Owner::Services { tenant: "tenant", services: &twice, sharing };
    tell(&mut scene, "10.0.0.0", owner).unwrap();
    assert_eq!(state(&scene, "10.0.0.0"), assigned(&["s1", "s2"]));
    // A record that leaves no room ends the promise.
    let alone = Owner::Services { tenant: "tenant", services: &services, sharing: None };
    tell(&mut scene, "10.0.0.0", alone).unwrap();
    assert_eq!(state(&scene, "10.0.0.0"), assigned(&["s1"]));
    assert_eq!(scene.allocator.of(&service("default", "s2")), None);
}

#[test]
fn an_address_whose_record_names_nobody_any_more_is_not_free() {
    let with = |port| Ask { sharing: Some(("k", "")), port, ..V4 };
    let services = [Bound { namespace: "default", name: "s1", ports: &[] }];
    let sharing = Some(pools::Sharing { key: "k", backends: "" });
    let owner = Owner::Services { tenant: "tenant", services: &services, sharing };
    let beside = || {
        let mut scene = pool();
        tell(&mut scene, "10.0.0.0", owner).unwrap();
        assert_eq!(scene.gets("s2", with(81)), ["10.0.0.0"]);
        // Its record has lost its one Service, and has not got the next one yet.
        let freed = scene.allocator.release(&service("default", "s1"), Afterwards::Rest(60));
        assert_eq!(freed, [] as [std::net::IpAddr; 0]);
        assert_eq!(state(&scene, "10.0.0.0"), assigned(&["s2"]));
        scene
    };
    let mut scene = beside();
    scene.allocator.withdraw(&service("default", "s2"));
    assert_eq!(state(&scene, "10.0.0.0"), Some(State::Conflicting), "the record is there");
    assert_eq!(scene.gets("t", V4), ["10.0.0.1"]);
    scene.allocator.forget(ip("10.0.0.0"));
    assert_eq!(scene.gets("u", V4), ["10.0.0.0"], "the record is gone");

    let mut scene = beside();
    let freed = scene.allocator.release(&service("default", "s2"), Afterwards::Rest(60));
    assert_eq!(freed, [ip("10.0.0.0")]);
    let rests = State::Resting { last: Some("default/s2".to_owned()), until: 60 };
    assert_eq!(state(&scene, "10.0.0.0"), Some(rests));
    assert_eq!(scene.gets("s2", with(81)), ["10.0.0.0"]);
    scene.allocator.withdraw(&service("default", "s2"));
    assert_eq!(scene.allocator.rested(60), [ip("10.0.0.0")]);
}

#[test]
fn the_record_of_another_wins_over_a_promise() {
    for owner in [
        resting("t"),
        Owner::Kept { tenant: "tenant", namespace: "default", name: "t" },
        Owner::Reserved { tenant: "tenant", service: Some(("default", "t")) },
        Owner::Reserved { tenant: "other", service: None },
        Owner::Foreign("NAT rule dnat-1"),
    ] {
        let mut scene = pool();
        scene.gets("s", V4);
        tell(&mut scene, "10.0.0.0", owner).unwrap();
        assert_eq!(scene.allocator.of(&service("default", "s")), None, "{owner:?}");
        assert_eq!(scene.gets("s", V4), ["10.0.0.1"]);
    }
    let mut scene = pool();
    scene.gets("s", V4);
    bound(&mut scene, "10.0.0.0", &["t"]).unwrap();
    assert_eq!(state(&scene, "10.0.0.0"), assigned(&["t"]));
    scene.gets("s", V4);
    scene.allocator.forget(ip("10.0.0.1"));
    assert_eq!(scene.allocator.of(&service("default", "s")), None);
    assert_eq!(scene.allocator.usage("tenant").load_balancers, 1);
}

#[test]
fn an_older_record_told_late_does_not_undo_an_assignment_under_way() {
    let mut scene = pool();
    bound(&mut scene, "10.0.0.0", &["s"]).unwrap();
    scene.allocator.release(&service("default", "s"), Afterwards::Rest(60));
    let asks = Ask { addresses: &["10.0.0.3"], ..V4 };
    assert_eq!(scene.gets("s", asks), ["10.0.0.3"]);
    let late = bound(&mut scene, "10.0.0.0", &["s"]);
    assert!(matches!(late, Err(RecordError::Conflict(_))), "{late:?}");
    assert_eq!(scene.gets("s", asks), ["10.0.0.3"]);
    assert_eq!(state(&scene, "10.0.0.0"), Some(State::Conflicting), "it is nobody's meanwhile");
    tell(&mut scene, "10.0.0.0", resting("s")).unwrap();
    bound(&mut scene, "10.0.0.3", &["s"]).unwrap();
    assert_eq!(scene.gets("s", asks), ["10.0.0.3"]);
}
