use cpo_api::AnnouncementState;
use speaker_core::order::Delivery;
use speaker_core::world::Eip;

use super::*;

const NOW: Duration = Duration::from_secs(100);

fn address() -> IpAddr {
    "10.205.0.50".parse().unwrap()
}

fn vlan() -> VlanName {
    "a".into()
}

fn entry(uid: &str) -> Entry {
    Entry { uid: uid.into(), state: AnnouncementState::Announced, message: String::new() }
}

fn eip(uid: &str, version: u64, ours: Option<Entry>) -> Box<SeenEip> {
    let ours = ours.map(|entry| EipAnnouncement {
        node: "n1".to_owned(),
        uid: entry.uid.to_string(),
        state: entry.state,
        message: entry.message,
    });
    let eip = Eip {
        uid: uid.into(),
        vlan: vlan(),
        tenant: "t1".into(),
        advertised: Arc::default(),
        delivery: Delivery::Local { nodes: BTreeSet::new() },
        ports: BTreeSet::new(),
        probe: None,
        announced: false,
    };
    Box::new(SeenEip { eip, version: Some(version), ours })
}

fn planned() -> Announcements {
    let mut announcements = Announcements::default();
    announcements.planned();
    announcements
}

/// One that sees an `Eip` without our entry.
fn seeing(uid: &str) -> Announcements {
    let mut announcements = planned();
    assert!(announcements.see(address(), Some(&eip(uid, 1, None)), Source::List));
    assert_eq!(announcements.next(NOW), None);
    announcements
}

fn next(announcements: &mut Announcements) -> Option<Option<Entry>> {
    announcements.next(NOW).map(|write| write.entry)
}

#[test]
fn what_is_announced_is_written_once_and_the_answer_counts_as_seen() {
    let mut announcements = seeing("u1");
    announcements.say(&vlan(), address(), Some(entry("u1")));
    let write = announcements.next(NOW).unwrap();
    assert_eq!((write.address, write.entry.clone()), (address(), Some(entry("u1"))));
    assert_eq!(announcements.next(NOW), None, "one at a time");
    let made = eip("u1", 2, Some(entry("u1")));
    let news = announcements.ended(&write, Written::Done(Some(made.clone())), NOW);
    assert_eq!(news, Some(made));
    assert_eq!(announcements.next(NOW), None);
    assert!(announcements.is_at_rest());
    // The watch tells of it later, and of what was before.
    assert!(!announcements.see(address(), Some(&eip("u1", 1, None)), Source::Watch));
    announcements.see(address(), Some(&eip("u1", 2, Some(entry("u1")))), Source::Watch);
    assert_eq!(announcements.next(NOW), None);
}

#[test]
fn what_is_withdrawn_is_removed_and_what_somebody_took_away_is_written_again() {
    let mut announcements = seeing("u1");
    announcements.see(address(), Some(&eip("u1", 2, Some(entry("u1")))), Source::Watch);
    assert_eq!(next(&mut announcements), Some(None), "nobody announces it");
    let mut announcements = seeing("u1");
    announcements.say(&vlan(), address(), Some(entry("u1")));
    let write = announcements.next(NOW).unwrap();
    announcements.ended(&write, Written::Done(Some(eip("u1", 2, Some(entry("u1"))))), NOW);
    announcements.see(address(), Some(&eip("u1", 3, None)), Source::Watch);
    assert_eq!(next(&mut announcements), Some(Some(entry("u1"))));
}

#[test]
fn nothing_is_said_of_another_incarnation() {
    let mut announcements = seeing("u2");
    announcements.say(&vlan(), address(), Some(entry("u1")));
    assert_eq!(announcements.next(NOW), None);
    announcements.say(&"b".into(), address(), Some(entry("u2")));
    announcements.say(&vlan(), address(), None);
    assert_eq!(next(&mut announcements), Some(Some(entry("u2"))), "that of the other VLAN");
}

