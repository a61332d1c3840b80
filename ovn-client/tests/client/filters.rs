//! Rows that are monitored by condition.

use super::*;

#[tokio::test]
async fn other_rows_are_monitored_when_asked_and_after_a_reconnection() {
    let server = Server::bind().await;
    let (scene, mut connection) =
        synced(&server, rows(&[(1, initial("a")), (2, initial("b"))])).await;
    let client = scene.client.clone();
    let only = RowFilter::Any(vec![Condition::equal("name", "a")]);
    let call = tokio::spawn(async move { client.monitor("Load_Balancer", only).await });
    let request = connection.expect("monitor_cond_change").await;
    connection.update(Some(7), rows(&[(2, json!({"delete": null}))])).await;
    connection.answer(&request, json!({})).await;
    call.await.unwrap().unwrap();
    assert_eq!(scene.client.snapshot().table("Load_Balancer").len(), 1);
    drop(connection);
    let mut connection = server.accept().await;
    connection.schema().await;
    let request = connection.expect("monitor_cond_since").await;
    let expected = json!([["name", "==", "a"]]);
    assert_eq!(request["params"][2]["Load_Balancer"][0]["where"], expected);
    assert_eq!(request["params"][3], json!(uuid(7)), "settled filters may be resumed");
}

#[tokio::test]
async fn a_filter_that_cannot_be_is_refused() {
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    let unknown = scene.client.monitor("Nonsense", RowFilter::Nothing).await;
    assert_eq!(unknown, Err(MonitorError::UnknownTable("Nonsense".to_owned())));
    let mut connection = server.accept().await;
    connection.sync(json!({})).await;
    scene.connected().await;
    let client = scene.client.clone();
    let only = RowFilter::Any(vec![Condition::equal("nonsense", "a")]);
    let call = tokio::spawn(async move { client.monitor("Load_Balancer", only).await });
    let request = connection.expect("monitor_cond_change").await;
    connection.send(json!({"id": request["id"], "error": "unknown column"})).await;
    assert!(matches!(call.await.unwrap(), Err(MonitorError::Refused(_))));
}

#[tokio::test]
async fn a_filter_set_without_a_connection_is_asked_for_with_the_contents() {
    let server = Server::bind().await;
    let scene = start(config(&server.endpoint()));
    let client = scene.client.clone();
    let call =
        tokio::spawn(async move { client.monitor("Load_Balancer", RowFilter::Nothing).await });
    let mut connection = server.accept().await;
    connection.schema().await;
    let request = connection.expect("monitor_cond_since").await;
    connection.answer(&request, json!([false, uuid(0), {}])).await;
    // Asked for with the contents, or right after them.
    if request["params"][2]["Load_Balancer"][0]["where"] != json!([false]) {
        let request = connection.expect("monitor_cond_change").await;
        connection.answer(&request, json!({})).await;
    }
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_filter_refused_with_the_contents_is_taken_back_and_told() {
    let server = Server::bind().await;
    let scene = start(config(&server.endpoint()));
    let client = scene.client.clone();
    let only = RowFilter::Any(vec![Condition::equal("nonsense", "a")]);
    let mut call = Box::pin(async move { client.monitor("Load_Balancer", only).await });
    // It is with the driver before the server answers.
    tokio::select! {
        biased;
        ended = &mut call => panic!("{ended:?}"),
        () = tokio::task::yield_now() => {}
    }
    let mut connection = server.accept().await;
    connection.schema().await;
    let request = connection.expect("monitor_cond_since").await;
    let is_filtered =
        |request: &Value| !request["params"][2]["Load_Balancer"][0]["where"].is_null();
    if is_filtered(&request) {
        connection.send(json!({"id": request["id"], "error": "unknown column"})).await;
        assert!(matches!(call.await, Err(MonitorError::Refused(_))));
        let mut connection = server.accept().await;
        connection.schema().await;
        let request = connection.expect("monitor_cond_since").await;
        assert!(!is_filtered(&request), "{request}");
    } else {
        // It came too late for the contents: it is asked for behind them.
        connection.answer(&request, json!([false, uuid(0), {}])).await;
        let request = connection.expect("monitor_cond_change").await;
        connection.send(json!({"id": request["id"], "error": "unknown column"})).await;
        assert!(matches!(call.await, Err(MonitorError::Refused(_))));
    }
}
