//! Jobs into transactions. Pure.

use std::collections::{BTreeSet, VecDeque};

use cpo_core::effect::LbEdit;
use cpo_core::engine::JobId;
use ovn_client::Uuid;

use super::write;

/// Operations in one transaction, at most; with the two of the fence, 200.
const OPERATIONS: usize = 198;

/// Whole jobs that go in one transaction.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    /// The jobs, in order.
    pub(super) jobs: Vec<(JobId, Vec<LbEdit>)>,
    /// Part of one that was refused: nothing joins it, so that halving comes to an end.
    alone: bool,
}

impl Batch {
    /// Every edit, in order.
    pub(super) fn edits(&self) -> impl Iterator<Item = &LbEdit> + Clone {
        self.jobs.iter().flat_map(|(_, edits)| edits)
    }

    fn operations(&self) -> usize {
        self.edits().map(write::operations).sum()
    }

    fn routers(&self) -> BTreeSet<Uuid> {
        self.edits().filter_map(write::router).collect()
    }

    /// Rows are deleted in transactions of their own: northd recomputes everything for them.
    fn deletes(&self) -> bool {
        self.edits().any(|edit| matches!(edit, LbEdit::Delete { .. }))
    }

    fn joins(&self, first: &Self) -> bool {
        !(self.alone || first.alone || self.deletes() || first.deletes())
    }
}

/// Jobs that wait for their transaction.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<Batch>);

impl Waiting {
    /// Adds a job at the end.
    pub(super) fn push(&mut self, job: JobId, edits: Vec<LbEdit>) {
        self.0.push_back(Batch { jobs: vec![(job, edits)], alone: false });
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether no transaction could take all that waits.
    pub(super) fn overflows(&self) -> bool {
        let mut operations = 0;
        self.0.iter().any(|batch| {
            operations += batch.operations();
            operations > OPERATIONS
        })
    }

    /// The next transaction: whole jobs, as many as fit.
    pub(super) fn next(&mut self) -> Option<Batch> {
        let mut batch = self.0.pop_front()?;
        let (mut operations, mut routers) = (batch.operations(), batch.routers());
        while let Some(next) = self.0.front().filter(|next| next.joins(&batch)) {
            operations += next.operations();
            routers.extend(next.routers());
            if operations + routers.len() > OPERATIONS {
                break;
            }
            batch.jobs.extend(self.0.pop_front().into_iter().flat_map(|next| next.jobs));
        }
        Some(batch)
    }

    /// Puts a refused batch back in two halves; gives it back if it is a single job.
    pub(super) fn halve(&mut self, mut batch: Batch) -> Option<Batch> {
        if batch.jobs.len() < 2 {
            return Some(batch);
        }
        let second = batch.jobs.split_off(batch.jobs.len() / 2);
        self.0.push_front(Batch { jobs: second, alone: true });
        self.0.push_front(Batch { alone: true, ..batch });
        None
    }
}

#[cfg(test)]
mod tests {
    use cpo_core::effect::RouterRef;
    use cpo_core::ovn::LoadBalancer;
    use cpo_core::service::Protocol;

    use super::*;

    fn detach() -> Vec<LbEdit> {
        vec![LbEdit::Detach { row: Uuid::nil(), router: Uuid::nil() }]
    }

    fn numbers(batch: &Batch) -> Vec<JobId> {
        batch.jobs.iter().map(|(job, _)| *job).collect()
    }

    fn insert() -> Vec<LbEdit> {
        let router = RouterRef { uuid: Uuid::nil(), name: "vpc-a".into() };
        let row = LoadBalancer {
            name: String::new(),
            protocol: Protocol::Tcp,
            vips: [].into(),
            options: [].into(),
            selection_fields: [].into(),
            external_ids: [].into(),
        };
        vec![LbEdit::Insert { row, router }]
    }

    fn waiting(jobs: u64) -> Waiting {
        let mut waiting = Waiting::default();
        (1..=jobs).for_each(|job| waiting.push(job, detach()));
        waiting
    }

    #[test]
    fn a_transaction_takes_whole_jobs_as_many_as_fit() {
        let mut waiting = Waiting::default();
        (1..=102).for_each(|job| waiting.push(job, insert()));
        assert!(waiting.overflows());
        assert_eq!(waiting.next().unwrap().jobs.len(), 98, "they share the guard on their router");
        assert!(!waiting.overflows());
        assert_eq!(waiting.next().unwrap().jobs.len(), 4);
        assert!(waiting.next().is_none() && waiting.is_empty());
    }

    #[test]
    fn a_job_too_large_for_any_transaction_goes_alone() {
        let mut waiting = Waiting::default();
        waiting.push(1, detach().into_iter().cycle().take(500).collect());
        waiting.push(2, detach());
        assert_eq!(numbers(&waiting.next().unwrap()), [1]);
    }

    #[test]
    fn rows_are_deleted_in_transactions_of_their_own() {
        let mut waiting = waiting(1);
        waiting.push(2, vec![LbEdit::Delete { row: Uuid::nil(), owner: String::new() }]);
        waiting.push(3, detach());
        for job in 1..=3 {
            assert_eq!(numbers(&waiting.next().unwrap()), [job]);
        }
    }

    #[test]
    fn a_refused_job_is_found_by_halving_while_others_wait() {
        let mut waiting = waiting(9);
        let (mut refused, mut transactions) = (Vec::new(), 0);
        while let Some(batch) = waiting.next() {
            transactions += 1;
            assert!(transactions < 50, "halving does not end");
            if transactions == 1 {
                waiting.push(10, detach());
            }
            // Job 4 is refused by the server, wherever it is.
            if numbers(&batch).contains(&4) {
                refused.extend(waiting.halve(batch));
            }
        }
        assert_eq!(refused.iter().flat_map(numbers).collect::<Vec<_>>(), [4]);
    }
}
