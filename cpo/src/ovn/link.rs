//! The one task between the Northbound database and the heart.
//!
//! ```text
//! client events ─► Input::Rows, Input::OvnLink ─┐
//! jobs ─► batch ─► transaction ─► Finished ─────┴─► heart, in this order
//! ```
//! What a transaction changed is handed to the heart before the end of its jobs. A transaction is
//! sent at once when none is in flight and the last was long enough ago; otherwise jobs gather.

use std::collections::{BTreeSet, VecDeque};
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

use super::{observe, write};
use crate::outbox::Finished;

/// Operations in one transaction, at most.
const BATCH_OPERATIONS: usize = 200;
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

type Batch = Vec<(JobId, Vec<LbEdit>)>;
type InFlight = Pin<Box<dyn Future<Output = (Batch, Outcome)> + Send>>;

/// Connects the heart with the Northbound database.
pub(crate) struct Link {
    client: Client,
    events: Subscription,
    jobs: mpsc::Receiver<(JobId, Vec<LbEdit>)>,
    heart: mpsc::Sender<Message>,
    install: Install,
    waiting: VecDeque<Batch>,
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
        let (waiting, known) = (VecDeque::new(), BTreeSet::new());
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
                    Some(job) => self.waiting.push_back(vec![job]),
                    None => return Ok(()),
                },
                () = sleep_until(gather.unwrap_or_else(Instant::now)), if gathering => {}
            }
        }
    }

    /// Whole jobs, as many as fit; rows are deleted in transactions of their own.
    fn next_transaction(&mut self) -> Option<InFlight> {
        while let Ok(job) = self.jobs.try_recv() {
            self.waiting.push_back(vec![job]);
        }
        if self.sent.is_some_and(|sent| sent.elapsed() < GATHER) {
            return None;
        }
        let mut batch = self.waiting.pop_front()?;
        let deletes = |batch: &Batch| {
            batch.iter().flat_map(|(_, e)| e).any(|e| matches!(e, LbEdit::Delete { .. }))
        };
        let size = |batch: &Batch| -> usize {
            batch.iter().map(|(_, edits)| edits.len() * write::OPERATIONS_PER_EDIT).sum()
        };
        while let Some(next) = self.waiting.front() {
            // A batch of several is half of one that was refused: it goes alone.
            let joins = next.len() == 1 && !deletes(next) && !deletes(&batch);
            if !joins || size(&batch) + size(next) > BATCH_OPERATIONS {
                break;
            }
            batch.extend(self.waiting.pop_front().into_iter().flatten());
        }
        let edits = batch.iter().flat_map(|(_, edits)| edits);
        let txn = write::transaction(edits, self.install.as_str(), Uuid::new_v4);
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
        let outcome = match outcome {
            Outcome::Committed(_) => JobOutcome::Done,
            Outcome::Hard(error) if batch.len() > 1 => {
                tracing::warn!(%error, jobs = batch.len(), "transaction refused, is halved");
                let mut batch = batch;
                let second = batch.split_off(batch.len() / 2);
                self.waiting.push_front(second);
                self.waiting.push_front(batch);
                return Ok(());
            }
            Outcome::Hard(error) => {
                tracing::error!(%error, "transaction refused by the Northbound database");
                JobOutcome::Failed
            }
            other => {
                tracing::warn!(outcome = %other, "transaction not committed, will be planned anew");
                JobOutcome::Failed
            }
        };
        for (job, _) in batch {
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
