//! The Secret that holds a tenant's kubeconfig.

use std::sync::Arc;
use std::time::Duration;

use cpo_core::tenant::Access;
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
#[derive(Clone)]
pub(super) enum Content {
    /// Not read yet.
    Unknown,
    /// It cannot be read.
    Unreadable(String),
    /// There is no such Secret, or no such key in it.
    Absent,
    /// Bytes. No `Debug`: they are secret.
    Present(Arc<Vec<u8>>),
    /// None is needed: it is the under cluster, with our own rights.
    Own(Client),
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown, Self::Unknown)
            | (Self::Absent, Self::Absent)
            // There is one alone.
            | (Self::Own(_), Self::Own(_)) => true,
            (Self::Unreadable(one), Self::Unreadable(other)) => one == other,
            (Self::Present(one), Self::Present(other)) => one == other,
            (
                Self::Unknown
                | Self::Unreadable(_)
                | Self::Absent
                | Self::Present(_)
                | Self::Own(_),
                _,
            ) => false,
        }
    }
}

/// Publishes how a tenant is reached, whenever that differs, for ever: the content of one key of one
/// Secret, or our own client. A watch that fails is made anew, as in [`crate::watch`].
pub(super) async fn follow(client: Client, access: Access, published: watch::Sender<Content>) {
    let secret = match access {
        Access::Kubeconfig(secret) => secret,
        Access::InCluster => {
            publish(&published, Content::Own(client));
            return std::future::pending().await;
        }
    };
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
