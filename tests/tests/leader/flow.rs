//! Services of a tenant that come and go all the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use lab::builders::service;
use lab::wait;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bed;

/// Services on their way at a time.
const WAYS: usize = 3;
/// Services of each way that stay behind the one that comes.
const STAY: usize = 2;
/// How long a Service may wait for its address while nobody leads.
const SERVED: Duration = Duration::from_secs(90);

/// A flow that runs until it is stopped.
pub(crate) struct Flow {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<Result<Flown>>>,
}

/// What a flow saw.
#[derive(Debug, Default)]
pub(crate) struct Flown {
    /// Services that came, were served, and went.
    pub(crate) services: usize,
    /// The longest wait for an address.
    pub(crate) longest: Duration,
}

impl Flow {
    /// Begins, with names that begin so.
    pub(crate) fn start(api: &Api<Service>, name: &str) -> Self {
        let stop = CancellationToken::new();
        let way =
            |number| Way { api: api.clone(), name: format!("{name}-{number}"), stop: stop.clone() };
        let tasks = (1..=WAYS).map(|number| tokio::spawn(way(number).run())).collect();
        Self { stop, tasks }
    }

    /// Ends: every Service of it is deleted, and is gone when this returns.
    pub(crate) async fn stop(self) -> Result<Flown> {
        self.stop.cancel();
        let mut all = Flown::default();
        for flown in try_join_all(self.tasks).await? {
            let flown = flown?;
            all.services += flown.services;
            all.longest = all.longest.max(flown.longest);
        }
        Ok(all)
    }
}

struct Way {
    api: Api<Service>,
    name: String,
    stop: CancellationToken,
}

impl Way {
    async fn run(self) -> Result<Flown> {
        let mut flown = Flown::default();
        let mut staying = Vec::new();
        while !self.stop.is_cancelled() {
            flown.services += 1;
            let name = format!("{}-{}", self.name, flown.services);
            let wanted = service(&name).selector("app", "web").port(80).udp(53).build();
            self.api.create(&PostParams::default(), &wanted).await?;
            let begun = Instant::now();
            let has = |service: &Service| bed::published(service).is_some();
            wait::for_object(&self.api, &name, "an address", SERVED, has).await?;
            flown.longest = flown.longest.max(begun.elapsed());
            no_address_twice(&self.api).await?;
            staying.push(name);
            if staying.len() > STAY {
                self.api.delete(&staying.remove(0), &DeleteParams::default()).await?;
            }
        }
        for name in &staying {
            self.api.delete(name, &DeleteParams::default()).await?;
        }
        let mine = format!("{}-", self.name);
        wait::until("the Services of a flow to be gone", SERVED, || async {
            let all = self.api.list(&ListParams::default()).await?;
            let left: Vec<_> = all.iter().map(|s| s.name_any()).collect();
            ensure!(!left.iter().any(|name| name.starts_with(&mine)), "{left:?}");
            Ok(())
        })
        .await?;
        Ok(flown)
    }
}

/// Holds that no two Services of a tenant show one address.
pub(crate) async fn no_address_twice(api: &Api<Service>) -> Result<()> {
    let mut owners = BTreeMap::new();
    for service in api.list(&ListParams::default()).await.context("list Services")? {
        let name = service.name_any();
        if let Some(address) = bed::published(&service)
            && let Some(other) = owners.insert(address, name.clone())
        {
            anyhow::bail!("{address} is shown by {other} and {name}");
        }
    }
    Ok(())
}
