//! One task for each watch of one kind: objects in, [`Input`]s out, for ever.
//!
//! ```text
//! API server ─► Watch (one of each kind) ─► inputs (bounded: a full heart holds up the watch)
//! ```
//! A watch that breaks off goes on where it was: not every restart of an API server makes all
//! speakers read everything again. One that the server refuses is dropped and made anew, with a
//! complete list: what it cannot give any more is lost otherwise, and a refusal by the status of the
//! answer (410) would freeze the library's watcher for ever (kube-rs #1042).

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::input::{Input, Kind, Object, Source};

/// First wait after a failed list or watch, doubled with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// The longest wait between two attempts.
const PATIENCE: Duration = Duration::from_secs(5);
/// A watch is renewed after this many seconds.
const WATCH_SECONDS: u32 = 200;

/// What is made of an object, and what of it cannot be read.
pub(crate) type Parsed = (Option<Object>, Vec<String>);

/// A watch of one kind.
pub(crate) struct Watch<O: Clone, P> {
    /// The kind.
    pub(crate) kind: Kind,
    /// Where its objects are.
    pub(crate) api: Api<DeserializeGuard<O>>,
    /// Which of them.
    pub(crate) config: watcher::Config,
    /// What is made of one; `None` where it is of no concern, which counts as gone.
    pub(crate) present: P,
    /// The object of that name is gone. `None` for a name that no object of ours can have.
    pub(crate) gone: fn(&str) -> Option<Object>,
    /// Who is told.
    pub(crate) inputs: mpsc::Sender<Input>,
}

impl<O, P> Watch<O, P>
where
    O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    P: Fn(O) -> Parsed + Send + Sync + 'static,
{
    /// Watches until nobody listens any more.
    pub(crate) async fn run(mut self) {
        self.config = self.config.timeout(WATCH_SECONDS);
        let mut backoff = FIRST_BACKOFF;
        while let Err(error) = self.follow(&mut backoff).await {
            self.pause(&error, &mut backoff, "watch failed, all is read again").await;
        }
    }

    /// Waits after a failure.
    async fn pause(&self, error: &watcher::Error, backoff: &mut Duration, what: &str) {
        let error = describe(error);
        tracing::warn!(kind = ?self.kind, error, "{what}");
        sleep(jittered(*backoff)).await;
        *backoff = (*backoff * 2).min(PATIENCE);
    }

    /// Follows one watch until the server refuses it; `Ok` when nobody listens any more.
    async fn follow(&self, backoff: &mut Duration) -> Result<(), watcher::Error> {
        let events = watcher::watcher(self.api.clone(), self.config.clone());
        pin_mut!(events);
        let mut names = BTreeSet::new();
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) if resumes(&error) => {
                    self.pause(&error, backoff, "watch broke off, goes on where it was").await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let told = match event {
                Event::Init => {
                    names.clear();
                    Vec::new()
                }
                Event::InitApply(object) => {
                    names.insert(object.name_any());
                    self.told(object, Source::List)
                }
                Event::InitDone => {
                    *backoff = FIRST_BACKOFF;
                    vec![Input::Listed(self.kind, std::mem::take(&mut names))]
                }
                Event::Apply(object) => {
                    *backoff = FIRST_BACKOFF;
                    self.told(object, Source::Watch)
                }
                Event::Delete(object) => {
                    *backoff = FIRST_BACKOFF;
                    self.gone(&object.name_any()).into_iter().collect()
                }
            };
            for input in told {
                if self.inputs.send(input).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn gone(&self, name: &str) -> Option<Input> {
        (self.gone)(name).map(|object| Input::Object(object, Source::List))
    }

    fn told(&self, object: DeserializeGuard<O>, source: Source) -> Vec<Input> {
        let name = object.name_any();
        if name.is_empty() {
            return Vec::new();
        }
        match object.0 {
            Ok(object) => {
                let (parsed, complaints) = (self.present)(object);
                let complain = |what| Input::Complaint(format!("{} {name}: {what}", O::kind(&())));
                let complaints = complaints.into_iter().map(complain);
                let told = parsed.map(|object| Input::Object(object, source));
                told.or_else(|| self.gone(&name)).into_iter().chain(complaints).collect()
            }
            // What was known of it stays: a broken object is no deletion.
            Err(broken) => {
                let what = format!("{} {name}: {}", O::kind(&()), broken.error);
                vec![Input::Unreadable(self.kind, name, what)]
            }
        }
    }
}

/// Whether a watch goes on where it was after this: the server did not refuse it.
const fn resumes(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(error) => !matches!(error, kube::Error::Api(_)),
        watcher::Error::WatchFailed(_) => true,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// Between three quarters and all of a wait, so that many do not come back as one.
pub(crate) fn jittered(wait: Duration) -> Duration {
    let [random, ..] = RandomState::new().hash_one(0).to_le_bytes();
    wait - wait / 4 * u32::from(random) / 256
}

/// An error with its causes, short enough for a line.
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
    fn a_watch_goes_on_where_it_was_unless_the_server_refuses_it() {
        use watcher::Error::{
            InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
        };
        let gone =
            || Box::new(Status::failure("too old resource version", "Expired").with_code(410));
        let broken = || kube::Error::Service("connection refused".into());
        assert!(resumes(&WatchStartFailed(broken())));
        assert!(resumes(&WatchFailed(broken())));
        assert!(!resumes(&WatchStartFailed(kube::Error::Api(gone()))));
        assert!(!resumes(&WatchError(gone())));
        assert!(!resumes(&InitialListFailed(broken())));
        assert!(!resumes(&NoResourceVersion));
    }
}
