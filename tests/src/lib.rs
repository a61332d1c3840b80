//! The lab: real etcd, kube-apiserver, kube-controller-manager, kube-proxy, kube-ovn-controller,
//! OVN and OVS in namespaces on one machine, and what tests need to work with them.
//!
//! ```text
//!  near ── br-external (198.51.100.0/24) ── localnet ── LR vpc-a ── LS tenant-a 10.0.0.0/24 ── vm1, vm2
//!    far ── router ──┘                               └─ LR vpc-b ── LS tenant-b 10.0.0.0/24 ── vm1, vm2
//! ```
//!
//! Everything runs inside a sandbox of own PID, mount and network namespaces (see [`sandbox`]), so
//! it vanishes with the process that entered it, whatever way that process ends.

pub mod builders;
pub mod chassis;
pub mod cluster;
pub mod components;
pub mod cpo;
pub mod exec;
pub mod harness;
pub mod kube_ovn;
pub mod metallb;
pub mod netns;
pub mod overlay;
pub mod ovn;
pub mod ovsdb;
pub mod process;
pub mod relay;
pub mod report;
pub mod rights;
pub mod sandbox;
pub mod space;
pub mod speaker;
pub mod switch;
pub mod traffic;
pub mod wait;
pub mod writes;

pub use anyhow::{Context, Result, anyhow, bail, ensure};
pub use overlay::Lab;
