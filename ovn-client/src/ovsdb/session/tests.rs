use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ovsdb::schema::TableSpec;
use crate::ovsdb::txn::{Insert, OperationResult};

mod filters;
mod large;
mod patience;

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{
    "name":{"type":"string"}}}}}"#;

fn config() -> SessionConfig {
    SessionConfig {
        spec: Arc::new(DatabaseSpec::new("D", [TableSpec::new("T", ["name"])])),
        probe_interval: Some(Duration::from_secs(5)),
        reply_timeout: Some(Duration::from_secs(60)),
        limits: FrameLimits::default(),
        acceptance: Acceptance::default(),
    }
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A session and the server's side of it.
struct Scene {
    session: Session,
    now: Instant,
}

impl Scene {
    /// A session on a connection that was just opened.
    fn opened(resume: Option<Resume>) -> Self {
        let now = Instant::now();
        Self { session: Session::new(config(), resume, Progress::default(), now), now }
    }

    /// A session with a server too old to know about itself.
    fn new(resume: Option<Resume>) -> Self {
        let mut scene = Self::opened(resume);
        let mut sent = scene.sent();
        let request = sent.pop().unwrap();
        let aware = sent.pop().unwrap();
        scene.send(json!({"id": aware["id"], "error": null, "result": {}})).unwrap();
        assert_eq!(request["params"], json!(["_Server"]));
        let error = json!({"error": "unknown database", "details": "no _Server"});
        scene.send(json!({"id": request["id"], "error": error})).unwrap();
        scene
    }

    /// A scene whose session is in sync with an empty table.
    fn synced() -> Self {
        let mut scene = Self::new(None);
        scene.answer_schema();
        scene.answer(json!([false, uuid(0), {}]));
        assert!(matches!(scene.session.poll_event(), Some(SessionEvent::Contents(_))));
        scene
    }

    fn sent(&mut self) -> Vec<Value> {
        let mut out = Vec::new();
        self.session.poll_transmit(&mut out);
        let messages = serde_json::Deserializer::from_slice(&out).into_iter();
        messages.collect::<Result<_, _>>().unwrap()
    }

    fn send(&mut self, message: Value) -> Result<(), SessionError> {
        self.session.handle_input(message.to_string().as_bytes(), self.now)
    }

    /// Answers the one request that was sent, and gives it back.
    fn answer(&mut self, result: Value) -> Value {
        let request = self.sent().pop().unwrap();
        self.send(json!({"id": request["id"], "error": null, "result": result})).unwrap();
        request
    }

    fn answer_schema(&mut self) {
        let request = self.answer(serde_json::from_str(SCHEMA).unwrap());
        assert_eq!((&request["method"], &request["params"]), (&json!("get_schema"), &json!(["D"])));
    }
}

#[test]
fn a_session_asks_for_the_schema_then_for_the_contents() {
    let mut scene = Scene::new(None);
    scene.answer_schema();
    let request = scene
        .answer(json!([false, uuid(7), {"T": {uuid(1).to_string(): {"initial": {"name": "a"}}}}]));
    assert_eq!(request["method"], "monitor_cond_since");
    assert_eq!(
        request["params"],
        json!(["D", "ovn-client", {"T": [{"columns": ["name"]}]}, uuid(0)])
    );
    let Some(SessionEvent::Contents(replica)) = scene.session.poll_event() else { panic!() };
    assert_eq!(replica.last_transaction(), Some(uuid(7)));
    assert_eq!(replica.table("T").len(), 1);
    assert!(scene.session.is_synced());
}

#[test]
fn an_older_server_is_asked_by_monitor_cond() {
    let mut scene = Scene::new(None);
    scene.answer_schema();
    let id = scene.sent()[0]["id"].clone();
    scene.send(json!({"id": id, "error": {"error": "unknown method", "details": "d"}})).unwrap();
    let request = scene.answer(json!({}));
    assert_eq!(request["method"], "monitor_cond");
    assert_eq!(request["params"].as_array().unwrap().len(), 3);
    assert!(scene.session.is_synced());
}

#[test]
fn there_is_no_other_way_into_sync() {
    let mut scene = Scene::new(None);
    scene.answer_schema();
    let id = scene.sent()[0]["id"].clone();
    scene.send(json!({"id": id, "error": "unknown method"})).unwrap();
    let id = scene.sent()[0]["id"].clone();
    let error = scene.send(json!({"id": id, "error": "unknown method"})).unwrap_err();
    assert_eq!(error.to_string(), "the server refuses monitor_cond: unknown method");
}

#[test]
fn a_missing_database_ends_the_session() {
    let mut scene = Scene::new(None);
    let id = scene.sent()[0]["id"].clone();
    let error = json!({"error": "unknown database", "details": "no database D"});
    let error = scene.send(json!({"id": id, "error": error})).unwrap_err();
    assert!(matches!(error, SessionError::Refused { method: "get_schema", .. }));
}

#[test]
fn a_difference_is_taken_only_if_the_columns_are_the_same() {
    let layout = |column: &str| {
        let ty = crate::ovsdb::schema::ColumnType::scalar(crate::ovsdb::schema::Kind::String);
        vec![Arc::new(Layout::new("T", [(column.into(), ty)]))]
    };
    for (column, asked) in [("name", uuid(7)), ("other", uuid(0))] {
        let (layouts, filters) = (layout(column), Vec::new());
        let mut scene = Scene::new(Some(Resume { transaction: uuid(7), layouts, filters }));
        scene.answer_schema();
        let request = scene.answer(json!([true, uuid(8), {}]));
        assert_eq!(request["params"][3], json!(asked));
        let resumed = matches!(scene.session.poll_event(), Some(SessionEvent::Resumed { .. }));
        assert_eq!(resumed, column == "name");
    }
}

#[test]
fn an_echo_is_answered_verbatim_in_every_phase() {
    let mut scene = Scene::opened(None);
    scene.sent();
    scene.send(json!({"id": ["x", 1], "method": "echo", "params": ["a", {"b": 2}]})).unwrap();
    let reply = json!({"id": ["x", 1], "result": ["a", {"b": 2}], "error": null});
    assert_eq!(scene.sent(), [reply]);
    scene.send(json!({"id": 1, "method": "dance", "params": []})).unwrap();
    assert_eq!(scene.sent(), [json!({"id": 1, "result": null, "error": "unknown method"})]);
}

#[test]
fn nothing_is_sent_before_the_session_is_in_sync() {
    let mut scene = Scene::new(None);
    scene.sent();
    let txn = Txn::new().comment("early");
    assert_eq!(scene.session.handle_transact(&txn, scene.now), None);
    assert!(scene.sent().is_empty());
}

#[test]
fn transactions_are_pipelined_and_told_apart_by_id() {
    let mut scene = Scene::synced();
    let insert = |number| Txn::new().with(Insert::new("T", uuid(number)));
    let ids =
        [1, 2].map(|number| scene.session.handle_transact(&insert(number), scene.now).unwrap());
    let sent = scene.sent();
    assert_eq!((sent.len(), scene.session.in_flight()), (2, 2));
    for index in [1, 0] {
        let result = json!([{"uuid": ["uuid", uuid(index as u128 + 1)]}]);
        scene.send(json!({"id": sent[index]["id"], "error": null, "result": result})).unwrap();
        let Some(SessionEvent::Transacted(id, Outcome::Committed(results))) =
            scene.session.poll_event()
        else {
            panic!()
        };
        assert_eq!(id, ids[index]);
        assert_eq!(results, [OperationResult::Inserted(uuid(index as u128 + 1))]);
    }
}

#[test]
fn what_a_transaction_changed_comes_before_its_outcome() {
    let mut scene = Scene::synced();
    scene.session.handle_transact(&Txn::new().with(Insert::new("T", uuid(1))), scene.now).unwrap();
    let id = scene.sent()[0]["id"].clone();
    let rows = json!({"T": {uuid(1).to_string(): {"insert": {}}}});
    let update = json!({"id": null, "method": "update3", "params": ["ovn-client", uuid(9), rows]});
    let reply = json!({"id": id, "error": null, "result": [{"uuid": ["uuid", uuid(1)]}]});
    let both = format!("{update}{reply}");
    scene.session.handle_input(both.as_bytes(), scene.now).unwrap();
    let updated = scene.session.poll_event();
    assert!(
        matches!(updated, Some(SessionEvent::Updated { last_transaction: Some(last), .. }) if last == uuid(9))
    );
    assert!(matches!(scene.session.poll_event(), Some(SessionEvent::Transacted(..))));
}

#[test]
fn updates_of_another_monitor_are_passed_over() {
    let mut scene = Scene::synced();
    scene.send(json!({"id": null, "method": "update2", "params": ["other", {}]})).unwrap();
    assert!(scene.session.poll_event().is_none());
    scene.send(json!({"id": null, "method": "update2", "params": ["ovn-client", {}]})).unwrap();
    assert!(matches!(scene.session.poll_event(), Some(SessionEvent::Updated { .. })));
}

#[test]
fn a_canceled_monitor_starts_again_and_leaves_outcomes_unknown() {
    let mut scene = Scene::synced();
    scene.session.handle_transact(&Txn::new().comment("c"), scene.now).unwrap();
    let late = scene.sent()[0]["id"].clone();
    scene
        .send(json!({"id": null, "method": "monitor_canceled", "params": ["ovn-client"]}))
        .unwrap();
    let unknown = scene.session.poll_event();
    assert!(matches!(unknown, Some(SessionEvent::Transacted(_, Outcome::Unknown(_)))));
    assert!(matches!(scene.session.poll_event(), Some(SessionEvent::Restarted)));
    assert!(!scene.session.is_synced());
    scene.answer_schema();
    scene.send(json!({"id": late, "error": null, "result": [{}]})).unwrap();
    assert!(scene.session.poll_event().is_none());
    scene.answer(json!([false, uuid(0), {}]));
    assert!(scene.session.is_synced());
}

#[test]
fn hostile_servers_get_an_error_not_a_panic() {
    let hostile = [
        json!({"id": null, "method": "update3", "params": []}),
        json!({"id": null, "method": "update3", "params": ["ovn-client", "x", {}]}),
        json!({"id": null, "method": "update3", "params": ["ovn-client", uuid(1), {"T": 1}]}),
        json!({"id": null, "method": "update2", "params": {}}),
        json!({"nothing": 1}),
    ];
    for message in hostile {
        assert!(Scene::synced().send(message.clone()).is_err(), "{message}");
    }
    let mut scene = Scene::synced();
    scene.send(json!({"id": 999, "error": null, "result": []})).unwrap();
    scene.send(json!({"id": null, "method": "stolen", "params": []})).unwrap();
    assert!(scene.session.poll_event().is_none());
}

const SERVER_SCHEMA: &str = r#"{"name":"_Server","version":"1.2.0","tables":{"Database":{"columns":{
    "name":{"type":"string"},"model":{"type":"string"},"connected":{"type":"boolean"},
    "leader":{"type":"boolean"},"cid":{"type":{"key":"uuid","min":0,"max":1}},
    "index":{"type":{"key":"integer","min":0,"max":1}}}}}}"#;

