//! Between Rust types and column values.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Atom, AtomMap, AtomSet, Datum, Real};

/// A Rust type that is one atom.
pub trait AtomValue: Sized {
    /// The value, if the atom is of this kind.
    fn from_atom(atom: &Atom) -> Option<Self>;
    /// The atom.
    fn to_atom(&self) -> Atom;
}

/// A Rust type that can be read from a column.
pub trait FromDatum: Sized {
    /// The value, if the column has this shape.
    fn from_datum(datum: &Datum) -> Option<Self>;
}

/// A Rust type that can be written to a column or compared with one.
pub trait ToDatum {
    /// The column's value.
    fn to_datum(&self) -> Datum;

    /// Whether it is what a column holds that nothing was written to: then an insert may leave it
    /// out.
    fn is_unset(&self) -> bool {
        self.to_datum().is_empty()
    }
}

/// `AtomValue` for a type held as is, and the two directions of a scalar column.
macro_rules! scalar {
    ($type:ty, $pattern:pat => $from:expr, $value:ident => $to:expr) => {
        impl AtomValue for $type {
            fn from_atom(atom: &Atom) -> Option<Self> {
                if let $pattern = atom { $from } else { None }
            }

            fn to_atom(&self) -> Atom {
                let $value = self;
                $to
            }
        }

        impl FromDatum for $type {
            fn from_datum(datum: &Datum) -> Option<Self> {
                datum.as_scalar().and_then(Self::from_atom)
            }
        }

        impl ToDatum for $type {
            fn to_datum(&self) -> Datum {
                Datum::scalar(self.to_atom())
            }

            fn is_unset(&self) -> bool {
                *self == <$type>::default()
            }
        }
    };
}

scalar!(String, Atom::String(text) => Some((**text).to_owned()), value => Atom::String(value.as_str().into()));
scalar!(i64, Atom::Integer(number) => Some(*number), value => Atom::Integer(*value));
scalar!(bool, Atom::Boolean(truth) => Some(*truth), value => Atom::Boolean(*value));
scalar!(Uuid, Atom::Uuid(uuid) => Some(*uuid), value => Atom::Uuid(*value));
scalar!(Real, Atom::Real(number) => Some(*number), value => Atom::Real(*value));

/// A row that the same transaction inserts, by the name given there
/// ([`Insert::named`](crate::Insert::named)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUuid(pub String);

impl ToDatum for NamedUuid {
    fn to_datum(&self) -> Datum {
        Datum::scalar(Atom::NamedUuid(self.0.as_str().into()))
    }
}

impl ToDatum for str {
    fn to_datum(&self) -> Datum {
        Datum::scalar(Atom::String(self.into()))
    }
}

impl ToDatum for Datum {
    fn to_datum(&self) -> Datum {
        self.clone()
    }
}

impl FromDatum for Datum {
    fn from_datum(datum: &Datum) -> Option<Self> {
        Some(datum.clone())
    }
}

/// An optional column.
impl<T: AtomValue> FromDatum for Option<T> {
    fn from_datum(datum: &Datum) -> Option<Self> {
        let set = datum.as_set()?;
        match set.only() {
            Some(atom) => T::from_atom(atom).map(Some),
            None => set.is_empty().then_some(None),
        }
    }
}

impl<T: AtomValue> ToDatum for Option<T> {
    fn to_datum(&self) -> Datum {
        self.as_ref().map_or_else(Datum::empty_set, |value| Datum::scalar(value.to_atom()))
    }

    fn is_unset(&self) -> bool {
        self.is_none()
    }
}

impl<T: AtomValue + Ord> FromDatum for BTreeSet<T> {
    fn from_datum(datum: &Datum) -> Option<Self> {
        datum.as_set()?.iter().map(T::from_atom).collect()
    }
}

impl<T: AtomValue> ToDatum for BTreeSet<T> {
    fn to_datum(&self) -> Datum {
        Datum::Set(self.iter().map(T::to_atom).collect())
    }

    fn is_unset(&self) -> bool {
        self.is_empty()
    }
}

impl<T: AtomValue> ToDatum for [T] {
    fn to_datum(&self) -> Datum {
        Datum::Set(self.iter().map(T::to_atom).collect())
    }
}

impl<T: AtomValue, const N: usize> ToDatum for [T; N] {
    fn to_datum(&self) -> Datum {
        self.as_slice().to_datum()
    }
}

impl<T: AtomValue> ToDatum for Vec<T> {
    fn to_datum(&self) -> Datum {
        self.as_slice().to_datum()
    }
}

impl<K: AtomValue + Ord, V: AtomValue> FromDatum for BTreeMap<K, V> {
    fn from_datum(datum: &Datum) -> Option<Self> {
        let pair = |(key, value): &(Atom, Atom)| Some((K::from_atom(key)?, V::from_atom(value)?));
        datum.as_map()?.iter().map(pair).collect()
    }
}

impl<K: AtomValue, V: AtomValue> ToDatum for BTreeMap<K, V> {
    fn to_datum(&self) -> Datum {
        Datum::Map(self.iter().map(|(key, value)| (key.to_atom(), value.to_atom())).collect())
    }

    fn is_unset(&self) -> bool {
        self.is_empty()
    }
}

impl ToDatum for AtomSet {
    fn to_datum(&self) -> Datum {
        Datum::Set(self.clone())
    }
}

impl ToDatum for AtomMap {
    fn to_datum(&self) -> Datum {
        Datum::Map(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_another_shape_is_not_read() {
        let text = "x".to_datum();
        assert_eq!(String::from_datum(&text), Some("x".to_owned()));
        assert_eq!(i64::from_datum(&text), None);
        assert_eq!(BTreeMap::<String, String>::from_datum(&text), None);
        assert_eq!(Option::<i64>::from_datum(&text), None);
        assert_eq!(
            Option::<String>::from_datum(&["a".to_owned(), "b".to_owned()].to_datum()),
            None
        );
    }

    #[test]
    fn rust_values_survive_the_way_through_a_datum() {
        let map = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(BTreeMap::<String, i64>::from_datum(&map.to_datum()), Some(map));
        assert_eq!(Option::<i64>::from_datum(&None::<i64>.to_datum()), Some(None));
        assert_eq!(Option::<i64>::from_datum(&Some(0).to_datum()), Some(Some(0)));
    }

    #[test]
    fn a_scalar_is_unset_when_it_is_its_default_and_an_optional_one_when_there_is_none() {
        assert!(0.is_unset() && false.is_unset() && String::new().is_unset());
        assert!(None::<bool>.is_unset() && BTreeSet::<String>::new().is_unset());
        assert!(!1.is_unset() && !Some(0).is_unset() && !Some(false).is_unset());
    }
}
