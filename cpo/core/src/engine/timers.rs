//! When to look at a Service again though nothing happens: one moment per Service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::ServiceKey;

/// One moment (monotonic) per Service, in order.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Duration, ServiceKey)>,
    of: BTreeMap<ServiceKey, Duration>,
}

impl Timers {
    /// Replaces the moment of a Service; `None`: nothing has to be looked at.
    pub(super) fn set(&mut self, key: &ServiceKey, at: Option<Duration>) {
        if let Some(before) = self.of.remove(key) {
            self.order.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.of.insert(key.clone(), at);
            self.order.insert((at, key.clone()));
        }
    }

    /// Makes sure that a Service is looked at by then.
    pub(super) fn by(&mut self, key: &ServiceKey, at: Duration) {
        if self.of.get(key).is_none_or(|before| at < *before) {
            self.set(key, Some(at));
        }
    }

    /// The first moment.
    pub(super) fn first(&self) -> Option<Duration> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out one Service whose moment has come.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<ServiceKey> {
        if self.first()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.of.remove(&key);
        Some(key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_one_moment_the_latest_that_was_set() {
        let mut timers = Timers::default();
        let key: ServiceKey = "a/default/web".parse().unwrap();
        let second = Duration::from_secs;
        timers.set(&key, Some(second(5)));
        timers.set(&key, Some(second(9)));
        assert_eq!((timers.len(), timers.first()), (1, Some(second(9))));
        timers.by(&key, second(20));
        timers.by(&key, second(7));
        assert_eq!(timers.pop_due(second(6)), None);
        assert_eq!(timers.pop_due(second(7)), Some(key.clone()));
        timers.set(&key, Some(second(8)));
        timers.set(&key, None);
        assert_eq!(timers.len(), 0);
    }
}
