//! More to do than can be done at once.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::*;

/// A transaction of so many bytes.
fn large(bytes: usize) -> Txn {
    Txn::new().comment("x".repeat(bytes))
}

/// As ovsdb-server does: it reads from a client only when that has read all it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_reads_only_when_it_was_read_is_not_kept_waiting() {
    const CALLS: usize = 240;
    let server = Server::bind().await;
    let (scene, mut connection) = synced(&server, json!({})).await;
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let client = scene.client.clone();
        calls.spawn(async move { client.transact(large(128 * 1024)).await });
    }
    // More than any socket buffer holds, and nothing is read meanwhile.
    for transaction in 1..=40 {
        let name = "n".repeat(400 * 1024);
        let row = json!({"insert": {"name": name}});
        let sent = connection.update(Some(transaction), rows(&[(transaction, row)]));
        tokio::time::timeout(DEADLINE, sent).await.expect("the client reads on");
    }
    for _ in 0..CALLS {
        let request = connection.expect("transact").await;
        connection.answer(&request, json!([{}])).await;
    }
    while let Some(outcome) = calls.join_next().await {
        assert!(outcome.unwrap().is_committed());
    }
    assert_eq!(scene.client.snapshot().table(LoadBalancer::TABLE).len(), 40);
}

#[tokio::test]
async fn no_more_transactions_are_in_flight_than_may_be() {
    let server = Server::bind().await;
    let mut scene = start(ClientConfig { transaction_queue: 2, ..config(&server.endpoint()) });
    let mut connection = server.accept().await;
    connection.sync(json!({})).await;
    scene.connected().await;
    let mut calls = JoinSet::new();
    for _ in 0..6 {
        let client = scene.client.clone();
        calls.spawn(async move { client.transact(large(1)).await });
    }
    let mut older = connection.expect("transact").await;
    for _ in 0..5 {
        let newer = connection.expect("transact").await;
        // An answer to this comes behind whatever else was sent.
        connection.send(json!({"id": "e", "method": "echo", "params": []})).await;
        assert_eq!(connection.receive().await["id"], "e", "a third one was in flight");
        connection.answer(&older, json!([{}])).await;
        older = newer;
    }
    connection.answer(&older, json!([{}])).await;
    while let Some(outcome) = calls.join_next().await {
        assert!(outcome.unwrap().is_committed());
    }
}

/// Callers that ask again at once, while nothing can be sent, do not keep the session from going
/// on.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn callers_that_do_not_give_up_do_not_keep_the_client_from_its_server() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let client = scene.client.clone();
        calls.spawn(async move {
            while matches!(client.transact(large(1)).await, Outcome::NotConnected) {}
        });
    }
    let mut connection = server.accept().await;
    connection.sync(json!({})).await;
    scene.connected().await;
    for _ in 0..8 {
        let request = connection.expect("transact").await;
        connection.answer(&request, json!([{}])).await;
    }
    calls.join_all().await;
}

#[tokio::test]
async fn what_a_server_may_send_and_how_long_it_may_take_is_as_configured() {
    let server = Server::bind().await;
    let short = Duration::from_millis(50);
    let patience = ClientConfig {
        reply_timeout: Some(short),
        probe_interval: None,
        ..config(&server.endpoint())
    };
    let scene = start(patience);
    // It answers nothing.
    let mut connection = server.accept().await;
    connection.closed_after_what_was_asked().await;
    let failure = last_failure(&scene).await;
    assert!(failure.starts_with("the server has not answered set_db_change_aware"), "{failure}");
    let server = Server::bind().await;
    let mut limits = config(&server.endpoint());
    limits.limits.message = 2_000;
    let scene = start(limits);
    let mut connection = server.accept().await;
    let request = connection.expect("get_schema").await;
    connection.answer(&request, json!("x".repeat(2_000))).await;
    connection.closed_after_what_was_asked().await;
    let failure = last_failure(&scene).await;
    assert!(failure.contains("longer than 2000 bytes"), "{failure}");
}

/// Told a moment after the connection is closed.
async fn last_failure(scene: &Scene) -> String {
    let told = async {
        loop {
            match scene.client.health().last_failure {
                Some(failure) => return failure,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, told).await.expect("a failure")
}
