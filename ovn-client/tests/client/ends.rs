//! The end of a driver.

use super::*;

#[tokio::test]
async fn a_driver_that_is_no_more_is_not_connected() {
    let server = Server::bind().await;
    let (mut scene, _connection) = synced(&server, rows(&[(1, initial("a"))])).await;
    scene.driver.abort();
    assert_eq!(scene.disconnected().await, "the client's driver has ended");
    let snapshot = scene.client.snapshot();
    assert!(!snapshot.connected() && !scene.client.health().connected);
    assert_eq!(snapshot.table(LoadBalancer::TABLE).len(), 1, "it keeps its last state");
    assert!(scene.client.connected().await.is_none());
    assert_eq!(scene.client.transact(Txn::new().comment("c")).await, Outcome::NotConnected);
}

#[tokio::test]
async fn a_driver_that_is_told_to_end_leaves_nobody_waiting() {
    let server = Server::bind().await;
    let (mut scene, mut connection) = synced(&server, json!({})).await;
    let client = scene.client.clone();
    let call = tokio::spawn(async move { client.transact(Txn::new().comment("c")).await });
    connection.expect("transact").await;
    scene.shutdown.cancel();
    assert_eq!(call.await.unwrap(), Outcome::Unknown(UnknownReason::ConnectionLost));
    scene.disconnected().await;
    scene.driver.await.unwrap();
}