#[test]
fn what_changes_during_a_write_is_written_after_it() {
    let mut announcements = seeing("u1");
    announcements.say(&vlan(), address(), Some(entry("u1")));
    let write = announcements.next(NOW).unwrap();
    announcements.say(&vlan(), address(), None);
    assert_eq!(announcements.next(NOW), None);
    announcements.ended(&write, Written::Done(Some(eip("u1", 2, Some(entry("u1"))))), NOW);
    assert_eq!(next(&mut announcements), Some(None));
}

#[test]
fn an_answer_brings_nothing_back_that_was_deleted_meanwhile() {
    let mut announcements = seeing("u1");
    announcements.say(&vlan(), address(), Some(entry("u1")));
    let write = announcements.next(NOW).unwrap();
    announcements.see(address(), None, Source::Watch);
    let made = eip("u1", 2, Some(entry("u1")));
    assert_eq!(announcements.ended(&write, Written::Done(Some(made)), NOW), None);
    assert_eq!(announcements.next(NOW), None);
}

#[test]
fn what_failed_is_tried_again_in_its_time() {
    let mut announcements = seeing("u1");
    announcements.say(&vlan(), address(), Some(entry("u1")));
    let write = announcements.next(NOW).unwrap();
    announcements.ended(&write, Written::Failed, NOW);
    let again = announcements.deadline().unwrap();
    assert_eq!((announcements.next(NOW), again), (None, NOW + BACKOFF[0]));
    assert!(!announcements.is_at_rest());
    let write = announcements.next(again).unwrap();
    announcements.ended(&write, Written::Failed, again);
    assert_eq!(announcements.deadline(), Some(again + BACKOFF[0] * 2));
}

#[test]
fn what_was_refused_is_tried_again_also_without_word_of_the_watch() {
    let mut announcements = seeing("u1");
    announcements.say(&vlan(), address(), Some(entry("u1")));
    let write = announcements.next(NOW).unwrap();
    announcements.ended(&write, Written::Refused, NOW);
    assert_eq!(announcements.next(NOW), None);
    let again = announcements.deadline().unwrap();
    assert_eq!(announcements.next(again), Some(write));
}

#[test]
fn what_the_watch_told_during_a_write_of_the_one_before_is_looked_at_after_it() {
    for ended in [Written::Refused, Written::Done(None), Written::Done(Some(eip("u1", 5, None)))] {
        let mut announcements = seeing("u1");
        announcements.say(&vlan(), address(), Some(entry("u1")));
        let write = announcements.next(NOW).unwrap();
        announcements.see(address(), Some(&eip("u2", 9, None)), Source::Watch);
        announcements.say(&vlan(), address(), Some(entry("u2")));
        assert_eq!(announcements.next(NOW), None);
        announcements.ended(&write, ended, NOW);
        assert_eq!(next(&mut announcements), Some(Some(entry("u2"))));
    }
}

#[test]
fn what_is_of_no_concern_after_a_write_is_looked_at_no_more() {
    let mut announcements = seeing("u1");
    announcements.see(address(), Some(&eip("u1", 2, Some(entry("u1")))), Source::Watch);
    let write = announcements.next(NOW).unwrap();
    assert_eq!(write.entry, None);
    announcements.ended(&write, Written::Done(None), NOW);
    assert!(announcements.next(NOW).is_none() && announcements.is_at_rest());
}

fn contested(by: u64) -> Entry {
    let message = format!("answered by {by}");
    Entry { state: AnnouncementState::Contested, message, ..entry("u1") }
}

#[test]
fn a_text_alone_is_written_once_a_second_and_a_state_at_once() {
    let mut announcements = seeing("u1");
    let ms = Duration::from_millis;
    let mut written = Vec::new();
    for step in 0..300_u64 {
        let now = NOW + ms(step * 10);
        announcements.say(&vlan(), address(), Some(contested(step)));
        if let Some(write) = announcements.next(now) {
            let made = eip("u1", step + 2, write.entry.clone());
            announcements.ended(&write, Written::Done(Some(made)), now);
            written.push(step * 10);
        }
    }
    assert_eq!(written, [0, 1_000, 2_000]);
    let now = NOW + ms(2_990);
    assert_eq!((announcements.next(now), announcements.deadline()), (None, Some(NOW + ms(3_000))));
    assert!(!announcements.is_at_rest());
    announcements.say(&vlan(), address(), Some(entry("u1")));
    assert_eq!(announcements.next(now).unwrap().entry, Some(entry("u1")), "another state");
}

