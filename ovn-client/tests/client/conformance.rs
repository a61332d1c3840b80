//! Scenarios of the reference suites that nothing else here plays (`docs/ovsdb-conformance.md`).

use std::sync::Arc;
use std::time::Instant;

use ovn_client::Row;

use super::*;

/// A row's number, and its name before and after.
type Told = (u128, Option<String>, Option<String>);

async fn told(scene: &mut Scene) -> Vec<Told> {
    let Event::Changes(changes) = scene.next().await else { panic!("no changes") };
    let name = |row: &Arc<Row>| LoadBalancer::from_row(row).name;
    let told = |change: &ovn_client::RowChange| {
        (change.uuid.as_u128(), change.old.as_ref().map(name), change.new.as_ref().map(name))
    };
    changes.iter().map(told).collect()
}

fn name(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[tokio::test]
async fn each_change_has_the_row_before_and_after_though_a_deletion_comes_without_values() {
    let server = Server::bind().await;
    let (mut scene, mut connection) = synced(&server, rows(&[(1, initial("a"))])).await;
    connection.update(Some(2), rows(&[(2, json!({"insert": {"name": "b"}}))])).await;
    assert_eq!(told(&mut scene).await, [(2, None, name("b"))]);
    connection.update(Some(3), rows(&[(1, json!({"modify": {"name": "c"}}))])).await;
    assert_eq!(told(&mut scene).await, [(1, name("a"), name("c"))]);
    connection.update(Some(4), rows(&[(1, json!({"delete": null}))])).await;
    assert_eq!(told(&mut scene).await, [(1, name("c"), None)]);
    connection.update(Some(5), rows(&[(1, json!({"insert": {}}))])).await;
    assert_eq!(told(&mut scene).await, [(1, None, name(""))]);
}

#[tokio::test]
async fn what_one_transaction_changed_is_told_at_once() {
    let server = Server::bind().await;
    let contents = rows(&[(1, initial("a")), (2, initial("b"))]);
    let (mut scene, mut connection) = synced(&server, contents).await;
    let changes = [
        (1, json!({"delete": null})),
        (2, json!({"modify": {"name": "c"}})),
        (3, json!({"insert": {"name": "d"}})),
    ];
    connection.update(Some(2), rows(&changes)).await;
    let mut told = told(&mut scene).await;
    told.sort();
    let expected = [(1, name("a"), None), (2, name("b"), name("c")), (3, None, name("d"))];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_filter_may_be_about_a_column_that_is_not_followed() {
    let server = Server::bind().await;
    let only = RowFilter::Any(["a", "b"].map(|name| Condition::equal("name", name)).into());
    let table = LoadBalancer::spec().only(["vips"]).filter(only);
    let database = DatabaseSpec::new("D", [table]);
    let mut scene = start(ClientConfig { database, ..config(&server.endpoint()) });
    let mut connection = server.accept().await;
    connection.schema().await;
    let request = connection.expect("monitor_cond_since").await;
    let expected = json!({
        "columns": ["vips"],
        "where": [["name", "==", "a"], ["name", "==", "b"]],
    });
    assert_eq!(request["params"][2]["Load_Balancer"][0], expected);
    let contents = rows(&[(1, json!({"initial": {"vips": ["map", [["k", "v"]]]}}))]);
    connection.answer(&request, json!([false, uuid(1), contents])).await;
    assert_eq!(scene.changed().await, [(1, false, true)]);
}

#[tokio::test]
async fn text_is_whole_wherever_it_was_cut() {
    const NAME: &str = "Straße \u{2192} \u{1f980} \\ \" \u{0} \u{10ffff}";
    let server = Server::bind().await;
    let mut scene = start(config(&server.endpoint()));
    let mut connection = server.accept().await;
    connection.schema().await;
    let request = connection.expect("monitor_cond_since").await;
    let long = NAME.repeat(200);
    let reply = json!([false, uuid(1), rows(&[(1, initial(NAME)), (2, initial(&long))])]);
    let reply = json!({"id": request["id"], "error": null, "result": reply}).to_string();
    // No two cuts in the long text fall on the same place of it.
    for piece in reply.as_bytes().chunks(31) {
        connection.send_bytes(piece).await;
    }
    let expected = [(1, None, name(NAME)), (2, None, Some(long))];
    assert_eq!(told(&mut scene).await, expected);
}

#[tokio::test]
async fn a_brief_connection_keeps_the_back_off_and_a_long_one_ends_it() {
    const BRIEF: u32 = 6;
    const MIN: Duration = Duration::from_millis(20);
    let server = Server::bind().await;
    let backoff = Backoff { min: MIN, max: DEADLINE };
    let mut scene = start(ClientConfig { backoff, ..config(&server.endpoint()) });
    let mut ended = Instant::now();
    for round in 0..BRIEF {
        let mut connection = server.accept().await;
        // Half of the time is certain, the rest is drawn.
        let least = if round == 0 { Duration::ZERO } else { MIN * 2_u32.pow(round - 1) / 2 };
        assert!(ended.elapsed() >= least, "round {round}: {:?}", ended.elapsed());
        connection.sync(json!({})).await;
        scene.connected().await;
        ended = Instant::now();
        drop(connection);
        scene.disconnected().await;
    }
    let mut connection = server.accept().await;
    connection.sync(json!({})).await;
    scene.connected().await;
    let connected = Instant::now();
    for transaction in 1.. {
        connection.update(Some(transaction), rows(&[(transaction, json!({"insert": {}}))])).await;
        scene.changed().await;
        if connected.elapsed() > Duration::from_millis(1_100) {
            break;
        }
    }
    let ended = Instant::now();
    drop(connection);
    scene.disconnected().await;
    server.accept().await;
    let still = MIN * 2_u32.pow(BRIEF) / 2;
    assert!(ended.elapsed() < still, "it waited {:?}", ended.elapsed());
}
