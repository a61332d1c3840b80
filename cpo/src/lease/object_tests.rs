//! What the server's answers mean, and what is written.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// The body of the last request.
type Sent = Arc<Mutex<Value>>;

/// A server that gives this answer to everything; none, if it is to hang.
fn server(answer: Option<(StatusCode, Value)>) -> (Object, Sent) {
    let sent = Sent::default();
    let seen = sent.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            *seen.lock().unwrap() = serde_json::from_slice(&body).unwrap_or_default();
            let Some((code, body)) = answer else { return std::future::pending().await };
            let body = Body::from(body.to_string().into_bytes());
            let mut response = Response::new(body);
            *response.status_mut() = code;
            Ok::<_, Infallible>(response)
        }
    });
    let client = Client::new(service, "cloud-provider-ovn");
    let patience = Duration::from_millis(200);
    let object = Object { api: Api::default_namespaced(client), name: "lease".into(), patience };
    (object, sent)
}

fn refused(code: StatusCode) -> (Object, Sent) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no",
        "reason": "Whatever", "code": code.as_u16(),
    });
    server(Some((code, status)))
}

fn claim(holder: &str) -> Claim {
    let lease = Duration::from_secs(15);
    Claim { holder: holder.into(), lease, acquired: None, transitions: 3 }
}

fn calls() -> [Call; 3] {
    let replace = Call::Replace { version: "7".into(), claim: claim("us") };
    [Call::Read, Call::Create(claim("us")), replace]
}

fn lease(version: &str, holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "lease", "resourceVersion": version, "uid": "u",
            "labels": {"team": "network"}, "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 2,
            "acquireTime": "2026-01-01T00:00:00.123456Z", "renewTime": "2026-01-01T00:00:09.000001Z",
        },
    })
}

#[tokio::test]
async fn refusals_mean_what_they_do_to_each_call() {
    use Answer::{Conflict, Failed, Read};
    let expected = [
        (StatusCode::NOT_FOUND, [Read(None), Failed, Conflict]),
        (StatusCode::CONFLICT, [Failed, Conflict, Conflict]),
        (StatusCode::FORBIDDEN, [Failed, Failed, Failed]),
        (StatusCode::INTERNAL_SERVER_ERROR, [Failed, Failed, Failed]),
    ];
    for (code, answers) in expected {
        for (call, expected) in calls().into_iter().zip(answers) {
            let (object, _) = refused(code);
            let (answer, _) = object.call(call.clone(), None).await;
            assert_eq!(answer, expected, "{code} to {call:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    for call in calls() {
        let (object, _) = server(None);
        assert_eq!(object.call(call, None).await.0, Answer::Failed);
    }
}

#[tokio::test]
async fn what_the_server_has_is_read_and_its_clock_is_not_used() {
    let (object, _) = server(Some((StatusCode::OK, lease("8", "them"))));
    let (Answer::Read(Some(record)), Some(_)) = object.call(Call::Read, None).await else {
        panic!("not read");
    };
    let acquired = Some("2026-01-01T00:00:00.123456Z".parse().unwrap());
    let lease = Some(Duration::from_secs(15));
    let expected =
        Record { version: "8".into(), holder: "them".into(), lease, acquired, transitions: 2 };
    assert_eq!(record, expected);
}

#[tokio::test]
async fn a_replacement_names_its_version_and_keeps_what_others_wrote() {
    let (object, sent) = server(Some((StatusCode::OK, lease("8", "us"))));
    let last = serde_json::from_value(lease("6", "them")).unwrap();
    let [_, _, replace] = calls();
    let (answer, _) = object.call(replace, Some(last)).await;
    assert!(matches!(answer, Answer::Written(record) if record.holder == "us"));
    let sent = sent.lock().unwrap().clone();
    let at = |pointer: &str| sent.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/metadata/resourceVersion"), "7");
    assert_eq!(at("/metadata/labels/team"), "network");
    assert_eq!(at("/metadata/managedFields"), Value::Null);
    assert_eq!(at("/spec/holderIdentity"), "us");
    assert_eq!(at("/spec/leaseDurationSeconds"), 15);
    assert_eq!(at("/spec/leaseTransitions"), 3);
    assert!(at("/spec/renewTime").is_string() && at("/spec/acquireTime").is_string());
}

#[tokio::test]
async fn who_gives_the_lease_back_leaves_it_without_a_holder() {
    let (object, sent) = server(Some((StatusCode::OK, lease("8", ""))));
    let replace = Call::Replace { version: "7".into(), claim: claim("") };
    assert!(matches!(object.call(replace, None).await.0, Answer::Written(_)));
    assert_eq!(sent.lock().unwrap().pointer("/spec/holderIdentity"), Some(&json!("")));
}
