//! Values of a column (RFC 7047 §5.1): an [`Atom`], or a [`Datum`] made of atoms.
//!
//! A scalar is a set of one element, an optional a set of at most one: there is one shape for
//! all of them, and it is ordered, so that equal values are equal in memory and on the wire.

mod atom;
mod convert;
mod datum;
pub(crate) mod decode;

pub use atom::{Atom, Real};
pub use convert::{AtomValue, FromDatum, NamedUuid, ToDatum};
pub use datum::{AtomMap, AtomSet, Datum};
pub use uuid::Uuid;