/// A session with a member of a cluster, and what became of it.
fn joined(leader: bool, index: i64, seen: Progress) -> (Scene, Result<(), SessionError>) {
    let now = Instant::now();
    let mut scene = Scene { session: Session::new(config(), None, seen, now), now };
    let sent = scene.sent();
    assert_eq!(sent[0]["method"], "set_db_change_aware");
    let schema: Value = serde_json::from_str(SERVER_SCHEMA).unwrap();
    scene.send(json!({"id": sent[1]["id"], "error": null, "result": schema})).unwrap();
    let request = scene.sent().pop().unwrap();
    assert_eq!(
        (&request["method"], &request["params"][0]),
        (&json!("monitor_cond"), &json!("_Server"))
    );
    let row = json!({
        "name": "D", "model": "clustered", "connected": true, "leader": leader,
        "cid": ["uuid", uuid(70)], "index": index,
    });
    let contents = json!({"Database": {uuid(1).to_string(): {"initial": row}}});
    let result = scene.send(json!({"id": request["id"], "error": null, "result": contents}));
    (scene, result)
}

fn told(columns: Value) -> Value {
    let rows = json!({"Database": {uuid(1).to_string(): {"modify": columns}}});
    json!({"id": null, "method": "update2", "params": ["ovn-client-server", rows]})
}

