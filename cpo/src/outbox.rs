//! Executes jobs side by side, a bounded number at a time, and reports how each ended.

use std::future::Future;

use cpo_core::effect::Effect;
use cpo_core::engine::{Input, JobId, Outcome};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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

/// Takes jobs from a queue and executes them, at most `limit` at a time, until cancelled. Ends by
/// itself only when an execution panicked.
pub(crate) async fn run<E: Executor>(
    executor: E,
    mut jobs: mpsc::Receiver<(JobId, Effect)>,
    results: mpsc::Sender<Finished>,
    limit: usize,
    stop: CancellationToken,
) {
    let mut under_way = JoinSet::new();
    loop {
        // Cancel safe: `recv` and `join_next` lose nothing when the other branch is taken.
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = under_way.join_next(), if !under_way.is_empty() => {
                if ended.is_err() {
                    tracing::error!("an effect's execution panicked");
                    break;
                }
            }
            job = jobs.recv(), if under_way.len() < limit => {
                let Some((job, effect)) = job else { break };
                let (executor, results) = (executor.clone(), results.clone());
                under_way.spawn(async move {
                    let finished = finish(job, executor.execute(effect).await);
                    // The heart is gone only when the process ends.
                    let _ = results.send(finished).await;
                });
            }
        }
    }
    under_way.shutdown().await;
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
