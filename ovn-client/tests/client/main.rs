//! The client against a scripted server.
#![cfg(test)]

mod conformance;
mod ends;
mod filters;
mod pressure;
mod server;
mod tls;

use std::time::Duration;

use ovn_client::nb::{LoadBalancer, Protocol, TypedRow};
use ovn_client::{
    Backoff, Client, ClientConfig, Condition, DatabaseSpec, Event, IndexSpec, MonitorError,
    Outcome, RowFilter, Subscription, Txn, UnknownReason, Uuid,
};
use serde_json::{Value, json};
use server::{Connection, Server};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; met only by a failing test.
const DEADLINE: Duration = Duration::from_secs(20);

fn by_name() -> IndexSpec {
    IndexSpec::column(LoadBalancer::TABLE, "name")
}

struct Scene {
    client: Client,
    events: Subscription,
    shutdown: CancellationToken,
    driver: JoinHandle<()>,
}

fn config(endpoints: &str) -> ClientConfig {
    let database = DatabaseSpec::new("D", [LoadBalancer::spec()]).index(by_name());
    let config = ClientConfig::new(endpoints.parse().unwrap(), database);
    let delay = Duration::from_millis(1);
    ClientConfig { backoff: Backoff { min: delay, max: delay }, ..config }
}

fn start(config: ClientConfig) -> Scene {
    let (client, driver) = Client::new(config);
    let (events, shutdown) = (client.subscribe(), CancellationToken::new());
    let driver = tokio::spawn(driver.run(shutdown.clone()));
    Scene { client, events, shutdown, driver }
}

/// A client in sync with these rows, and the server's side of it.
async fn synced(server: &Server, contents: Value) -> (Scene, Connection) {
    let mut scene = start(config(&server.endpoint()));
    let mut connection = server.accept().await;
    let nothing = contents == json!({});
    connection.sync(contents).await;
    if !nothing {
        scene.changed().await;
    }
    scene.connected().await;
    (scene, connection)
}

impl Scene {
    async fn next(&mut self) -> Event {
        let event = tokio::time::timeout(DEADLINE, self.events.recv());
        event.await.expect("an event in time").expect("a running driver")
    }

    async fn changed(&mut self) -> Vec<(u128, bool, bool)> {
        let Event::Changes(changes) = self.next().await else { panic!("no changes") };
        let kind = |change: &ovn_client::RowChange| {
            (change.uuid.as_u128(), change.old.is_some(), change.new.is_some())
        };
        changes.iter().map(kind).collect()
    }

    async fn connected(&mut self) {
        let event = self.next().await;
        assert!(matches!(event, Event::Connected), "{event:?}");
        assert!(self.client.snapshot().connected());
    }

    async fn disconnected(&mut self) -> String {
        match self.next().await {
            Event::Disconnected { reason } => reason,
            other => panic!("{other:?}"),
        }
    }
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn rows(rows: &[(u128, Value)]) -> Value {
    let rows: serde_json::Map<String, Value> =
        rows.iter().map(|(number, row)| (uuid(*number).to_string(), row.clone())).collect();
    json!({"Load_Balancer": rows})
}

fn initial(name: &str) -> Value {
    json!({"initial": {"name": name}})
}

#[tokio::test]
async fn the_first_contents_come_as_insertions_then_the_client_is_connected() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    let mut connection = server.accept().await;
    connection.sync(rows(&[(1, initial("a")), (2, initial("b"))])).await;
    assert_eq!(scene.changed().await, [(1, false, true), (2, false, true)]);
    scene.connected().await;
    let snapshot = scene.client.snapshot();
    let names: Vec<String> = snapshot
        .table("Load_Balancer")
        .iter()
        .map(|row| LoadBalancer::from_row(row).name)
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn after_a_reconnection_only_real_differences_are_told() {
    let server = Server::bind().await;
    let (mut scene, connection) =
        synced(&server, rows(&[(1, initial("same")), (2, initial("gone"))])).await;
    drop(connection);
    assert_eq!(scene.disconnected().await, "the server closed the connection");
    assert_eq!(scene.client.snapshot().table("Load_Balancer").len(), 2);
    let mut connection = server.accept().await;
    connection.sync(rows(&[(1, initial("same")), (3, initial("new"))])).await;
    assert_eq!(scene.changed().await, [(3, false, true), (2, true, false)]);
    scene.connected().await;
}

#[tokio::test]
async fn a_cluster_is_asked_for_what_changed_since_the_last_transaction() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    let mut connection = server.accept().await;
    connection.schema().await;
    let request = connection.expect("monitor_cond_since").await;
    connection.answer(&request, json!([false, uuid(70), rows(&[(1, initial("a"))])])).await;
    scene.changed().await;
    scene.connected().await;
    connection.update(Some(71), rows(&[(1, json!({"modify": {"name": "b"}}))])).await;
    assert_eq!(scene.changed().await, [(1, true, true)]);
    drop(connection);
    scene.disconnected().await;
    let mut connection = server.accept().await;
    connection.schema().await;
    let request = connection.expect("monitor_cond_since").await;
    assert_eq!(request["params"][3], json!(uuid(71)));
    let difference = rows(&[(1, json!({"delete": null}))]);
    connection.answer(&request, json!([true, uuid(72), difference])).await;
    assert_eq!(scene.changed().await, [(1, true, false)]);
    scene.connected().await;
}

