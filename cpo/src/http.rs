//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::leadership::Leadership;
use crate::metrics::{Metrics, Snapshot};

#[derive(Clone)]
struct Shared {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    metrics: Arc<Metrics>,
}

/// Answers until the process ends.
pub(crate) async fn serve(
    listener: TcpListener,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    northbound: ovn_client::Client,
    leadership: Leadership,
) {
    let metrics = Arc::new(Metrics::new(snapshot.clone(), northbound, leadership));
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(shared): State<Shared>| async move { shared.metrics.text() }))
        .with_state(Shared { snapshot, metrics });
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "http server ended");
    }
}

/// Who stands by is ready too, once everything is read: a rollout waits for that.
async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    let snapshot = shared.snapshot.borrow().clone();
    match (snapshot.ready, snapshot.ovn_up) {
        (true, true) => (StatusCode::OK, "ready\n"),
        (true, false) => {
            (StatusCode::SERVICE_UNAVAILABLE, "OVNUnavailable: the Northbound database is away\n")
        }
        (false, _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "reading the under cluster, or waiting for it, and for the Northbound database\n",
        ),
    }
}
