//! Which changes begin a session anew.

use http::StatusCode;

use super::super::testing::ApiServer;
use super::*;
use crate::leadership::testing::leadership;

fn wanted(incarnation: u64, namespaces: Option<Round>) -> Wanted {
    let (namespace, name) = ("tenant".to_owned(), "kubeconfig".to_owned());
    Wanted { incarnation, secret: SecretKey { namespace, name, key: "value".into() }, namespaces }
}

/// The queue of a tenant's jobs, which is another with each session.
fn jobs(routes: &Routes, tenant: &str) -> mpsc::Sender<Order<Effect>> {
    routes.0.lock().unwrap()[&tenant.parse().unwrap()].jobs.clone()
}

#[tokio::test]
async fn what_is_read_besides_begins_no_session() {
    let (client, _server) = ApiServer::start(StatusCode::OK);
    let (tenants, published) = watch::channel(Arc::default());
    let (inputs, mut observed) = mpsc::channel(256);
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
    let registry = tokio::spawn(registry.run());
    let first = Some(Round::default().next());
    let mut sessions = Vec::new();
    // Each step with one tenant more, whose session tells that the step was taken.
    let steps = [wanted(1, None), wanted(1, first), wanted(1, None), wanted(2, None)];
    for (number, of_a) in steps.into_iter().enumerate() {
        let next = format!("b-{number}");
        tenants.send_modify(|wanted: &mut Arc<BTreeMap<_, _>>| {
            let wanted = Arc::make_mut(wanted);
            wanted.insert("a".parse().unwrap(), of_a);
            wanted.insert(next.parse().unwrap(), self::wanted(1, None));
        });
        while observed.recv().await.unwrap().tenant.as_str() != next {}
        sessions.push(jobs(&routes, "a"));
    }
    let same = |one: usize, other: usize| sessions[one].same_channel(&sessions[other]);
    assert!(same(0, 1) && same(1, 2), "namespaces come and go in one session");
    assert!(!same(2, 3), "another incarnation has its own");
    registry.abort();
}
