//! Messages that are decoded beside the session.

use super::*;

/// A session that was sent contents too large to be decoded beside everything else.
fn with_large_contents() -> Scene {
    let mut scene = Scene::new(None);
    scene.answer_schema();
    let name = "x".repeat(LARGE);
    scene
        .answer(json!([false, uuid(7), {"T": {uuid(1).to_string(): {"initial": {"name": name}}}}]));
    scene
}

#[test]
fn an_echo_is_answered_while_large_contents_are_decoded_and_updates_wait_for_them() {
    let mut scene = with_large_contents();
    let decode = scene.session.poll_decode().unwrap();
    assert!(scene.session.poll_decode().is_none());
    let rows = json!({"T": {uuid(1).to_string(): {"modify": {"name": "b"}}}});
    let update = json!({"id": null, "method": "update3", "params": ["ovn-client", uuid(8), rows]});
    scene.send(update).unwrap();
    scene.send(json!({"id": "e", "method": "echo", "params": [1]})).unwrap();
    assert_eq!(scene.sent(), [json!({"id": "e", "result": [1], "error": null})]);
    assert!(scene.session.poll_event().is_none());
    scene.session.handle_decoded(decode.run(), scene.now).unwrap();
    assert!(matches!(scene.session.poll_event(), Some(SessionEvent::Contents(_))));
    assert!(matches!(scene.session.poll_event(), Some(SessionEvent::Updated { .. })));
}

#[test]
fn who_does_not_listen_blames_no_silence_on_the_server() {
    let mut scene = with_large_contents();
    let decode = scene.session.poll_decode().unwrap();
    let notice = json!({"id": null, "method": "x", "params": ["y".repeat(LARGE)]});
    while scene.session.wants_input() {
        scene.send(notice.clone()).unwrap();
    }
    for _ in 0..4 {
        let due = scene.session.poll_timeout().unwrap();
        scene.session.handle_timeout(due).unwrap();
        assert!(scene.sent().iter().all(|message| message["method"] != "echo"));
    }
    drop(decode);
}

#[test]
fn a_server_is_not_read_on_for_ever_while_large_contents_are_decoded() {
    let mut scene = with_large_contents();
    let decode = scene.session.poll_decode().unwrap();
    let notice = json!({"id": null, "method": "x", "params": ["y".repeat(LARGE)]});
    while scene.session.wants_input() {
        scene.send(notice.clone()).unwrap();
    }
    let mut decoded = decode.run();
    loop {
        scene.session.handle_decoded(decoded, scene.now).unwrap();
        match scene.session.poll_decode() {
            Some(next) => decoded = next.run(),
            None => break,
        }
    }
    assert!(scene.session.wants_input());
    assert!(matches!(scene.session.poll_event(), Some(SessionEvent::Contents(_))));
}
