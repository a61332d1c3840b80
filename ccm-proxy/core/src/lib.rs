//! The pure core of `ccm-proxy`: who announces which address on a link, and what is said there.
//!
//! No I/O, no clock, no randomness: frames and the time come with each call, and the same calls
//! give the same frames. `poll` gives what is to be sent, and `deadline` tells when there is more.

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
