//! The five kinds of atom.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// One value without structure (RFC 7047 §5.1, `<atom>`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// A 64-bit signed integer.
    Integer(i64),
    /// A finite real number.
    Real(Real),
    /// A boolean.
    Boolean(bool),
    /// A string; cheap to clone.
    String(Arc<str>),
    /// The identifier of a row.
    Uuid(Uuid),
    /// The name of a row that the same transaction inserts; never in what a server sends.
    NamedUuid(Arc<str>),
}

impl Atom {
    /// The string, if this atom is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Integer(_)
            | Self::Real(_)
            | Self::Boolean(_)
            | Self::Uuid(_)
            | Self::NamedUuid(_) => None,
        }
    }

    /// The row identifier, if this atom is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Self::Uuid(uuid) => Some(*uuid),
            Self::Integer(_)
            | Self::Real(_)
            | Self::Boolean(_)
            | Self::String(_)
            | Self::NamedUuid(_) => None,
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            Self::Real(value) => value.get().fmt(f),
            Self::Boolean(value) => value.fmt(f),
            Self::String(value) => fmt::Debug::fmt(value, f),
            Self::Uuid(value) => value.fmt(f),
            Self::NamedUuid(name) => name.fmt(f),
        }
    }
}

/// Written as OVSDB does: a row identifier is `["uuid", "…"]`, the others are bare.
impl Serialize for Atom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Real(value) => serializer.serialize_f64(value.get()),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Uuid(value) => {
                let mut text = Uuid::encode_buffer();
                ("uuid", &*value.hyphenated().encode_lower(&mut text)).serialize(serializer)
            }
            Self::NamedUuid(name) => ("named-uuid", &**name).serialize(serializer),
        }
    }
}

/// A finite real number with a total order; negative zero is zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Real(f64);

impl Real {
    /// Accepts any finite number.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0, so that equality and order agree.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Real {}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_reals_exist_and_negative_zero_is_zero() {
        assert!(Real::new(f64::NAN).is_none());
        assert!(Real::new(f64::INFINITY).is_none());
        assert_eq!(Real::new(-0.0), Real::new(0.0));
    }

    #[test]
    fn uuids_are_tagged_on_the_wire_and_other_atoms_are_bare() {
        let json = |atom: &Atom| serde_json::to_string(atom).unwrap();
        let uuid = Uuid::from_u128(1);
        assert_eq!(json(&Atom::Uuid(uuid)), r#"["uuid","00000000-0000-0000-0000-000000000001"]"#);
        assert_eq!(json(&Atom::String("a\"b".into())), r#""a\"b""#);
        assert_eq!(json(&Atom::Integer(i64::MIN)), "-9223372036854775808");
    }
}
