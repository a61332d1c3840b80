//! The pure core: what is known ([`world`]), what is to be done about it ([`plan`]), and the
//! order in which it is done ([`engine`]).
//!
//! No I/O, no clock, no randomness: the time comes with each call, and the same inputs give the
//! same effects. The edges parse objects and rows into [`world`]'s types, hand them to the
//! [`engine::Engine`], and execute the [`effect::Effect`]s it returns.

pub mod assignments;
pub mod backends;
pub mod effect;
pub mod election;
pub mod engine;
pub mod explain;
pub mod ids;
pub mod kubeconfig;
pub mod ovn;
pub mod plan;
pub mod problem;
pub mod request;
pub mod return_path;
pub mod router;
pub mod rows;
pub mod select;
pub mod service;
pub mod tenant;
#[cfg(test)]
mod testing;
pub mod time;
pub mod under;
pub mod world;
