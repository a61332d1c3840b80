//! One watch of one kind: objects in, [`Input`]s out, for ever.
//!
//! After any error the watch is dropped and made anew, with a complete list: a server that
//! answers 410 to a watch would freeze the library's watcher for ever (kube-rs #1042), and only a
//! complete list proves that nothing was missed.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use cpo_core::engine::Input;
use futures::{StreamExt as _, pin_mut};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// First wait after a failed list or watch, doubled with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// Wait before a server that lacks or refuses a kind is asked for it again: it may have been
/// upgraded, or a right been given.
const WITHOUT: Duration = Duration::from_secs(60);
/// A watch is renewed after this many seconds.
const WATCH_SECONDS: u32 = 200;

/// What to make of the objects of one kind.
pub(crate) trait Kind: Send + Sync + 'static {
    /// The object as the API server sends it.
    type Object: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static;

    /// Parses one object; `None` where it is of no concern, which counts as gone.
    fn present(&self, object: Self::Object) -> Option<Input>;
    /// The object of that namespace and name is gone, or of no concern. `None` for a name that no
    /// object of ours can have.
    fn gone(&self, namespace: &str, name: &str) -> Option<Input>;
    /// A list begins, where that is to be told.
    fn listing(&self) -> Option<Input> {
        None
    }
    /// A list is complete.
    fn listed(&self, names: BTreeSet<String>) -> Input;
    /// The list or watch failed.
    fn lost(&self, error: String) -> Input;
    /// What to say when a list completes after the watch had failed.
    fn recovered(&self) -> Option<Input> {
        None
    }
    /// What it amounts to when a server lacks the kind, or refuses it, where that is tolerated.
    fn without(&self, _error: &watcher::Error) -> Option<Input> {
        None
    }
    /// The longest wait between two attempts at a list.
    fn patience(&self) -> Duration;
    /// An object cannot be read.
    fn malformed(&self, namespace: &str, name: &str, error: &str) {
        tracing::warn!(namespace, name, error, "object cannot be read and is passed over");
    }
}

/// Watches until the receiver is gone.
pub(crate) async fn watch<K: Kind>(
    api: Api<DeserializeGuard<K::Object>>,
    config: watcher::Config,
    kind: K,
    inputs: mpsc::Sender<Input>,
) {
    let config = config.timeout(WATCH_SECONDS);
    let mut backoff = FIRST_BACKOFF;
    loop {
        let error = match follow(&api, &config, &kind, &inputs, &mut backoff).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if let Some(input) = kind.without(&error) {
            if inputs.send(input).await.is_err() {
                return;
            }
            sleep(jittered(WITHOUT)).await;
            continue;
        }
        if inputs.send(kind.lost(describe(&error))).await.is_err() {
            return;
        }
        sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(kind.patience());
    }
}

/// The HTTP status with which a server answered a list or a watch.
pub(crate) fn status_of(error: &watcher::Error) -> Option<u16> {
    use watcher::Error::{InitialListFailed, WatchError, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// Between three quarters and all of a wait, so that many watches do not come back as one.
fn jittered(wait: Duration) -> Duration {
    let [random, ..] = uuid::Uuid::new_v4().into_bytes();
    wait - wait / 4 * u32::from(random) / 256
}

/// Follows one watch until it fails; `Ok` when nobody listens any more.
async fn follow<K: Kind>(
    api: &Api<DeserializeGuard<K::Object>>,
    config: &watcher::Config,
    kind: &K,
    inputs: &mpsc::Sender<Input>,
    backoff: &mut Duration,
) -> Result<(), watcher::Error> {
    let events = watcher::watcher(api.clone(), config.clone());
    pin_mut!(events);
    let mut names = BTreeSet::new();
    while let Some(event) = events.next().await {
        let input = match event? {
            Event::Init => {
                names.clear();
                kind.listing()
            }
            Event::InitApply(object) => {
                let (namespace, name) = identity(&object);
                names.insert(if namespace.is_empty() {
                    name.clone()
                } else {
                    format!("{namespace}/{name}")
                });
                parse(kind, object)
            }
            Event::InitDone => {
                let failed = std::mem::replace(backoff, FIRST_BACKOFF) != FIRST_BACKOFF;
                if let Some(input) = kind.recovered().filter(|_| failed)
                    && inputs.send(input).await.is_err()
                {
                    return Ok(());
                }
                Some(kind.listed(std::mem::take(&mut names)))
            }
            Event::Apply(object) => parse(kind, object),
            Event::Delete(object) => {
                let (namespace, name) = identity(&object);
                kind.gone(&namespace, &name)
            }
        };
        if let Some(input) = input
            && inputs.send(input).await.is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

fn identity<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn parse<K: Kind>(kind: &K, object: DeserializeGuard<K::Object>) -> Option<Input> {
    let (namespace, name) = identity(&object);
    if name.is_empty() {
        return None;
    }
    match object.0 {
        Ok(object) => kind.present(object).or_else(|| kind.gone(&namespace, &name)),
        Err(invalid) => {
            // What was known of it stays: a broken object is no deletion.
            kind.malformed(&namespace, &name, &invalid.error);
            None
        }
    }
}

/// An error with its causes, short enough for a condition.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text.chars().filter(|c| !c.is_control()).take(512).collect()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_refusal_is_told_apart_whether_a_list_or_a_watch_is_refused() {
        let status = || Box::new(Status::failure("no", "Forbidden").with_code(403));
        let list = watcher::Error::InitialListFailed(kube::Error::Api(status()));
        let start = watcher::Error::WatchStartFailed(kube::Error::Api(status()));
        let within = watcher::Error::WatchError(status());
        assert_eq!([list, start, within].map(|error| status_of(&error)), [Some(403); 3]);
        assert_eq!(status_of(&watcher::Error::NoResourceVersion), None);
    }
}
