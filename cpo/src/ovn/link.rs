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
//!
//! Only the replica that leads sends. What was decided in a term of leadership that is over fails
//! without being sent; so does everything, for the rest of the term, once another writer has taken
//! the epoch, which the Lease's task is told.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cpo_core::effect::LbEdit;
use cpo_core::engine::{Input, Outcome as JobOutcome};
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
use crate::leadership::{Leadership, Order};
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

/// What a transaction on its way is made of.
struct Sent {
    batch: Batch,
    /// It takes the epoch.
    takes: bool,
    /// The term of leadership it was sent in.
    term: u64,
}

/// A transaction on its way.
type InFlight = Pin<Box<dyn Future<Output = (Sent, Outcome)> + Send>>;

/// Connects the heart with the Northbound database.
pub(crate) struct Link {
    client: Client,
    events: Subscription,
    jobs: mpsc::Receiver<Order<Vec<LbEdit>>>,
    heart: mpsc::Sender<Message>,
    leadership: Leadership,
    fenced: mpsc::Sender<u64>,
    install: Install,
    epoch: Epoch,
    /// The term of leadership that the epoch and the waiting jobs belong to.
    term: Option<u64>,
    /// The term whose epoch another writer took.
    lost: Option<u64>,
    waiting: Waiting,
    in_flight: FuturesOrdered<InFlight>,
    /// The transaction in flight takes the epoch: nothing may be sent before it is committed.
    taking: bool,
    sent: Option<Instant>,
    known: BTreeSet<(Arc<str>, Uuid)>,
    /// What was said to be missing in the server's schema.
    missing: BTreeSet<Missing>,
}

/// The heart is gone: the process ends.
#[derive(Debug)]
struct HeartGone;

/// What binds the link to the leadership of this replica.
pub(crate) struct Terms {
    /// Whether this replica leads.
    pub(crate) leadership: Leadership,
    /// Told of each term whose epoch another writer took.
    pub(crate) fenced: mpsc::Sender<u64>,
}

impl Link {
    /// A link; subscribe before the client's driver runs, so that nothing is missed.
    pub(crate) fn new(
        client: Client,
        install: Install,
        jobs: mpsc::Receiver<Order<Vec<LbEdit>>>,
        heart: mpsc::Sender<Message>,
        Terms { leadership, fenced }: Terms,
    ) -> Self {
        Self {
            events: client.subscribe(),
            client,
            jobs,
            heart,
            leadership,
            fenced,
            epoch: Epoch::new(install.clone(), Uuid::new_v4().to_string()),
            install,
            term: None,
            lost: None,
            waiting: Waiting::default(),
            in_flight: FuturesOrdered::new(),
            taking: false,
            sent: None,
            known: BTreeSet::new(),
            missing: BTreeSet::new(),
        }
    }

    /// Runs until the client's driver or the heart ends.
    pub(crate) async fn run(mut self) {
        // Without the heart there is nobody to tell.
        let _ = self.follow().await;
    }

    async fn follow(&mut self) -> Result<(), HeartGone> {
        loop {
            self.follow_leadership().await?;
            while let Some(next) = self.next_transaction() {
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
                Some((sent, outcome)) = self.in_flight.next() => {
                    self.ended(sent, outcome).await?;
                }
                order = self.jobs.recv() => match order {
                    Some(order) => self.take(order).await?,
                    None => return Ok(()),
                },
                () = self.leadership.changed() => {}
                () = sleep_until(gather.unwrap_or_else(Instant::now)), if gathering => {}
            }
        }
    }

    /// Leads or not, as this replica does now, and takes in the jobs that wait.
    async fn follow_leadership(&mut self) -> Result<(), HeartGone> {
        self.follow_term().await?;
        while let Ok(order) = self.jobs.try_recv() {
            self.take(order).await?;
        }
        Ok(())
    }

