//! What MetalLB's allocator is held to, and ours too (`docs/addresses-conformance.md`).
#![cfg(test)]

mod given;
mod pools_of;
mod scene;
mod shared;
mod waiting;

use pools::{
    Afterwards, Assigned, Families, Family, Labels, PoolSpec, Port, Protocol, Refusal, Request,
    Service, Sharing, Target, Unavailable,
};
use scene::{Ask, DUAL, Scene, V4, V6, ip, labels, service, spec, texts};
