//! Leadership by a Lease: the edge around [`cpo_core::election`].
//!
//! ```text
//! watch of the Lease ─► Told ─┐                      ┌─► GET, create, replace (one at a time)
//! heart's figures ────► Fit ──┼─► Election ──────────┤
//! Northbound link ► Fenced ───┘                      └─► Standing, for whoever sends something
//! ```
//! Told to leave, it closes the gate for new jobs, waits a moment for those under way, and gives
//! the Lease back.

mod args;
mod object;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use args::LeaseArgs;
use cpo_core::election::{Answer, Change, Election, End, Input, Timing};
use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::leadership::Standing;
use crate::metrics::Snapshot;
use object::Object;

/// How long jobs under way are waited for before the Lease is given back.
const LAST_JOBS: Duration = Duration::from_secs(1);
/// How long it may take to give the Lease back.
const GIVE_BACK: Duration = Duration::from_secs(2);
/// The Lease's watch is renewed after this many seconds.
const WATCH_SECONDS: u32 = 200;
/// The pause after a watch that failed.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// A call on its way, with the object it brings.
type UnderWay = Pin<Box<dyn Future<Output = (Answer, Option<Lease>)> + Send>>;

/// What the task that holds the Lease is made of.
pub(crate) struct Keeper {
    object: Object,
    election: Election,
    identity: String,
    clock: Clock,
    last: Option<Lease>,
    under_way: Option<UnderWay>,
    standing: watch::Sender<Standing>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    fenced: mpsc::Receiver<u64>,
    leave: CancellationToken,
}

/// What the Lease's task listens to.
pub(crate) struct Signals {
    /// Whether this replica could do the work, and whether it is at rest.
    pub(crate) snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Terms whose epoch another writer took.
    pub(crate) fenced: mpsc::Receiver<u64>,
    /// The process is to end.
    pub(crate) leave: CancellationToken,
}

/// Which Lease, in whose name.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// This replica's name.
    pub(crate) identity: String,
    /// How long it lasts.
    pub(crate) timing: Timing,
}

impl Keeper {
    /// A keeper that has not read the Lease yet.
    pub(crate) fn new(
        client: Client,
        place: Place,
        clock: Clock,
        standing: watch::Sender<Standing>,
        signals: Signals,
    ) -> Self {
        let Place { namespace, name, identity, timing } = place;
        // A call that hangs leaves time for another before the deadline.
        let patience = timing.renew_deadline() / 2;
        let Signals { snapshot, fenced, leave } = signals;
        Self {
            object: Object { api: Api::namespaced(client, &namespace), name, patience },
            election: Election::new(identity.clone(), timing),
            identity,
            clock,
            last: None,
            under_way: None,
            standing,
            snapshot,
            fenced,
            leave,
        }
    }

