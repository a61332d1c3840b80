//! The tenants' edge.
//!
//! ```text
//! heart's tenants ─► registry ─► one session per tenant, and a watch of its Secret
//!   session: parse the kubeconfig ─► client ─► try it ─► watches ─► Input
//!            asked for namespaces ─► their watch, beside the others
//!            jobs ─► outbox ─► services/status; Events ─► their own small queue
//! ```
//! Sessions share nothing but the queue of inputs: what one tenant's API server does, or does not
//! do, stays in its session.

mod client;
mod events;
mod execute;
mod look;
mod namespaces;
mod parse;
mod registry;
mod secret;
mod session;
#[cfg(test)]
mod testing;

pub(crate) use look::look;
pub(crate) use parse::service;
pub(crate) use registry::{FromTenant, Registry, Routes, Wanted};
