//! The Northbound database's edge: rows into the core's types, edits into transactions.

mod batch;
mod link;
mod observe;
mod write;

pub(crate) use link::{Link, Message};
