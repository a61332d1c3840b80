//! Filters that change.

use super::*;

#[test]
fn a_filter_that_is_refused_is_forgotten_unless_another_follows() {
    let mut scene = Scene::synced();
    let only = |name: &str| RowFilter::Any(vec![crate::ovsdb::txn::Condition::equal("name", name)]);
    let refuse = |scene: &mut Scene, request: &Value| {
        scene.send(json!({"id": request["id"], "error": "unknown column"})).unwrap();
        let Some(SessionEvent::Filtered { answer: Err(_), restored, .. }) =
            scene.session.poll_event()
        else {
            panic!()
        };
        restored
    };
    scene.session.handle_filter("T".into(), only("a"), scene.now);
    let first = scene.sent().pop().unwrap();
    scene.session.handle_filter("T".into(), only("b"), scene.now);
    let second = scene.sent().pop().unwrap();
    assert!(refuse(&mut scene, &first).is_empty(), "the second is on its way");
    assert_eq!(refuse(&mut scene, &second), [("T".into(), RowFilter::All)]);
    // The next monitor asks for what was there before both.
    scene
        .send(json!({"id": null, "method": "monitor_canceled", "params": ["ovn-client"]}))
        .unwrap();
    scene.answer_schema();
    let request = scene.answer(json!([false, uuid(0), {}]));
    assert_eq!(request["params"][2], json!({"T": [{"columns": ["name"]}]}));
}
