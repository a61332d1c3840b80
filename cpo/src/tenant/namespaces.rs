//! The watch of a tenant's namespaces, which comes and goes beside the others.

use std::collections::BTreeSet;
use std::time::Duration;

use cpo_core::engine::{Input, NamespacesSeen};
use cpo_core::ids::TenantName;
use cpo_core::tenant::Round;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Config};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};

use super::parse;
use super::session::LAST_RETRY;
use crate::watch::{Kind, describe, status_of, watch as watch_kind};

/// Reads a tenant's namespaces while somebody asks for them.
pub(super) struct Namespaces {
    pub(super) tenant: TenantName,
    pub(super) client: Client,
    /// The round that is asked for.
    pub(super) rounds: watch::Receiver<Option<Round>>,
    pub(super) inputs: mpsc::Sender<Input>,
}

impl Namespaces {
    /// Watches anew in each round, beginning with a complete list. Ends by itself only when nobody
    /// listens any more.
    pub(super) async fn run(mut self) {
        loop {
            let round = *self.rounds.borrow_and_update();
            let watch = self.watch(round);
            // Cancel safe: what is cut off counts for its own round alone.
            tokio::select! {
                () = changed(&mut self.rounds) => {}
                () = watch => return,
            }
        }
    }

    /// The watch of a round; without one, nothing for ever.
    fn watch(&self, round: Option<Round>) -> impl Future<Output = ()> + use<> {
        let api = Api::<DeserializeGuard<Namespace>>::all(self.client.clone());
        let (tenant, inputs) = (self.tenant.clone(), self.inputs.clone());
        async move {
            match round.map(|round| NamespaceWatch { tenant, round }) {
                Some(kind) => watch_kind(api, Config::default(), kind, inputs).await,
                None => std::future::pending().await,
            }
        }
    }
}

/// Waits for another round; for ever, when nobody asks any more: its session ends then.
async fn changed(rounds: &mut watch::Receiver<Option<Round>>) {
    if rounds.changed().await.is_err() {
        std::future::pending().await
    }
}

/// How namespaces are read. They do not speak for how we stand with the tenant, which need not
/// show them.
struct NamespaceWatch {
    tenant: TenantName,
    round: Round,
}

impl NamespaceWatch {
    fn seen(&self, seen: NamespacesSeen) -> Input {
        Input::Namespaces(self.tenant.clone(), self.round, seen)
    }
}

impl Kind for NamespaceWatch {
    type Object = Namespace;

    fn present(&self, object: Namespace) -> Option<Input> {
        Some(self.seen(parse::namespace(&object)))
    }

    fn gone(&self, _: &str, name: &str) -> Option<Input> {
        Some(self.seen(NamespacesSeen::One(name.to_owned(), None)))
    }

    fn listed(&self, names: BTreeSet<String>) -> Input {
        self.seen(NamespacesSeen::Listed(names))
    }

    fn patience(&self) -> Duration {
        LAST_RETRY
    }

    /// The right to read them is one that a tenant need not give.
    fn without(&self, error: &watcher::Error) -> Option<Input> {
        let refused = status_of(error) == Some(403);
        refused.then(|| self.seen(NamespacesSeen::Refused(describe(error))))
    }

    fn lost(&self, error: String) -> Input {
        self.seen(NamespacesSeen::Unread(error))
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn only_a_right_that_is_missing_is_waited_for_with_patience() {
        let kind = NamespaceWatch { tenant: "a".parse().unwrap(), round: Round::default() };
        for code in [401, 403, 404, 410, 500] {
            let status = Status::failure("no", "Whatever").with_code(code);
            let error = watcher::Error::WatchStartFailed(kube::Error::Api(Box::new(status)));
            let told = kind.without(&error);
            let refused = matches!(told, Some(Input::Namespaces(_, _, NamespacesSeen::Refused(_))));
            assert_eq!((refused, told.is_some()), (code == 403, code == 403), "{code}: {told:?}");
        }
    }
}
