//! The replica as its readers see it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ovsdb::replica::Replica;

/// The latest state of the replica. One task changes it, anybody reads it.
///
/// A reader takes a reference, and keeps that state for as long as it likes. A change is made in
/// place where nobody holds the state before, or else to a copy that shares all that stays. Readers
/// and changes exclude each other for as long as it takes to count up a reference, or to change a
/// few rows.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Arc<Replica>>);

/// Changes of more rows than these are made beside the readers.
const FEW: usize = 256;

impl Shown {
    pub(super) fn read(&self) -> Arc<Replica> {
        self.lock().clone()
    }

    /// Changes so many rows; nobody sees half of it.
    pub(super) fn change<T>(&self, rows: usize, change: impl FnOnce(&mut Replica) -> T) -> T {
        if rows > FEW {
            return self.change_beside(change);
        }
        change(Arc::make_mut(&mut self.lock()))
    }

    /// Changes however many rows, while readers see the state before.
    pub(super) fn change_beside<T>(&self, change: impl FnOnce(&mut Replica) -> T) -> T {
        let mut next = self.read();
        let told = change(Arc::make_mut(&mut next));
        let before = std::mem::replace(&mut *self.lock(), next);
        // It may be the last reference, and much to free: not within the lock.
        drop(before);
        told
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Replica>> {
        // Whoever panicked had the lock for a change, after which this client is of no more use.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(shown: &Shown, rows: usize) {
        shown.change(rows, |replica| replica.set_connected(true));
    }

    #[test]
    fn a_reader_keeps_the_state_that_it_took() {
        for rows in [1, FEW + 1] {
            let shown = Shown::default();
            let before = shown.read();
            connect(&shown, rows);
            assert_eq!((before.connected(), shown.read().connected()), (false, true));
        }
    }

    #[test]
    fn few_rows_are_changed_in_place_where_nobody_holds_them() {
        let shown = Shown::default();
        let place = Arc::as_ptr(&shown.read());
        connect(&shown, 1);
        assert_eq!(Arc::as_ptr(&shown.read()), place);
    }

    #[test]
    fn who_reads_while_many_rows_change_sees_the_state_before() {
        let shown = Shown::default();
        shown.change(FEW + 1, |replica| {
            replica.set_connected(true);
            assert!(!shown.read().connected());
        });
        assert!(shown.read().connected());
    }
}
