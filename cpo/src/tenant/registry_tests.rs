//! Which changes begin a session anew.

use http::StatusCode;

use super::super::testing::ApiServer;
use cpo_core::tenant::SecretKey;

use super::*;
use crate::leadership::testing::leadership;

fn wanted(incarnation: u64, namespaces: Option<Round>) -> Wanted {
    let (namespace, name) = ("tenant".to_owned(), "kubeconfig".to_owned());
    let access = Access::Kubeconfig(SecretKey { namespace, name, key: "value".into() });
    Wanted { incarnation, access, namespaces }
}

/// The queue of a tenant's jobs, which is another with each session.
fn jobs(routes: &Routes, tenant: &str) -> mpsc::Sender<Order<Effect>> {
    routes.0.lock().unwrap()[&tenant.parse().unwrap()].jobs.clone()
}

#[tokio::test]
async fn what_is_read_besides_begins_no_session() {
    let (client, _server) = ApiServer::start(StatusCode::OK);
    let (_tenants, published) = watch::channel(Arc::default());
    let (inputs, _observed) = mpsc::channel(256);
    let (results, _ended) = mpsc::channel(256);
    let (_standing, leadership) = leadership(Some(1));
    let routes = Routes::default();
    let registry = Registry {
        client,
        under: Server { host: "under".into(), port: 443 },
        wanted: published,
        routes: routes.clone(),
        inputs,
        results,
        leadership,
    };
    let name: TenantName = "a".parse().unwrap();
    let (mut running, mut sessions) = (BTreeMap::new(), JoinSet::new());
    let mut queues = Vec::new();
    let first = Some(Round::default().next());
    for of_a in [wanted(1, None), wanted(1, first), wanted(1, None), wanted(2, None)] {
        let asked = of_a.namespaces;
        registry.turn_to(&[(name.clone(), of_a)].into(), &mut running, &mut sessions);
        let round = &running[&name].namespaces;
        assert_eq!(*round.borrow(), asked);
        assert_eq!(round.receiver_count(), 1, "its session listens");
        queues.push(jobs(&routes, "a"));
    }
    let same = |one: usize, other: usize| queues[one].same_channel(&queues[other]);
    assert!(same(0, 1) && same(1, 2), "namespaces come and go in one session");
    assert!(!same(2, 3), "another incarnation has its own");
    registry.turn_to(&BTreeMap::new(), &mut running, &mut sessions);
    assert!(running.is_empty() && routes.0.lock().unwrap().is_empty());
}
