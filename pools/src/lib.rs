//! Addresses, ranges and sets of them, pools, and who has which address.
//!
//! Pure: no I/O, no clock, the same input gives the same bytes. IPv4 and IPv6 may be mixed
//! everywhere; a single range is of one family.

mod allocator;
mod check;
mod family;
mod outcome;
mod pool;
mod range;
mod refusal;
mod request;
mod selector;
mod set;
mod space;

pub use allocator::{
    Allocator, Bound, Conflict, Entry, Owner, Record, RecordError, State, TenantSpec, TenantUsage,
};
pub use check::Forbidden;
pub use family::{Family, PerFamily};
pub use outcome::{Afterwards, Assigned, Given, PoolName, Target};
pub use pool::{PoolSpec, ServiceAllocation, Source};
pub use range::{AddressRange, RangeError};
pub use refusal::{Closed, PoolFigures, Refusal, Resource, Unavailable, Used, Wanted};
pub use request::{Families, Port, Protocol, Quota, Request, Service, Sharing};
pub use selector::{Labels, Operator, Requirement, Selector};
pub use set::AddressSet;