#[tokio::test]
async fn an_older_server_is_followed_by_monitor_cond() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    let mut connection = server.accept().await;
    connection.schema().await;
    let request = connection.expect("monitor_cond_since").await;
    connection.send(json!({"id": request["id"], "error": "unknown method"})).await;
    let request = connection.expect("monitor_cond").await;
    connection.answer(&request, rows(&[(1, initial("a"))])).await;
    scene.changed().await;
    scene.connected().await;
    connection.update(None, rows(&[(1, json!({"delete": null}))])).await;
    assert_eq!(scene.changed().await, [(1, true, false)]);
}

#[tokio::test]
async fn an_echo_is_answered_verbatim() {
    let server = Server::bind().await;
    let _scene = start(config(&server.endpoint()));
    let mut connection = server.accept().await;
    connection.schema().await;
    let request = connection.expect("monitor_cond_since").await;
    connection.send(json!({"id": "e", "method": "echo", "params": [1, {"a": []}]})).await;
    let reply = connection.receive().await;
    assert_eq!(reply, json!({"id": "e", "result": [1, {"a": []}], "error": null}));
    connection.answer(&request, json!([false, uuid(0), {}])).await;
}

#[tokio::test]
async fn what_a_transaction_changed_is_seen_before_its_outcome() {
    let server = Server::bind().await;
    let (mut scene, mut connection) = synced(&server, json!({})).await;
    let row = LoadBalancer::new(uuid(9), "web", Protocol::Tcp);
    let client = scene.client.clone();
    let call = tokio::spawn(async move { client.transact(Txn::new().insert(&row)).await });
    let request = connection.expect("transact").await;
    assert_eq!(request["params"][1]["uuid"], json!(uuid(9)));
    let inserted = rows(&[(9, json!({"insert": {"name": "web"}}))]);
    connection.update(None, inserted).await;
    connection.answer(&request, json!([{"uuid": ["uuid", uuid(9)]}])).await;
    assert!(matches!(call.await.unwrap(), Outcome::Committed(_)));
    assert!(scene.client.snapshot().row("Load_Balancer", uuid(9)).is_some());
    assert_eq!(scene.changed().await, [(9, false, true)]);
}

#[tokio::test]
async fn a_connection_lost_after_sending_leaves_the_outcome_unknown_and_sends_nothing_again() {
    let server = Server::bind().await;
    let (mut scene, mut connection) = synced(&server, json!({})).await;
    let client = scene.client.clone();
    let call = tokio::spawn(async move { client.transact(Txn::new().comment("once")).await });
    connection.expect("transact").await;
    drop(connection);
    let lost = Outcome::Unknown(UnknownReason::ConnectionLost);
    assert_eq!(call.await.unwrap(), lost);
    scene.disconnected().await;
    let mut connection = server.accept().await;
    connection.sync(json!({})).await;
    scene.connected().await;
    let client = scene.client.clone();
    let call = tokio::spawn(async move { client.transact(Txn::new().comment("next")).await });
    let request = connection.expect("transact").await;
    assert_eq!(request["params"][1]["comment"], "next");
    connection.answer(&request, json!([{}])).await;
    assert!(call.await.unwrap().is_committed());
}

#[tokio::test]
async fn without_a_connection_nothing_is_sent() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    assert_eq!(scene.client.transact(Txn::new().comment("c")).await, Outcome::NotConnected);
    let mut connection = server.accept().await;
    assert_eq!(scene.client.transact(Txn::new().comment("c")).await, Outcome::NotConnected);
    connection.sync(json!({})).await;
    scene.connected().await;
    scene.shutdown.cancel();
    scene.driver.await.unwrap();
    assert_eq!(scene.client.transact(Txn::new().comment("c")).await, Outcome::NotConnected);
    assert!(scene.client.connected().await.is_none());
}

#[tokio::test]
async fn a_server_without_the_database_is_left_for_the_next() {
    let (wrong, right) = (Server::bind().await, Server::bind().await);
    let scene = start(config(&format!("{},{}", wrong.endpoint(), right.endpoint())));
    let refuse = async {
        loop {
            let mut connection = wrong.accept().await;
            let request = connection.expect("get_schema").await;
            let error = json!({"error": "unknown database", "details": "no D"});
            connection.send(json!({"id": request["id"], "error": error})).await;
            connection.closed().await;
        }
    };
    let serve = async {
        let mut connection = right.accept().await;
        connection.sync(json!({})).await;
        assert!(scene.client.connected().await.is_some());
    };
    tokio::select! {
        () = refuse => unreachable!("it never ends"),
        () = serve => {}
    }
}

