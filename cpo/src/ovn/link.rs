//! The one task between the Northbound database and the heart.
//!
//! ```text
//! client events ─► Input::Rows, Input::OvnLink ─┐
//! jobs ─► batch ─► transaction ─► Finished ─────┴─► heart, in this order
//! ```
//! What a transaction changed is handed to the heart before the end of its jobs. A transaction is
//! sent at once when none is in flight and the last was long enough ago; otherwise jobs gather. When
//! there are more than one transaction can take, a second is sent behind the first, so that the
//! server never waits for us.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cpo_core::effect::LbEdit;
use cpo_core::engine::{Input, JobId, Outcome as JobOutcome};
use cpo_core::ids::Install;
use cpo_core::ovn::{OvnLink, RowChange};
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use ovn_client::{Client, Event, Missing, Outcome, Subscription, Uuid};
use tokio::sync::mpsc;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::batch::{Batch, Waiting};
use super::epoch::{Epoch, Guard};
use super::{observe, write};
use crate::outbox::Finished;

/// Jobs gather for this long after a transaction was sent.
const GATHER: Duration = Duration::from_millis(20);
/// Transactions in flight at a time.
const IN_FLIGHT: usize = 2;

/// What the link hands to the heart.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "each is moved once, into the world")]
pub(crate) enum Message {
    /// Something was observed.
    Input(Input),
    /// A job ended.
    Finished(Finished),
}

/// A transaction on its way, and whether it takes the epoch.
type InFlight = Pin<Box<dyn Future<Output = (Batch, bool, Outcome)> + Send>>;

/// Connects the heart with the Northbound database.
pub(crate) struct Link {
    client: Client,
    events: Subscription,
    jobs: mpsc::Receiver<(JobId, Vec<LbEdit>)>,
    heart: mpsc::Sender<Message>,
    install: Install,
    epoch: Epoch,
    waiting: Waiting,
    in_flight: FuturesOrdered<InFlight>,
    /// The transaction in flight takes the epoch: nothing may be sent before it is committed.
    taking: bool,
    sent: Option<Instant>,
    known: BTreeSet<(Arc<str>, Uuid)>,
    /// What was said to be missing in the server's schema.
    missing: BTreeSet<Missing>,
}

/// Why the link ends.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// The heart is gone: the process ends.
    #[error("the process ends")]
    HeartGone,
    /// Another process is the writer now.
    #[error("another process of this installation has taken over writing")]
    Fenced,
}

impl Link {
    /// A link; subscribe before the client's driver runs, so that nothing is missed.
    pub(crate) fn new(
        client: Client,
        install: Install,
        jobs: mpsc::Receiver<(JobId, Vec<LbEdit>)>,
        heart: mpsc::Sender<Message>,
    ) -> Self {
        Self {
            events: client.subscribe(),
            client,
            jobs,
            heart,
            epoch: Epoch::new(install.clone(), Uuid::new_v4().to_string()),
            install,
            waiting: Waiting::default(),
            in_flight: FuturesOrdered::new(),
            taking: false,
            sent: None,
            known: BTreeSet::new(),
            missing: BTreeSet::new(),
        }
    }

    /// Runs until the client's driver or the heart ends, or another process writes.
    pub(crate) async fn run(mut self) {
        if let Err(error @ Ended::Fenced) = self.follow().await {
            tracing::error!(%error, "this one stops: two may not run with one name of installation");
        }
    }

