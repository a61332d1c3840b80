//! What is read of a tenant, and when.

use cpo_core::engine::NamespacesSeen;
use http::StatusCode;

use super::super::testing::{ApiServer, Call, DEADLINE};
use super::*;

const ALWAYS: [&str; 3] = ["services", "nodes", "endpointslices"];

/// The watches of a tenant, its API server, and who asks for namespaces.
struct Scene {
    server: ApiServer,
    rounds: watch::Sender<Option<Round>>,
    observed: mpsc::Receiver<Input>,
    watches: JoinSet<()>,
    _kubeconfig: watch::Sender<Content>,
}

impl Scene {
    /// A tenant that shows its namespaces with this status, when nobody asks for them and the other
    /// watches are open.
    async fn start(namespaces: StatusCode) -> Self {
        let (client, mut server) = ApiServer::start(namespaces);
        let (rounds, namespaces) = watch::channel(None);
        let (inputs, observed) = mpsc::channel(256);
        let (content, kubeconfig) = watch::channel(Content::Unknown);
        let connector = Connector {
            tenant: "a".parse().unwrap(),
            kubeconfig,
            under: Server { host: "under".into(), port: 443 },
            namespaces,
            inputs,
            current: Arc::new(ArcSwapOption::empty()),
        };
        let mut watches = JoinSet::new();
        let up = Link::Up { version: None, expires: None };
        connector.spawn_watches(&mut watches, &client, &up);
        let all = |server: &ApiServer| {
            ALWAYS.iter().all(|kind| server.count(&Call::Watched((*kind).into())) == 1)
        };
        server.until("watched", all).await;
        Self { server, rounds, observed, watches, _kubeconfig: content }
    }

    async fn until(&mut self, call: fn(String) -> Call, times: usize) {
        let call = call("namespaces".to_owned());
        let what = format!("{call:?} {times} times");
        self.server.until(&what, |server| server.count(&call) == times).await;
    }

    /// The next that is told of namespaces.
    async fn next(&mut self) -> (Round, NamespacesSeen) {
        loop {
            let told = timeout(DEADLINE, self.observed.recv()).await.unwrap();
            if let Some(seen) = of_namespaces(told.unwrap()) {
                return seen;
            }
        }
    }

    /// What was told of namespaces since the last time.
    fn seen(&mut self) -> Vec<(Round, NamespacesSeen)> {
        let told = std::iter::from_fn(|| self.observed.try_recv().ok());
        told.filter_map(of_namespaces).collect()
    }
}

/// What is told of namespaces; of the link nothing may be told.
fn of_namespaces(told: Input) -> Option<(Round, NamespacesSeen)> {
    match told {
        Input::Namespaces(_, round, seen) => Some((round, seen)),
        Input::TenantLink(_, link) => panic!("{link:?}"),
        _ => None,
    }
}

#[tokio::test]
async fn the_watch_of_namespaces_comes_and_goes_beside_the_others() {
    let mut scene = Scene::start(StatusCode::OK).await;
    assert_eq!(scene.seen(), [], "nobody asks");
    let labels = [("exposure".to_owned(), "office".to_owned())].into();
    let listed = [
        NamespacesSeen::One("default".into(), Some(labels)),
        NamespacesSeen::Listed(["default".to_owned()].into()),
    ];
    let mut round = Round::default();
    for times in 1..=3 {
        round = round.next();
        scene.rounds.send_replace(Some(round));
        scene.until(Call::Watched, times).await;
        assert_eq!(scene.seen(), listed.clone().map(|seen| (round, seen)), "listed anew");
        // At the last time another round follows at once.
        if times < 3 {
            scene.rounds.send_replace(None);
            scene.until(Call::Ended, times).await;
        }
    }
    scene.rounds.send_replace(Some(round.next()));
    scene.until(Call::Watched, 4).await;
    assert_eq!(scene.seen(), listed.map(|seen| (round.next(), seen)));
    let others = scene.server.seen.iter().filter(|call| {
        let (Call::Listed(kind) | Call::Watched(kind) | Call::Ended(kind)) = call;
        kind != "namespaces"
    });
    assert_eq!(others.count(), 2 * ALWAYS.len(), "each was listed once, and is still watched");
    assert!(scene.watches.try_join_next().is_none(), "all go on");
}

#[tokio::test]
async fn namespaces_that_are_not_shown_say_nothing_of_the_link() {
    let refused = |seen: &_| matches!(seen, NamespacesSeen::Refused(_));
    for status in [StatusCode::FORBIDDEN, StatusCode::BAD_GATEWAY] {
        let mut scene = Scene::start(status).await;
        // Who asks anew does not wait until the last attempt would be repeated.
        for round in [Round::default().next(), Round::default().next().next()] {
            scene.rounds.send_replace(Some(round));
            let (of, seen) = scene.next().await;
            assert_eq!((of, refused(&seen)), (round, status == StatusCode::FORBIDDEN), "{seen:?}");
        }
        assert!(scene.watches.try_join_next().is_none(), "all go on");
    }
}
