//! Addresses, ranges and sets of them.
//!
//! Pure: no I/O, no clock, the same input gives the same bytes. IPv4 and IPv6 may be mixed
//! everywhere; a single range is of one family.

mod range;
mod set;

pub use range::{AddressRange, RangeError};
pub use set::AddressSet;