    /// With a term of leadership ends what waits; the next has an epoch of its own.
    async fn follow_term(&mut self) -> Result<(), HeartGone> {
        let term = self.leadership.term().filter(|term| self.lost != Some(*term));
        if term == self.term {
            return Ok(());
        }
        self.term = term;
        if term.is_some() {
            self.epoch.begin_term(Uuid::new_v4().to_string());
        }
        while let Some(batch) = self.waiting.next() {
            self.finish(batch, JobOutcome::Failed).await?;
        }
        Ok(())
    }

    /// Lets a job wait for its transaction, if it was decided in the term that is.
    async fn take(&mut self, order: Order<Vec<LbEdit>>) -> Result<(), HeartGone> {
        self.follow_term().await?;
        let Order { job, term, effect } = order;
        if self.term == Some(term) {
            self.waiting.push(job, effect);
            return Ok(());
        }
        self.send(Message::Finished(Finished::failed(job))).await
    }

    fn next_transaction(&mut self) -> Option<InFlight> {
        let busy = self.in_flight.len() >= IN_FLIGHT || self.taking;
        let early =
            !self.in_flight.is_empty() || self.sent.is_some_and(|sent| sent.elapsed() < GATHER);
        if busy || (early && !self.waiting.overflows()) || self.waiting.is_empty() {
            return None;
        }
        let term = self.term.filter(|term| self.leadership.admits(*term))?;
        let guard = match self.epoch.guard(&self.client.snapshot(), Uuid::new_v4) {
            Guard::Hold(wait) => vec![wait.into()],
            Guard::Take(_) if !self.in_flight.is_empty() => return None,
            Guard::Take(operations) => {
                self.taking = true;
                operations
            }
            Guard::Lost => {
                self.fenced(term);
                return None;
            }
        };
        let batch = self.waiting.next()?;
        let install = self.install.as_str();
        let txn = write::transaction(guard, batch.edits(), install, Uuid::new_v4);
        let (txn, missing) = txn.fit(&self.client.snapshot().resolved().schema);
        for missing in missing.into_iter().filter(|missing| self.missing.insert(missing.clone())) {
            tracing::warn!(%missing, "this OVN does not have it: what can do without it does");
        }
        self.sent = Some(Instant::now());
        let client = self.client.clone();
        let sent = Sent { batch, takes: self.taking, term };
        Some(Box::pin(async move {
            let outcome = client.transact(txn).await;
            (sent, outcome)
        }))
    }

    /// Another writer took the epoch: for the rest of the term nothing is sent.
    fn fenced(&mut self, term: u64) {
        if self.lost != Some(term) {
            self.lost = Some(term);
            // A full queue holds the same news.
            let _ = self.fenced.try_send(term);
        }
    }

    async fn ended(&mut self, sent: Sent, outcome: Outcome) -> Result<(), HeartGone> {
        let Sent { batch, takes, term } = sent;
        // What the transaction changed is queued already: it goes first.
        // Not held to the runtime's budget: with that used up, what is queued would look empty, and
        // the Services concerned would be planned on what was before.
        while let Some(Some(event)) = unconstrained(self.events.recv()).now_or_never() {
            self.event(event).await?;
        }
        if takes {
            self.taking = false;
        }
        let (batch, outcome) = match outcome {
            Outcome::Committed(_) => (batch, JobOutcome::Done),
            Outcome::Hard(error) if self.term == Some(term) => {
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
        self.finish(batch, outcome).await
    }

    async fn finish(&mut self, batch: Batch, outcome: JobOutcome) -> Result<(), HeartGone> {
        for (job, _) in batch.jobs {
            let finished = Finished { job, outcome, inputs: Vec::new() };
            self.send(Message::Finished(finished)).await?;
        }
        Ok(())
    }

    async fn event(&mut self, event: Event) -> Result<(), HeartGone> {
        // Also with nothing to write: the row may be gone when there is.
        if let Some(term) = self.term
            && self.epoch.look(&self.client.snapshot())
        {
            self.fenced(term);
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

    async fn send(&mut self, message: Message) -> Result<(), HeartGone> {
        self.heart.send(message).await.map_err(|_| HeartGone)
    }
}