    /// Takes part in the election until told to leave. Ends by itself only when another writer took
    /// the database while the Lease was ours.
    pub(crate) async fn run(mut self) {
        let (told, mut versions) = watch::channel(None);
        let watch = follow(self.object.clone(), told);
        futures::pin_mut!(watch);
        while !self.leave.is_cancelled() && !self.election.usurped() {
            self.advance();
            let next = self.election.poll_timeout();
            let at = next.map(|at| self.clock.at(at));
            let timer = async {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let leave = self.leave.clone();
            // Cancel safe: a call and a watch under way stay where they are, and what changed stays
            // changed.
            let input = tokio::select! {
                () = leave.cancelled() => break,
                answer = answered(&mut self.under_way) => Some(self.ended(answer)),
                Ok(()) = versions.changed() => {
                    versions.borrow_and_update().clone().map(Input::Told)
                }
                Ok(()) = self.snapshot.changed() => {
                    let snapshot = self.snapshot.borrow_and_update();
                    Some(Input::Fit(snapshot.ready && snapshot.ovn_up))
                }
                Some(term) = self.fenced.recv() => Some(Input::Fenced(term)),
                never = &mut watch => match never {},
                () = timer => None,
            };
            if let Some(input) = input {
                self.election.handle(input, self.clock.now().mono);
            }
        }
        self.advance();
        if self.election.usurped() {
            tracing::error!(
                "another process of this installation has taken over writing, and the Lease is \
                 ours: this one stops, two installations may not run with one name"
            );
        } else {
            self.leave().await;
        }
    }

    /// Gives the Lease back, in bounded time.
    async fn leave(&mut self) {
        self.election.handle(Input::Stop, self.clock.now().mono);
        self.publish();
        let at_rest = self.snapshot.wait_for(|snapshot| snapshot.under_way == 0);
        if timeout(LAST_JOBS, at_rest).await.is_err() {
            tracing::warn!("jobs under way are abandoned");
        }
        if timeout(GIVE_BACK, self.give_back()).await.is_err() {
            tracing::warn!(lease = self.object.name, "the Lease is left to expire");
        }
    }

    async fn give_back(&mut self) {
        while !self.election.done() {
            self.advance();
            if self.under_way.is_none() {
                let at = self.election.poll_timeout().unwrap_or_default();
                sleep_until(self.clock.at(at)).await;
                continue;
            }
            let answer = answered(&mut self.under_way).await;
            let input = self.ended(answer);
            self.election.handle(input, self.clock.now().mono);
        }
        self.publish();
    }

    /// Begins the call that is due, and publishes what is so now.
    fn advance(&mut self) {
        let now = self.clock.now().mono;
        if let Some(call) = self.election.poll_call(now) {
            let (object, last) = (self.object.clone(), self.last.clone());
            self.under_way = Some(Box::pin(async move { object.call(call, last).await }));
        }
        self.publish();
    }

    fn ended(&mut self, (answer, lease): (Answer, Option<Lease>)) -> Input {
        if matches!(answer, Answer::Written(_)) {
            let now = self.clock.now().mono;
            self.standing.send_modify(|standing| standing.renewed = Some(now));
        }
        if let Some(lease) = lease {
            self.last = Some(lease);
        }
        Input::Ended(answer)
    }

    fn publish(&mut self) {
        for change in self.election.take_changes() {
            self.log(&change);
        }
        let term = self.election.term(self.clock.now().mono);
        self.standing.send_if_modified(|standing| {
            let number = |term: Option<cpo_core::election::Term>| term.map(|term| term.number);
            if number(standing.term) != number(term) {
                // From one term to another is an end and a beginning.
                let ends = u64::from(standing.term.is_some());
                standing.transitions += ends + u64::from(term.is_some());
            }
            std::mem::replace(&mut standing.term, term) != term
        });
    }

    fn log(&self, change: &Change) {
        let (lease, identity) = (&self.object.name, &self.identity);
        match change {
            Change::Began(term) => tracing::info!(lease, identity, term, "leads"),
            Change::Ended(term, End::Stopped) => {
                tracing::info!(lease, identity, term, "leads no more: told to stop");
            }
            Change::Ended(term, why) => {
                tracing::warn!(lease, identity, term, why = reason(*why), "leads no more");
            }
            Change::Holder(holder) if holder.is_empty() => tracing::info!(lease, "nobody leads"),
            Change::Holder(holder) => tracing::info!(lease, holder, "another replica leads"),
        }
    }
}

const fn reason(why: End) -> &'static str {
    match why {
        End::Deadline => "the Lease could not be renewed in time",
        End::Taken => "the Lease names another holder, or none",
        End::HandedOver => "the Northbound database or a watch was away for too long",
        End::Fenced => "another process of this installation has taken over writing",
        End::Stopped => "told to stop",
    }
}

/// The end of the call under way; for ever, if there is none. Cancel safe.
async fn answered(under_way: &mut Option<UnderWay>) -> (Answer, Option<Lease>) {
    match under_way {
        Some(call) => {
            let answer = call.await;
            *under_way = None;
            answer
        }
        None => std::future::pending().await,
    }
}

/// Follows the Lease, to tell that there is something to read; nothing more is believed of it.
async fn follow(object: Object, told: watch::Sender<Option<Option<String>>>) -> Infallible {
    let config = watcher::Config::default()
        .fields(&format!("metadata.name={}", object.name))
        .timeout(WATCH_SECONDS);
    loop {
        let events = watcher::watcher(object.api.clone(), config.clone());
        futures::pin_mut!(events);
        let mut listed = None;
        while let Some(event) = events.next().await {
            let version = match event {
                Ok(Event::Init) => {
                    listed = None;
                    continue;
                }
                Ok(Event::InitApply(lease)) => {
                    listed = lease.metadata.resource_version;
                    continue;
                }
                Ok(Event::InitDone) => listed.take(),
                Ok(Event::Apply(lease)) => lease.metadata.resource_version,
                Ok(Event::Delete(_)) => None,
                Err(error) => {
                    tracing::debug!(%error, "watch of the Lease failed, will be repeated");
                    break;
                }
            };
            told.send_replace(Some(version));
        }
        sleep(WATCH_PAUSE).await;
    }
}
