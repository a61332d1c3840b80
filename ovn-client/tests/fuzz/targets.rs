//! What is fuzzed. Each target takes any bytes, and panics only if something is wrong.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ovn_client::nb::{self, LoadBalancer, LogicalRouter, TypedRow};
use ovn_client::ovsdb::replica::RowChange;
use ovn_client::ovsdb::session::{Acceptance, Progress, Session, SessionConfig, SessionEvent};
use ovn_client::{
    DatabaseSpec, Datum, FrameLimits, IndexSpec, Insert, Replica, Row, RowFilter, Select,
    TableSpec, Txn, Update, Uuid, Wait,
};

/// A database that has each kind of column.
fn small() -> DatabaseSpec {
    let table = TableSpec::new("T", ["name", "note", "set", "map"]);
    DatabaseSpec::new("D", [table]).index(IndexSpec::column("T", "name"))
}

/// What the recordings of `tests/recordings` follow.
fn northbound() -> DatabaseSpec {
    let index = IndexSpec::column(LoadBalancer::TABLE, "name");
    nb::database([LoadBalancer::spec(), LogicalRouter::spec()]).index(index)
}

fn session(spec: DatabaseSpec) -> Session {
    let config = SessionConfig {
        spec: Arc::new(spec),
        probe_interval: Some(Duration::from_secs(5)),
        reply_timeout: None,
        limits: FrameLimits { message: 1 << 20, depth: 64 },
        acceptance: Acceptance::default(),
    };
    Session::new(config, None, Progress::default(), Instant::now())
}

/// The whole stream of a server, in pieces whose length the first byte says.
pub(crate) fn decode(bytes: &[u8]) {
    let Some((first, stream)) = bytes.split_first() else { return };
    drive(small(), stream.chunks(usize::from(*first).max(1)));
}

/// Updates of a session that is in sync, a line each.
pub(crate) fn updates(bytes: &[u8]) {
    const START: &[u8] = include_bytes!("corpus/decode/session");
    let start = START.split_first().map_or(START, |(_, start)| start);
    drive(small(), std::iter::once(start).chain(bytes.split(|byte| *byte == b'\n')));
}

/// The whole stream of a real server of OVN, in pieces that begin with each line. Gives how many
/// rows the replica ends with.
pub(crate) fn recorded(bytes: &[u8]) -> usize {
    drive(northbound(), bytes.split_inclusive(|byte| *byte == b'\n'))
}

/// Feeds a session, and keeps a replica as a client does. Whatever is told to have changed is what
/// leads from one state to the next.
fn drive<'b>(spec: DatabaseSpec, pieces: impl Iterator<Item = &'b [u8]>) -> usize {
    let tables: Vec<String> = spec.tables.iter().map(|table| table.name.to_string()).collect();
    let mut session = session(spec.clone());
    let mut replica = Replica::default();
    let (mut known, mut names) = (Known::new(), BTreeSet::new());
    for piece in pieces {
        let handled = session.handle_input(piece, Instant::now());
        let handled = match session.poll_decode() {
            Some(decode) => {
                handled.and_then(|()| session.handle_decoded(decode.run(), Instant::now()))
            }
            None => handled,
        };
        while let Some(event) = session.poll_event() {
            let changes = match event {
                SessionEvent::Contents(newest) => replica.supersede(newest),
                SessionEvent::Resumed { updates, last_transaction }
                | SessionEvent::Updated { updates, last_transaction } => {
                    let before = rows(&replica, &tables);
                    match replica.apply(updates, last_transaction) {
                        Ok(changes) => changes,
                        Err(_) => {
                            assert_eq!(rows(&replica, &tables), before, "half of it is applied");
                            indexed(&replica, &tables, &mut names);
                            return known.len();
                        }
                    }
                }
                SessionEvent::Restarted
                | SessionEvent::Transacted(..)
                | SessionEvent::Filtered { .. } => continue,
            };
            follow(&mut known, changes);
            assert_eq!(known, rows(&replica, &tables), "what was told is not what changed");
            indexed(&replica, &tables, &mut names);
        }
        if handled.is_err() {
            return known.len();
        }
        if session.is_synced() {
            // So that replies have something to answer.
            let table = spec.tables.first().map(|table| table.name.clone()).unwrap_or_default();
            let _ = session.handle_transact(&of_each_kind(table.clone()), Instant::now());
            let _ = session.handle_filter(table, RowFilter::All, Instant::now());
        }
        session.poll_transmit(&mut Vec::new());
    }
    known.len()
}

/// A transaction of an operation of each kind.
fn of_each_kind(table: impl Into<Cow<'static, str>>) -> Txn {
    let table = table.into();
    let one = Uuid::from_u128(1);
    Txn::new()
        .with(Wait::row(table.clone(), one).fence())
        .with(Insert::new(table.clone(), one).set("name", "n"))
        .with(Update::row(table.clone(), one).set("name", "m").expect_count(1))
        .with(Select::all(table.clone()))
        .comment("c")
}

/// Rows by table and identifier.
type Known = BTreeMap<(String, Uuid), Arc<Row>>;

fn rows(replica: &Replica, tables: &[String]) -> Known {
    let rows = |name: &String| {
        let rows = replica.table(name).iter();
        rows.map(|row| ((name.clone(), row.uuid()), row.clone())).collect::<Vec<_>>()
    };
    tables.iter().flat_map(rows).collect()
}

fn follow(known: &mut Known, changes: Vec<RowChange>) {
    for change in changes {
        let key = (change.table.to_string(), change.uuid);
        let before = match &change.new {
            Some(new) => known.insert(key, new.clone()),
            None => known.remove(&key),
        };
        assert_eq!(before, change.old, "the row before is another");
        assert_ne!(change.old, change.new, "nothing changed");
    }
}

/// Every row is found by what is indexed, and nothing else is, also by what was held before.
fn indexed(replica: &Replica, tables: &[String], names: &mut BTreeSet<Datum>) {
    let Some(name) = tables.first() else { return };
    let index = IndexSpec::column(name.clone(), "name");
    let table = replica.table(name);
    assert_eq!(table.iter().count(), table.len());
    let mut held = BTreeMap::<Datum, Vec<Uuid>>::new();
    for row in table.iter() {
        let name = row.get("name").filter(|name| name.as_scalar().is_some());
        if let Some(name) = name {
            held.entry(name.clone()).or_default().push(row.uuid());
        }
    }
    names.extend(held.keys().cloned());
    for name in names.iter() {
        let found: Vec<_> = table.find(&index, name).map(|row| row.uuid()).collect();
        assert_eq!(found, held.remove(name).unwrap_or_default());
    }
}
