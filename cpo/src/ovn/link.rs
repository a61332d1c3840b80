//! The one task between the Northbound database and the heart.
//!
//! ```text
//! client events ─► Input::Rows, Input::OvnLink ─┐
//! jobs ─► batch ─► transaction ─► Finished ─────┴─► heart, in this order
//! ```
//! What a transaction changed is handed to the heart before the end of its jobs. A transaction is
//! sent at once when none is in flight and the last was long enough ago; otherwise jobs gather,
//! until there are more than it can take.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cpo_core::effect::LbEdit;
use cpo_core::engine::{Input, JobId, Outcome as JobOutcome};
use cpo_core::ids::Install;
use cpo_core::ovn::{OvnLink, RowChange};
use futures::FutureExt as _;
use ovn_client::{Client, Event, Outcome, Subscription, Uuid};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::batch::{Batch, Waiting};
use super::{observe, write};
use crate::outbox::Finished;

/// Jobs gather for this long after a transaction was sent.
const GATHER: Duration = Duration::from_millis(20);

/// What the link hands to the heart.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "each is moved once, into the world")]
pub(crate) enum Message {
    /// Something was observed.
    Input(Input),
    /// A job ended.
    Finished(Finished),
}

type InFlight = Pin<Box<dyn Future<Output = (Batch, Outcome)> + Send>>;

/// Connects the heart with the Northbound database.
pub(crate) struct Link {
    client: Client,
    events: Subscription,
    jobs: mpsc::Receiver<(JobId, Vec<LbEdit>)>,
    heart: mpsc::Sender<Message>,
    install: Install,
    waiting: Waiting,
    sent: Option<Instant>,
    known: BTreeSet<(Arc<str>, Uuid)>,
}

/// The heart is gone: the process ends.
struct HeartGone;

impl Link {
    /// A link; subscribe before the client's driver runs, so that nothing is missed.
    pub(crate) fn new(
        client: Client,
        install: Install,
        jobs: mpsc::Receiver<(JobId, Vec<LbEdit>)>,
        heart: mpsc::Sender<Message>,
    ) -> Self {
        let events = client.subscribe();
        let (waiting, known) = (Waiting::default(), BTreeSet::new());
        Self { client, events, jobs, heart, install, waiting, sent: None, known }
    }

    /// Runs until the client's driver or the heart ends.
    pub(crate) async fn run(mut self) {
        let _ended = self.follow().await;
    }

    async fn follow(&mut self) -> Result<(), HeartGone> {
        let mut in_flight: Option<InFlight> = None;
        loop {
            if in_flight.is_none() {
                in_flight = self.next_transaction();
            }
            let gather = self.sent.map(|sent| sent + GATHER);
            let gathering = in_flight.is_none() && !self.waiting.is_empty();
            // Cancel safe: `recv` of both channels is, and `in_flight` is polled by reference.
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.event(event).await?,
                    None => return Ok(()),
                },
                (batch, outcome) = ended(&mut in_flight) => {
                    in_flight = None;
                    self.ended(batch, outcome).await?;
                }
                job = self.jobs.recv() => match job {
                    Some((job, edits)) => self.waiting.push(job, edits),
                    None => return Ok(()),
                },
                () = sleep_until(gather.unwrap_or_else(Instant::now)), if gathering => {}
            }
        }
    }

    fn next_transaction(&mut self) -> Option<InFlight> {
        while let Ok((job, edits)) = self.jobs.try_recv() {
            self.waiting.push(job, edits);
        }
        if self.sent.is_some_and(|sent| sent.elapsed() < GATHER) && !self.waiting.overflows() {
            return None;
        }
        let batch = self.waiting.next()?;
        let txn = write::transaction(batch.edits(), self.install.as_str(), Uuid::new_v4);
        self.sent = Some(Instant::now());
        let client = self.client.clone();
        Some(Box::pin(async move {
            let outcome = client.transact(txn).await;
            (batch, outcome)
        }))
    }

    async fn ended(&mut self, batch: Batch, outcome: Outcome) -> Result<(), HeartGone> {
        // What the transaction changed is queued already: it goes first.
        while let Some(Some(event)) = self.events.recv().now_or_never() {
            self.event(event).await?;
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

    async fn event(&mut self, event: Event) -> Result<(), HeartGone> {
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

    async fn send(&self, message: Message) -> Result<(), HeartGone> {
        self.heart.send(message).await.map_err(|_| HeartGone)
    }
}

/// Waits for the transaction in flight; for ever where there is none.
async fn ended(in_flight: &mut Option<InFlight>) -> (Batch, Outcome) {
    match in_flight {
        Some(in_flight) => in_flight.await,
        None => std::future::pending().await,
    }
}
