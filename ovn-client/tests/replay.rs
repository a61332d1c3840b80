//! Recorded sessions with real servers, replayed through the core: what the client says is what was
//! recorded, and the replica ends as the recording says (`recordings/make.sh` makes them).
#![cfg(test)]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ovn_client::nb::{self, LoadBalancer, LogicalRouter, TypedRow};
use ovn_client::ovsdb::session::{
    Acceptance, Progress, Resume, Session, SessionConfig, SessionEvent,
};
use ovn_client::{DatabaseSpec, FrameLimits, Replica, TableSpec};
use serde_json::Value;

/// What the client followed, as it asked for it.
fn spec(recording: &str) -> DatabaseSpec {
    let asked = recording.lines().find(|line| line.contains("monitor_cond_since")).unwrap();
    let asked: Value = serde_json::from_str(asked.strip_prefix("> ").unwrap()).unwrap();
    let columns = |table: &Value| -> Vec<String> {
        serde_json::from_value(table[0]["columns"].clone()).unwrap()
    };
    let tables = asked["params"][2].as_object().unwrap();
    nb::database(tables.iter().map(|(name, table)| TableSpec::new(name.clone(), columns(table))))
}

/// Replays a recording in pieces of at most `cut` bytes, and leads the replica on by it.
fn replay(name: &str, cut: usize, replica: &mut Replica) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name);
    let recording = std::fs::read_to_string(path).unwrap();
    let spec = Arc::new(spec(&recording));
    let resume = replica.last_transaction().map(|transaction| Resume {
        transaction,
        layouts: replica.resolved().layouts.clone(),
        filters: spec.filters(),
    });
    let config = SessionConfig {
        spec,
        probe_interval: None,
        reply_timeout: None,
        limits: FrameLimits::default(),
        acceptance: Acceptance { leader_only: false, cluster: None },
    };
    let mut session = Session::new(config, resume, Progress::default(), Instant::now());
    let mut said = VecDeque::new();
    for (number, line) in (1..).zip(recording.lines()) {
        match line.split_at(2) {
            ("> ", message) => {
                let mut out = Vec::new();
                session.poll_transmit(&mut out);
                let fresh = serde_json::Deserializer::from_slice(&out).into_iter();
                said.extend(fresh.map(Result::<Value, _>::unwrap));
                let theirs: Value = serde_json::from_str(message).unwrap();
                assert_eq!(said.pop_front(), Some(theirs), "line {number}");
            }
            ("< ", message) => {
                for piece in message.as_bytes().chunks(cut) {
                    session.handle_input(piece, Instant::now()).unwrap();
                }
                apply(&mut session, replica);
            }
            (mark, _) => panic!("line {number}: {mark:?} is no mark"),
        }
    }
    assert!(session.is_synced() && said.is_empty(), "{said:?} is not in the recording");
}

fn apply(session: &mut Session, replica: &mut Replica) {
    while let Some(event) = session.poll_event() {
        match event {
            SessionEvent::Contents(newest) => {
                replica.supersede(newest);
            }
            SessionEvent::Resumed { updates, last_transaction }
            | SessionEvent::Updated { updates, last_transaction } => {
                replica.apply(updates, last_transaction).unwrap();
            }
            SessionEvent::Restarted
            | SessionEvent::Transacted(..)
            | SessionEvent::Filtered { .. } => {}
        }
    }
}

/// Replays a client's connections from nothing, whole messages and in small pieces.
fn replayed(names: &[&str]) -> Replica {
    let replayed = |cut| {
        let mut replica = Replica::default();
        names.iter().for_each(|name| replay(name, cut, &mut replica));
        replica
    };
    let [whole, pieces, bytes] = [usize::MAX, 7, 1].map(replayed);
    assert_eq!(balancers(&whole), balancers(&pieces));
    assert_eq!(balancers(&whole), balancers(&bytes));
    whole
}

/// Name, Vips with their backends, and whether a router has it.
type Balancer = (String, Vec<(String, String)>, bool);

fn balancers(replica: &Replica) -> Vec<Balancer> {
    let attached: Vec<_> =
        LogicalRouter::all(replica).flat_map(|router| router.load_balancer).collect();
    let mut rows: Vec<_> = LoadBalancer::all(replica)
        .map(|row| (row.name, row.vips.into_iter().collect(), attached.contains(&row.uuid)))
        .collect();
    rows.sort();
    rows
}

fn pair(vip: &str, backends: &str) -> (String, String) {
    (vip.to_owned(), backends.to_owned())
}

#[test]
fn a_standalone_server_whose_rows_change() {
    let replica = replayed(&["standalone"]);
    let expected = [
        ("kept".to_owned(), vec![pair("192.0.2.1:80", "10.0.0.2:80")], true),
        ("more".to_owned(), vec![pair("192.0.2.3:80", "10.0.0.1:80,10.0.0.2:80")], false),
    ];
    assert_eq!(balancers(&replica), expected);
}

#[test]
fn a_member_of_a_cluster_whose_rows_change() {
    let replica = replayed(&["clustered"]);
    assert!(replica.last_transaction().is_some());
    let expected = [
        ("kept".to_owned(), vec![pair("192.0.2.1:80", "10.0.0.2:80")], true),
        ("more".to_owned(), vec![pair("192.0.2.3:80", "10.0.0.1:80,10.0.0.2:80")], false),
    ];
    assert_eq!(balancers(&replica), expected);
}

#[test]
fn a_member_of_a_cluster_that_tells_only_what_was_missed() {
    let seen = replayed(&["clustered"]);
    let replica = replayed(&["clustered", "resumed"]);
    assert_ne!(seen.last_transaction(), replica.last_transaction());
    let expected = [("kept".to_owned(), vec![pair("192.0.2.1:80", "10.0.0.3:80")], true)];
    assert_eq!(balancers(&replica), expected);
    assert!(LoadBalancer::all(&replica).all(|row| row.options.is_empty()));
}
