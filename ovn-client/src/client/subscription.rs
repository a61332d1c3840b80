//! A subscriber's end.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Event;

/// The events of a client, in order, through a bounded queue.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Event>);

impl Subscription {
    pub(super) fn new(events: &broadcast::WeakSender<Event>) -> Self {
        // Without a driver there are no more events: a channel whose sender is gone says so.
        Self(events.upgrade().map_or_else(|| broadcast::channel(1).1, |events| events.subscribe()))
    }

    /// The next event; `None` once the driver has ended. If this subscriber was too slow, what is
    /// queued is dropped and [`Event::Lagged`] takes its place.
    ///
    /// Cancel safe: no event is lost.
    pub async fn recv(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => {
                self.0 = self.0.resubscribe();
                Some(Event::Lagged)
            }
            Err(RecvError::Closed) => None,
        }
    }
}
