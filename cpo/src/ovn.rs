//! The Northbound database's edge: rows into the core's types, edits into transactions.

mod batch;
mod epoch;
mod link;
mod observe;
mod write;

pub(crate) use epoch::by_role;
pub(crate) use link::{Link, Message};
