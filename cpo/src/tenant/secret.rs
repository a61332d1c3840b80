//! The Secret that holds a tenant's kubeconfig.

use std::sync::Arc;
use std::time::Duration;

use cpo_core::tenant::SecretKey;
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::watch::describe;

/// How long to wait before a watch that failed is made anew.
const RETRY: Duration = Duration::from_secs(2);

/// What the Secret holds at the tenant's key.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Not read yet.
    Unknown,
    /// It cannot be read.
    Unreadable(String),
    /// There is no such Secret, or no such key in it.
    Absent,
    /// Bytes. No `Debug`: they are secret.
    Present(Arc<Vec<u8>>),
}

/// Publishes the content of one key of one Secret, whenever it differs, for ever. A watch that
/// fails is made anew, as in [`crate::watch`].
pub(super) async fn follow(client: Client, secret: SecretKey, published: watch::Sender<Content>) {
    let api: Api<Secret> = Api::namespaced(client, &secret.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", secret.name));
    let mut failures = 0_u32;
    loop {
        let error = follow_once(&api, &config, &secret.key, &published).await;
        let (namespace, name) = (&secret.namespace, &secret.name);
        tracing::warn!(namespace, name, error, "kubeconfig Secret cannot be watched");
        failures += 1;
        // What was read before stands, and one failure at a start is no news.
        if failures > 1 && !matches!(*published.borrow(), Content::Present(_) | Content::Absent) {
            publish(
                &published,
                Content::Unreadable(format!("Secret {namespace}/{name} cannot be read: {error}")),
            );
        }
        sleep(RETRY).await;
    }
}

/// Follows one watch until it fails.
async fn follow_once(
    api: &Api<Secret>,
    config: &watcher::Config,
    key: &str,
    published: &watch::Sender<Content>,
) -> String {
    let objects = watcher(api.clone(), config.clone());
    pin_mut!(objects);
    let mut present = false;
    while let Some(event) = objects.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                present = true;
                publish(published, content(object, key));
            }
            Ok(Event::Init) => present = false,
            Ok(Event::InitDone) if !present => publish(published, Content::Absent),
            Ok(Event::InitDone) => {}
            Ok(Event::Delete(_)) => publish(published, Content::Absent),
            Err(error) => return describe(&error),
        }
    }
    "the watch ended".to_owned()
}

fn publish(published: &watch::Sender<Content>, content: Content) {
    published.send_if_modified(|current| {
        let differs = *current != content;
        if differs {
            *current = content;
        }
        differs
    });
}

fn content(object: Secret, key: &str) -> Content {
    let bytes = object.data.and_then(|mut data| data.remove(key));
    bytes.map_or(Content::Absent, |bytes| Content::Present(Arc::new(bytes.0)))
}
