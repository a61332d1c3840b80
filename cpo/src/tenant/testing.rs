//! An API server for tests: it answers lists, keeps watches open, and tells of both.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long anything may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What became of a call, and the plural of what it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A list was answered.
    Listed(String),
    /// A watch was opened.
    Watched(String),
    /// A watch was ended by who had opened it.
    Ended(String),
}

/// What the API server tells of.
pub(super) struct ApiServer {
    calls: mpsc::Receiver<Call>,
    /// So far.
    pub(super) seen: Vec<Call>,
}

impl ApiServer {
    /// A server whose namespaces are listed with this status: one, `default`, in office. Of
    /// everything else there is none.
    pub(super) fn start(namespaces: StatusCode) -> (Client, Self) {
        let (told, calls) = mpsc::channel(256);
        let service = tower::service_fn(move |request: Request<Body>| {
            let told = told.clone();
            async move {
                let kind = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
                if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
                    told.try_send(Call::Watched(kind.clone())).unwrap();
                    let _open = Open(told, kind);
                    return std::future::pending().await;
                }
                let code = if kind == "namespaces" { namespaces } else { StatusCode::OK };
                let mut response =
                    Response::new(Body::from(answer(&kind, code).to_string().into_bytes()));
                *response.status_mut() = code;
                told.try_send(Call::Listed(kind)).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        (Client::new(service, "default"), Self { calls, seen: Vec::new() })
    }

    /// Waits until enough was seen.
    pub(super) async fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let next = timeout(DEADLINE, self.calls.recv()).await;
            let next = next.unwrap_or_else(|_| panic!("not {what}: {:?}", self.seen));
            self.seen.push(next.unwrap());
        }
    }

    /// How often a call was seen.
    pub(super) fn count(&self, call: &Call) -> usize {
        self.seen.iter().filter(|seen| *seen == call).count()
    }
}

/// A watch that is open.
struct Open(mpsc::Sender<Call>, String);

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.0.try_send(Call::Ended(self.1.clone()));
    }
}

fn answer(kind: &str, code: StatusCode) -> Value {
    let office = json!({"metadata": {"name": "default", "labels": {"exposure": "office"}}});
    let items = if kind == "namespaces" { vec![office] } else { Vec::new() };
    match code {
        StatusCode::OK => json!({"metadata": {"resourceVersion": "1"}, "items": items}),
        code => json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no",
            "reason": "Whatever", "code": code.as_u16(),
        }),
    }
}