#[test]
fn a_follower_is_left_before_the_database_is_asked_for() {
    let (mut scene, result) = joined(false, 5, Progress::default());
    assert!(matches!(result, Err(SessionError::Unsuitable(Unsuitable::NotLeader))));
    assert!(scene.sent().is_empty());
}

#[test]
fn a_leader_is_followed_until_it_leads_no_more() {
    let (mut scene, result) = joined(true, 5, Progress::default());
    result.unwrap();
    scene.answer_schema();
    scene.answer(json!([false, uuid(7), {}]));
    assert!(scene.session.is_synced());
    scene.send(told(json!({"index": 6}))).unwrap();
    assert_eq!(scene.session.progress(), Progress { cluster: Some(uuid(70)), index: 6 });
    let lost = scene.send(told(json!({"leader": false})));
    assert!(matches!(lost, Err(SessionError::Unsuitable(Unsuitable::NotLeader))));
}

#[test]
fn a_server_that_forgot_what_was_seen_is_left() {
    let seen = Progress { cluster: Some(uuid(70)), index: 6 };
    let (_, result) = joined(true, 5, seen);
    let stale = Unsuitable::Stale { index: 5, seen: 6 };
    assert!(matches!(result, Err(SessionError::Unsuitable(found)) if found == stale));
}