    async fn follow(&mut self) -> Result<(), Ended> {
        loop {
            while let Some(next) = self.next_transaction()? {
                self.in_flight.push_back(next);
            }
            let gather = self.sent.map(|sent| sent + GATHER);
            let gathering = self.in_flight.is_empty() && !self.waiting.is_empty();
            // Cancel safe: `recv` of both channels is, and what is in flight stays in its queue.
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.event(event).await?,
                    None => return Ok(()),
                },
                Some((batch, took, outcome)) = self.in_flight.next() => {
                    self.ended(batch, took, outcome).await?;
                }
                job = self.jobs.recv() => match job {
                    Some((job, edits)) => self.waiting.push(job, edits),
                    None => return Ok(()),
                },
                () = sleep_until(gather.unwrap_or_else(Instant::now)), if gathering => {}
            }
        }
    }

    fn next_transaction(&mut self) -> Result<Option<InFlight>, Ended> {
        while let Ok((job, edits)) = self.jobs.try_recv() {
            self.waiting.push(job, edits);
        }
        let busy = self.in_flight.len() >= IN_FLIGHT || self.taking;
        let early =
            !self.in_flight.is_empty() || self.sent.is_some_and(|sent| sent.elapsed() < GATHER);
        if busy || (early && !self.waiting.overflows()) || self.waiting.is_empty() {
            return Ok(None);
        }
        let guard = match self.epoch.guard(&self.client.snapshot(), Uuid::new_v4) {
            Guard::Hold(wait) => vec![wait.into()],
            Guard::Take(_) if !self.in_flight.is_empty() => return Ok(None),
            Guard::Take(operations) => {
                self.taking = true;
                operations
            }
            Guard::Lost => return Err(Ended::Fenced),
        };
        let Some(batch) = self.waiting.next() else { return Ok(None) };
        let install = self.install.as_str();
        let txn = write::transaction(guard, batch.edits(), install, Uuid::new_v4);
        let (txn, missing) = txn.fit(&self.client.snapshot().resolved().schema);
        for missing in missing.into_iter().filter(|missing| self.missing.insert(missing.clone())) {
            tracing::warn!(%missing, "this OVN does not have it: what can do without it does");
        }
        self.sent = Some(Instant::now());
        let (client, takes) = (self.client.clone(), self.taking);
        Ok(Some(Box::pin(async move {
            let outcome = client.transact(txn).await;
            (batch, takes, outcome)
        })))
    }

    async fn ended(&mut self, batch: Batch, took: bool, outcome: Outcome) -> Result<(), Ended> {
        // What the transaction changed is queued already: it goes first.
        // Not held to the runtime's budget: with that used up, what is queued would look empty, and
        // the Services concerned would be planned on what was before.
        while let Some(Some(event)) = unconstrained(self.events.recv()).now_or_never() {
            self.event(event).await?;
        }
        if took {
            self.taking = false;
        }
        let (batch, outcome) = match outcome {
            Outcome::Committed(_) => (batch, JobOutcome::Done),
            Outcome::Hard(error) => {
                let jobs = batch.jobs.len();
                let Some(single) = self.waiting.halve(batch) else {
                    tracing::warn!(%error, jobs, "transaction refused, is halved");
                    return Ok(());
                };
                tracing::error!(%error, "transaction refused by the Northbound database");
                (single, JobOutcome::Failed)
            }
            other => {
                tracing::warn!(outcome = %other, "transaction not committed, will be planned anew");
                (batch, JobOutcome::Failed)
            }
        };
        for (job, _) in batch.jobs {
            let finished = Finished { job, outcome, inputs: Vec::new() };
            self.send(Message::Finished(finished)).await?;
        }
        Ok(())
    }

    async fn event(&mut self, event: Event) -> Result<(), Ended> {
        // Also with nothing to write: the row may be gone when there is.
        if self.epoch.look(&self.client.snapshot()) {
            return Err(Ended::Fenced);
        }
        let input = match event {
            Event::Changes(changes) => {
                let replica = self.client.snapshot();
                for change in changes.iter() {
                    self.remember(change.table.clone(), change.uuid, change.new.is_some());
                }
                let rows = changes.iter().flat_map(|change| observe::change(change, &replica));
                Input::Rows(rows.collect())
            }
            Event::Connected => Input::OvnLink(OvnLink::Up),
            Event::Disconnected { reason } => Input::OvnLink(OvnLink::Down(reason)),
            Event::Lagged => {
                let rows = self.everything();
                self.send(Message::Input(Input::Rows(rows))).await?;
                let link = if self.client.snapshot().connected() {
                    OvnLink::Up
                } else {
                    OvnLink::Down("the connection was lost".to_owned())
                };
                Input::OvnLink(link)
            }
        };
        self.send(Message::Input(input)).await
    }

    fn remember(&mut self, table: Arc<str>, uuid: Uuid, present: bool) {
        if present {
            self.known.insert((table, uuid));
        } else {
            self.known.remove(&(table, uuid));
        }
    }

    /// Every row there is, and the absence of every row that was told and is no more.
    fn everything(&mut self) -> Vec<RowChange> {
        let replica = self.client.snapshot();
        let mut rows = Vec::new();
        let mut present = BTreeSet::new();
        for table in replica.tables() {
            for row in table.iter() {
                rows.extend(observe::row(table.name(), row.uuid(), Some(row), &replica));
                present.insert((table.name().clone(), row.uuid()));
            }
        }
        for (table, uuid) in self.known.difference(&present) {
            rows.extend(observe::row(table, *uuid, None, &replica));
        }
        self.known = present;
        rows
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        self.heart.send(message).await.map_err(|_| Ended::HeartGone)
    }
}