#[test]
fn low_addresses_do_not_keep_higher_ones_from_their_turn() {
    let mut announcements = planned();
    let addresses = [1, 2, 3].map(|last| IpAddr::from([10, 205, 0, last]));
    for address in addresses {
        announcements.see(address, Some(&eip("u1", 1, None)), Source::List);
        announcements.say(&vlan(), address, Some(entry("u1")));
    }
    let mut turns = Vec::new();
    for _ in 0..3 {
        let write = announcements.next(NOW).unwrap();
        // It is not as it should be afterwards, and looked at again.
        let made = eip("u1", 2, Some(contested(7)));
        announcements.ended(&write, Written::Done(Some(made)), NOW);
        announcements.failed.clear();
        announcements.look.insert(write.address);
        turns.push(write.address);
    }
    assert_eq!(turns, addresses);
}

#[test]
fn when_nobody_speaks_any_more_every_entry_of_ours_goes() {
    let mut announcements = Announcements::default();
    announcements.begin(vlan());
    announcements.see(address(), Some(&eip("u1", 1, Some(entry("u1")))), Source::List);
    announcements.say(&vlan(), address(), Some(entry("u1")));
    assert_eq!(announcements.next(NOW), None);
    announcements.silence();
    announcements.say(&vlan(), address(), Some(entry("u1")));
    assert_eq!(next(&mut announcements), Some(None));
}

#[test]
fn a_write_without_effect_is_not_repeated_at_once() {
    let mut announcements = seeing("u1");
    announcements.say(&vlan(), address(), Some(entry("u1")));
    let write = announcements.next(NOW).unwrap();
    announcements.ended(&write, Written::Done(Some(eip("u1", 2, None))), NOW);
    assert_eq!(announcements.next(NOW), None);
    assert!(announcements.deadline().is_some());
}

#[test]
fn what_an_earlier_run_said_stands_until_its_vlan_is_settled() {
    let mut announcements = Announcements::default();
    let left = eip("u1", 1, Some(entry("u1")));
    announcements.see(address(), Some(&left), Source::List);
    assert_eq!(announcements.next(NOW), None, "it is not known which VLANs are ours");
    announcements.begin(vlan());
    announcements.planned();
    assert_eq!(announcements.next(NOW), None);
    announcements.settle(&vlan());
    assert_eq!(next(&mut announcements), Some(None));
}

#[test]
fn what_an_earlier_run_said_on_a_vlan_that_is_not_ours_goes_at_once() {
    let mut announcements = Announcements::default();
    announcements.see(address(), Some(&eip("u1", 1, Some(entry("u1")))), Source::List);
    announcements.begin("b".into());
    announcements.planned();
    assert_eq!(next(&mut announcements), Some(None));
}

#[test]
fn the_body_names_an_entry_with_its_incarnation_or_nothing() {
    let us: NodeName = "n1".parse().unwrap();
    let entry = Entry {
        uid: "u1".into(),
        state: AnnouncementState::Conflict,
        message: "answered by 02:00:00:00:00:01".to_owned(),
    };
    let write = Write { address: address(), uid: "u1".into(), entry: Some(entry) };
    let expected = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1",
        "kind": "Eip",
        "metadata": { "name": "10.205.0.50" },
        "status": { "announcements": [{
            "node": "n1",
            "uid": "u1",
            "state": "Conflict",
            "message": "answered by 02:00:00:00:00:01",
        }] },
    });
    assert_eq!(write.body(&us), expected);
    let removed = Write { entry: None, ..write }.body(&us);
    assert_eq!(removed.get("status"), None);
}

#[test]
fn an_entry_that_hit_the_next_incarnation_is_removed_from_it() {
    let mut announcements = seeing("u2");
    announcements.see(address(), Some(&eip("u2", 2, Some(entry("u1")))), Source::Watch);
    announcements.say(&vlan(), address(), Some(entry("u1")));
    assert_eq!(next(&mut announcements), Some(None));
}
