//! Recorded sessions with real servers, replayed through the core: what the client says is what was
//! recorded, and the replica ends as the recording says (`examples/record.rs` makes them).
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ovn_client::nb::{self, LoadBalancer, LogicalRouter, TypedRow};
use ovn_client::ovsdb::session::{Acceptance, Progress, Session, SessionConfig, SessionEvent};
use ovn_client::{DatabaseSpec, FrameLimits, Replica};
use serde_json::Value;

/// What the recordings follow, whatever columns the types have by now.
fn spec() -> DatabaseSpec {
    let balancer = LoadBalancer::spec().only([
        "external_ids",
        "health_check",
        "ip_port_mappings",
        "name",
        "options",
        "protocol",
        "selection_fields",
        "vips",
    ]);
    let router = LogicalRouter::spec().only([
        "enabled",
        "external_ids",
        "load_balancer",
        "load_balancer_group",
        "name",
        "nat",
        "options",
        "policies",
        "ports",
        "static_routes",
    ]);
    nb::database([balancer, router])
}

/// Replays a recording and gives the replica it ends with.
fn replay(name: &str) -> Replica {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name);
    let recording = std::fs::read_to_string(path).unwrap();
    let config = SessionConfig {
        spec: Arc::new(spec()),
        probe_interval: None,
        reply_timeout: None,
        limits: FrameLimits::default(),
        acceptance: Acceptance { leader_only: false, cluster: None },
    };
    let mut session = Session::new(config, None, Progress::default(), Instant::now());
    let mut replica = Replica::default();
    let mut said = Vec::new();
    for (number, line) in recording.lines().enumerate() {
        match line.split_at(2) {
            ("> ", message) => {
                let mut out = Vec::new();
                session.poll_transmit(&mut out);
                said.extend(
                    serde_json::Deserializer::from_slice(&out).into_iter().map(Result::unwrap),
                );
                assert!(!said.is_empty(), "line {}: the client says nothing", number + 1);
                let (ours, theirs): (Value, Value) =
                    (said.remove(0), serde_json::from_str(message).unwrap());
                assert_eq!(ours, theirs, "line {}", number + 1);
            }
            ("< ", message) => {
                session.handle_input(message.as_bytes(), Instant::now()).unwrap();
                apply(&mut session, &mut replica);
            }
            (mark, _) => panic!("line {}: {mark:?} is no mark", number + 1),
        }
    }
    replica
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
    let replica = replay("standalone");
    let expected = [
        ("kept".to_owned(), vec![pair("192.0.2.1:80", "10.0.0.2:80")], true),
        ("more".to_owned(), vec![pair("192.0.2.3:80", "10.0.0.1:80,10.0.0.2:80")], false),
    ];
    assert_eq!(balancers(&replica), expected);
}

#[test]
fn a_member_of_a_cluster_whose_rows_change() {
    let replica = replay("clustered");
    assert!(replica.last_transaction().is_some());
    let expected = [
        ("kept".to_owned(), vec![pair("192.0.2.1:80", "10.0.0.2:80")], true),
        ("more".to_owned(), vec![pair("192.0.2.3:80", "10.0.0.1:80,10.0.0.2:80")], false),
    ];
    assert_eq!(balancers(&replica), expected);
}
