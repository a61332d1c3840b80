//! The pure core of `ccm-proxy`: who announces which address on a link, and what is said there.
//!
//! No I/O, no clock, no randomness: whatever happens on a link is a [`vlan::Input`] with its time,
//! and the same inputs give the same frames. `deadline` tells when there is more to be sent.

pub mod bfd;
pub mod drop_reason;
pub mod election;
pub mod fib;
pub mod gate;
pub mod health;
pub mod l2;
pub mod mac;
pub mod node;
pub mod order;
pub mod vlan;
pub mod world;
