//! Executes jobs side by side, a bounded number at a time, and reports how each ended.

use std::collections::HashMap;
use std::future::Future;

use cpo_core::effect::Effect;
use cpo_core::engine::{Input, JobId, Outcome};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::leadership::{Leadership, Order};

/// How a job ended, with what it is known to have changed.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The job.
    pub(crate) job: JobId,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What the server answered, to be taken in before the end of the job.
    pub(crate) inputs: Vec<Input>,
}

impl Finished {
    /// A job that could not even be begun.
    pub(crate) const fn failed(job: JobId) -> Self {
        Self { job, outcome: Outcome::Failed, inputs: Vec::new() }
    }
}

/// What an executor makes of one effect: the observations it caused, or why it failed.
pub(crate) type Executed = Result<Vec<Input>, ExecuteError>;

/// Why an effect was not executed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecuteError {
    /// The API server refused, or did not answer.
    #[error("{what} {name}")]
    Kube {
        /// What was attempted.
        what: &'static str,
        /// On which object.
        name: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("{what} {name}: no answer in time")]
    Timeout {
        /// What was attempted.
        what: &'static str,
        /// On which object.
        name: String,
    },
}

/// An executor of effects of one kind.
pub(crate) trait Executor: Clone + Send + Sync + 'static {
    /// Executes one effect. Idempotent: what is already so is success.
    fn execute(&self, effect: Effect) -> impl Future<Output = Executed> + Send;
}

/// Takes jobs from a queue and executes them, at most `limit` at a time, until cancelled. One that
/// was decided in a term of leadership that is over is not begun. Every job is answered for, also
/// those that were cut off or never begun: a job that is never heard of again would hold its
/// Service for ever. Ends by itself only when an execution panicked.
pub(crate) async fn run<E: Executor>(
    executor: E,
    mut jobs: mpsc::Receiver<Order<Effect>>,
    results: mpsc::Sender<Finished>,
    limit: usize,
    leadership: Leadership,
    stop: CancellationToken,
) {
    let mut under_way = JoinSet::new();
    let mut unanswered: HashMap<Id, JobId> = HashMap::new();
    loop {
        // Cancel safe: `recv` and `join_next_with_id` lose nothing when the other branch is taken.
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = under_way.join_next_with_id(), if !under_way.is_empty() => {
                let Ok((id, finished)) = ended else {
                    tracing::error!("an effect's execution panicked");
                    break;
                };
                unanswered.remove(&id);
                // The heart is gone only when the process ends.
                let _ = results.send(finished).await;
            }
            job = jobs.recv(), if under_way.len() < limit => {
                let Some(Order { job, term, effect }) = job else { break };
                if !leadership.admits(term) {
                    let _ = results.send(Finished::failed(job)).await;
                    continue;
                }
                let executor = executor.clone();
                let task =
                    under_way.spawn(async move { finish(job, executor.execute(effect).await) });
                unanswered.insert(task.id(), job);
            }
        }
    }
    under_way.shutdown().await;
    jobs.close();
    while let Some(Order { job, .. }) = jobs.recv().await {
        let _ = results.send(Finished::failed(job)).await;
    }
    for job in unanswered.into_values() {
        let _ = results.send(Finished::failed(job)).await;
    }
}

fn finish(job: JobId, executed: Executed) -> Finished {
    match executed {
        Ok(inputs) => Finished { job, outcome: Outcome::Done, inputs },
        Err(error) => {
            tracing::warn!(error = %crate::watch::describe(&error), "effect failed, will be planned anew");
            Finished::failed(job)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use cpo_core::effect::UnderEffect;

    use super::*;
    use crate::leadership::testing::{in_term, leadership};

    /// Counts what it executes.
    #[derive(Clone, Default)]
    struct Counting(Arc<AtomicUsize>);

    impl Executor for Counting {
        async fn execute(&self, _: Effect) -> Executed {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(Vec::new())
        }
    }

    fn order(job: JobId, term: u64) -> Order<Effect> {
        let effect = UnderEffect::RaiseShield { name: String::new(), create: false };
        Order { job, term, effect: Effect::Under(effect) }
    }

    #[tokio::test]
    async fn what_was_queued_in_a_term_that_is_over_is_not_played_out() {
        let (jobs, queue) = mpsc::channel(8);
        let (results, mut finished) = mpsc::channel(8);
        let (published, leadership) = leadership(Some(1));
        for job in 1..=3 {
            jobs.send(order(job, 1)).await.unwrap();
        }
        published.send_modify(|standing| *standing = in_term(Some(2)));
        jobs.send(order(4, 2)).await.unwrap();
        let executor = Counting::default();
        tokio::spawn(run(
            executor.clone(),
            queue,
            results,
            2,
            leadership,
            CancellationToken::new(),
        ));
        let mut outcomes = BTreeMap::new();
        while outcomes.len() < 4 {
            let finished = finished.recv().await.unwrap();
            outcomes.insert(finished.job, finished.outcome);
        }
        let failed: Vec<_> = outcomes.iter().filter(|(_, o)| **o == Outcome::Failed).collect();
        assert_eq!(failed.into_iter().map(|(job, _)| *job).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(executor.0.load(Ordering::SeqCst), 1);
    }

    /// Executes nothing, ever.
    #[derive(Clone)]
    struct Stuck;

    impl Executor for Stuck {
        async fn execute(&self, _: Effect) -> Executed {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn every_job_is_answered_for_when_the_executor_is_stopped() {
        let (jobs, queue) = mpsc::channel(8);
        let (results, mut finished) = mpsc::channel(8);
        let stop = CancellationToken::new();
        for job in 1..=5 {
            jobs.send(order(job, 1)).await.unwrap();
        }
        let (_published, leadership) = leadership(Some(1));
        let running = tokio::spawn(run(Stuck, queue, results, 2, leadership, stop.clone()));
        while jobs.capacity() < 5 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.unwrap();
        let mut outcomes = BTreeMap::new();
        while let Some(finished) = finished.recv().await {
            outcomes.insert(finished.job, finished.outcome);
        }
        let failed = (1..=5).map(|job| (job, Outcome::Failed)).collect();
        assert_eq!(outcomes, failed);
        assert!(jobs.is_closed());
    }
}