#[test]
fn a_database_that_is_removed_ends_the_session() {
    let (mut scene, result) = joined(true, 5, Progress::default());
    result.unwrap();
    let rows = json!({"Database": {uuid(1).to_string(): {"delete": null}}});
    let gone = json!({"id": null, "method": "update2", "params": ["ovn-client-server", rows]});
    let removed = scene.send(gone);
    assert!(matches!(removed, Err(SessionError::Unsuitable(Unsuitable::NoDatabase(_)))));
}

#[test]
fn a_canceled_monitor_starts_again_without_asking_the_server_about_itself_twice() {
    let (mut scene, result) = joined(true, 5, Progress::default());
    result.unwrap();
    scene.answer_schema();
    scene.answer(json!([false, uuid(7), {}]));
    let canceled = |monitor| json!({"id": null, "method": "monitor_canceled", "params": [monitor]});
    scene.send(canceled("another")).unwrap();
    assert!(scene.sent().is_empty());
    scene.send(canceled("ovn-client")).unwrap();
    scene.answer_schema();
}

#[test]
fn other_rows_are_asked_for_when_the_session_is_in_sync() {
    let mut scene = Scene::new(None);
    scene.answer_schema();
    // The contents were asked for before.
    let only = RowFilter::Any(vec![crate::ovsdb::txn::Condition::equal("name", "a")]);
    let id = scene.session.handle_filter("T".into(), only, scene.now);
    assert!(!scene.session.filters_settled());
    scene.answer(json!([false, uuid(7), {}]));
    let request = scene.answer(json!({}));
    assert_eq!(request["method"], "monitor_cond_change");
    let tables = json!({"T": [{"where": [["name", "==", "a"]]}]});
    assert_eq!(request["params"], json!(["ovn-client", "ovn-client", tables]));
    assert!(matches!(scene.session.poll_event(), Some(SessionEvent::Contents(_))));
    let Some(SessionEvent::Filtered { filters, answer: Ok(()), .. }) = scene.session.poll_event()
    else {
        panic!()
    };
    assert_eq!(filters, [id]);
    assert!(scene.session.filters_settled());
}

#[test]
fn a_difference_is_taken_only_if_the_rows_are_the_same() {
    let ty = crate::ovsdb::schema::ColumnType::scalar(crate::ovsdb::schema::Kind::String);
    let layouts = vec![Arc::new(Layout::new("T", [("name".into(), ty)]))];
    let filters = vec![("T".into(), RowFilter::Nothing)];
    let mut scene = Scene::new(Some(Resume { transaction: uuid(7), layouts, filters }));
    scene.answer_schema();
    let request = scene.answer(json!([true, uuid(8), {}]));
    assert_eq!(request["params"][3], json!(uuid(0)));
}

proptest! {
    /// A whole life of a session with bytes damaged and the stream cut anywhere.
    #[test]
    fn no_input_panics(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        chunk in 1_usize..200,
    ) {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let rows = json!({"T": {uuid(1).to_string(): {"initial": {"name": "a"}}}});
        let modify = json!({"T": {uuid(1).to_string(): {"modify": {"name": "b"}}}});
        let mut stream = Vec::new();
        for message in [
            json!({"id": 1, "error": null, "result": {}}),
            json!({"id": 2, "error": "unknown database"}),
            json!({"id": 3, "error": null, "result": schema}),
            json!({"id": 4, "error": null, "result": [false, uuid(7), rows]}),
            json!({"id": null, "method": "update3", "params": ["ovn-client", uuid(8), modify]}),
            json!({"id": "e", "method": "echo", "params": []}),
        ] {
            stream.extend(message.to_string().into_bytes());
        }
        for (index, byte) in &damage {
            *index.get_mut(&mut stream) = *byte;
        }
        let mut session = Session::new(config(), None, Progress::default(), Instant::now());
        let result = stream.chunks(chunk).try_for_each(|bytes| {
            session.handle_input(bytes, Instant::now())
        });
        if damage.is_empty() {
            prop_assert!(result.is_ok());
            prop_assert_eq!(std::iter::from_fn(|| session.poll_event()).count(), 2);
        }
    }
}