#[tokio::test]
async fn a_broken_server_is_left_and_found_again() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    let mut broken: Connection = server.accept().await;
    broken.sync(rows(&[(1, initial("a"))])).await;
    scene.changed().await;
    scene.connected().await;
    broken.update(None, rows(&[(5, json!({"modify": {"name": "x"}}))])).await;
    assert!(scene.disconnected().await.contains("modified but is unknown"));
    let mut garbage = server.accept().await;
    garbage.send_bytes(b"HTTP/1.1 400\r\n\r\n").await;
    let mut connection = server.accept().await;
    connection.sync(rows(&[(1, initial("a"))])).await;
    scene.connected().await;
}

#[tokio::test]
async fn a_subscriber_that_lags_is_told_and_the_session_goes_on() {
    let server = Server::bind().await;
    let mut scene = start(ClientConfig { event_queue: 2, ..config(&server.endpoint()) });
    let mut quick = scene.client.subscribe();
    let mut connection = server.accept().await;
    connection.sync(rows(&[(1, initial("0"))])).await;
    for number in 1..20 {
        let name = number.to_string();
        connection.update(None, rows(&[(1, json!({"modify": {"name": name}}))])).await;
        while scene
            .client
            .snapshot()
            .row("Load_Balancer", uuid(1))
            .and_then(|row| row.read::<String>("name"))
            != Some(name.clone())
        {
            tokio::time::timeout(DEADLINE, quick.recv()).await.unwrap().unwrap();
        }
    }
    assert!(matches!(scene.next().await, Event::Lagged));
    connection.update(None, rows(&[(1, json!({"delete": null}))])).await;
    assert_eq!(scene.changed().await, [(1, true, false)]);
}

#[tokio::test]
async fn a_monitor_that_the_server_ends_is_started_again() {
    let server = Server::bind().await;
    let (mut scene, mut connection) = synced(&server, rows(&[(1, initial("a"))])).await;
    connection
        .send(json!({"id": null, "method": "monitor_canceled", "params": ["ovn-client"]}))
        .await;
    assert_eq!(scene.disconnected().await, "the server ended the monitor");
    connection.sync(rows(&[(2, initial("b"))])).await;
    assert_eq!(scene.changed().await, [(2, false, true), (1, true, false)]);
    scene.connected().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    let mut connection = server.accept().await;
    connection.sync(json!({})).await;
    assert!(matches!(scene.events.recv().await, Some(Event::Connected)));
    connection.expect("echo").await;
    let Some(Event::Disconnected { reason }) = scene.events.recv().await else { panic!() };
    assert_eq!(reason, "the server is silent");
}

#[tokio::test]
async fn rows_are_found_by_what_is_indexed() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    let mut connection = server.accept().await;
    connection.sync(rows(&[(1, initial("a")), (2, initial("b")), (3, initial("a"))])).await;
    scene.changed().await;
    let before = scene.client.snapshot();
    let found = |name: &str| {
        let snapshot = scene.client.snapshot();
        let table = snapshot.table(LoadBalancer::TABLE);
        table.find(&by_name(), name).map(|row| row.uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(found("a"), [1, 3]);
    connection.update(None, rows(&[(3, json!({"modify": {"name": "b"}}))])).await;
    scene.connected().await;
    assert!(matches!(scene.events.recv().await, Some(Event::Changes(_))));
    assert_eq!(before.table(LoadBalancer::TABLE).find(&by_name(), "a").count(), 2);
    let snapshot = scene.client.snapshot();
    assert_eq!(snapshot.table(LoadBalancer::TABLE).find(&by_name(), "b").count(), 2);
}

#[tokio::test]
async fn health_tells_of_connections_and_outcomes() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    assert_eq!(scene.client.transact(Txn::new().comment("c")).await, Outcome::NotConnected);
    let mut connection = server.accept().await;
    connection.sync(json!({})).await;
    scene.connected().await;
    let client = scene.client.clone();
    let call = tokio::spawn(async move { client.transact(Txn::new().comment("c")).await });
    let request = connection.expect("transact").await;
    connection.answer(&request, json!([{}])).await;
    assert!(call.await.unwrap().is_committed());
    let health = scene.client.health();
    assert_eq!((health.connected, health.connections, health.failures), (true, 1, 0));
    assert_eq!((health.outcomes.committed, health.outcomes.not_connected), (1, 1));
    drop(connection);
    scene.disconnected().await;
    scene.shutdown.cancel();
    scene.driver.await.unwrap();
    let health = scene.client.health();
    assert!(!health.connected && health.failures >= 1);
    assert_eq!(health.endpoint.unwrap().to_string(), server.endpoint());
}
