//! The engine, fed and obeyed by a bench.

#[path = "engine_tests/answers.rs"]
mod answers;
#[path = "engine_tests/assignments.rs"]
mod assignments;
#[path = "engine_tests/bench.rs"]
mod bench;
#[path = "engine_tests/brake.rs"]
mod brake;
#[path = "engine_tests/chores.rs"]
mod chores;
#[path = "engine_tests/fairness.rs"]
mod fairness;
#[path = "engine_tests/families.rs"]
mod families;
#[path = "engine_tests/histories.rs"]
mod histories;
#[path = "engine_tests/in_cluster.rs"]
mod in_cluster;
#[path = "engine_tests/knowledge.rs"]
mod knowledge;
#[path = "engine_tests/namespaces.rs"]
mod namespaces;
#[path = "engine_tests/records.rs"]
mod records;
#[path = "engine_tests/reservations.rs"]
mod reservations;
#[path = "engine_tests/sharing.rs"]
mod sharing;
#[path = "engine_tests/speakers.rs"]
mod speakers;
#[path = "engine_tests/standby.rs"]
mod standby;
#[path = "engine_tests/vlan.rs"]
mod vlan;
