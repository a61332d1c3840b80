//! How long a server is waited for, and how much is taken from it.

use super::*;

#[test]
fn a_silent_server_is_probed_and_given_up() {
    let mut scene = Scene::synced();
    let due = scene.session.poll_timeout().unwrap();
    assert_eq!(due, scene.now + Duration::from_secs(5));
    scene.session.handle_timeout(due).unwrap();
    let echo = scene.sent();
    assert_eq!(echo[0]["method"], "echo");
    let end = scene.session.poll_timeout().unwrap();
    assert_eq!(end, scene.now + Duration::from_secs(10));
    assert!(matches!(scene.session.handle_timeout(end), Err(SessionError::Silent)));
}

#[test]
fn a_request_that_is_never_answered_ends_the_session_however_alive_the_server_is() {
    let alive = |scene: &mut Scene| {
        for _ in 0..20 {
            let due = scene.session.poll_timeout().unwrap();
            scene.now = due;
            scene.session.handle_timeout(due)?;
            for echo in scene.sent() {
                scene.send(json!({"id": echo["id"], "error": null, "result": []})).unwrap();
            }
        }
        Ok(())
    };
    // A transaction, and a request on the way into sync.
    let mut synced = Scene::synced();
    synced.session.handle_transact(&Txn::new().comment("c"), synced.now).unwrap();
    synced.sent();
    let mut starting = Scene::new(None);
    starting.sent();
    for mut scene in [synced, starting] {
        let begun = scene.now;
        let waited = Duration::from_secs(60);
        let error = alive(&mut scene).unwrap_err();
        assert!(matches!(error, SessionError::Unanswered { waited: w, .. } if w == waited));
        assert_eq!(scene.now - begun, waited);
    }
    let mut idle = Scene::synced();
    assert!(alive(&mut idle).is_ok(), "nothing was asked");
}

#[test]
fn an_answer_that_moves_on_is_waited_for_and_one_that_trickles_is_not() {
    let ends_after = |first: &[u8], each: &[u8]| {
        let mut scene = Scene::synced();
        scene.session.handle_transact(&Txn::new().comment("c"), scene.now).unwrap();
        scene.session.handle_input(first, scene.now).unwrap();
        let begun = scene.now;
        for second in 0..600 {
            scene.now = begun + Duration::from_secs(second);
            scene.session.handle_input(each, scene.now).unwrap();
            if let Err(error) = scene.session.handle_timeout(scene.now) {
                assert!(matches!(error, SessionError::Unanswered { method: "transact", .. }));
                return Some(second);
            }
        }
        None
    };
    let much = "x".repeat(17 * 1024);
    assert_eq!(ends_after(b"{\"result\":\"", b"x"), Some(60));
    assert_eq!(ends_after(b"{\"result\":\"", much.as_bytes()), None);
}

#[test]
fn a_server_that_is_probed_seldom_may_take_that_long() {
    let config = SessionConfig { probe_interval: Some(Duration::from_secs(180)), ..config() };
    let now = Instant::now();
    let mut session = Session::new(config, None, Progress::default(), now);
    assert!(session.handle_timeout(now + Duration::from_secs(180)).is_ok(), "it is probed");
    assert!(session.handle_timeout(now + Duration::from_secs(359)).is_ok());
    assert!(session.handle_timeout(now + Duration::from_secs(361)).is_err());
}

#[test]
fn a_server_that_takes_no_answers_is_asked_for_nothing_more() {
    let mut scene = Scene::synced();
    let echo = json!({"id": "e", "method": "echo", "params": ["x".repeat(ANSWERS / 3)]});
    for _ in 0..3 {
        assert!(scene.session.wants_input());
        scene.send(echo.clone()).unwrap();
        scene.session.poll_transmit(&mut Vec::new());
    }
    assert!(!scene.session.wants_input(), "it may never have been sent");
    scene.session.handle_sent();
    assert!(scene.session.wants_input());
    let txn = Txn::new().comment("x".repeat(2 * ANSWERS));
    scene.session.handle_transact(&txn, scene.now).unwrap();
    assert!(scene.session.wants_input(), "that is ours");
}
