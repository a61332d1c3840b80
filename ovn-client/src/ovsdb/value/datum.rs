//! Sets and maps of atoms, kept sorted.

use std::cmp::Ordering;

use serde::ser::SerializeTuple;
use serde::{Serialize, Serializer};

use super::Atom;

/// The value of one column: a set of atoms (scalars and optionals included) or a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datum {
    /// A scalar (one element), an optional (none or one) or a set.
    Set(AtomSet),
    /// A map.
    Map(AtomMap),
}

impl Datum {
    /// A set of exactly this element.
    pub fn scalar(atom: Atom) -> Self {
        Self::Set(AtomSet(Box::new([atom])))
    }

    /// The empty set.
    pub fn empty_set() -> Self {
        Self::Set(AtomSet::default())
    }

    /// Whether there is no element in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Set(set) => set.is_empty(),
            Self::Map(map) => map.is_empty(),
        }
    }

    /// The set, if this is one.
    pub fn as_set(&self) -> Option<&AtomSet> {
        match self {
            Self::Set(set) => Some(set),
            Self::Map(_) => None,
        }
    }

    /// The map, if this is one.
    pub fn as_map(&self) -> Option<&AtomMap> {
        match self {
            Self::Map(map) => Some(map),
            Self::Set(_) => None,
        }
    }

    /// The element of a set of exactly one.
    pub fn as_scalar(&self) -> Option<&Atom> {
        self.as_set().and_then(AtomSet::only)
    }
}

/// Written as OVSDB does: one element bare, other sets as `["set", […]]`, maps as
/// `["map", [[key, value], …]]`.
impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(atom) = self.as_scalar() {
            return atom.serialize(serializer);
        }
        let mut tagged = serializer.serialize_tuple(2)?;
        match self {
            Self::Set(set) => {
                tagged.serialize_element("set")?;
                tagged.serialize_element(&set.0)?;
            }
            Self::Map(map) => {
                tagged.serialize_element("map")?;
                tagged.serialize_element(&map.0)?;
            }
        }
        tagged.end()
    }
}

/// Atoms in ascending order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AtomSet(Box<[Atom]>);

impl AtomSet {
    /// The atoms, ascending.
    pub fn iter(&self) -> std::slice::Iter<'_, Atom> {
        self.0.iter()
    }

    /// How many atoms.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this atom is an element.
    pub fn contains(&self, atom: &Atom) -> bool {
        self.0.binary_search(atom).is_ok()
    }

    /// The element, if there is exactly one.
    pub fn only(&self) -> Option<&Atom> {
        match &*self.0 {
            [atom] => Some(atom),
            _ => None,
        }
    }

    /// What is in one of the two but not in both: a `modify` applied to a set.
    #[must_use]
    pub fn symmetric_difference(&self, other: &Self) -> Self {
        merge(&self.0, &other.0, Atom::cmp, |_, _| None)
    }
}

impl FromIterator<Atom> for AtomSet {
    fn from_iter<I: IntoIterator<Item = Atom>>(atoms: I) -> Self {
        let mut atoms: Vec<Atom> = atoms.into_iter().collect();
        if !atoms.is_sorted_by(|one, next| one < next) {
            atoms.sort_unstable();
            atoms.dedup();
        }
        Self(atoms.into_boxed_slice())
    }
}

impl FromMerged<Atom> for AtomSet {
    fn from_merged(items: Vec<Atom>) -> Self {
        Self(items.into_boxed_slice())
    }
}

/// Pairs in ascending order of their keys, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AtomMap(Box<[(Atom, Atom)]>);

impl AtomMap {
    /// The pairs, ascending by key.
    pub fn iter(&self) -> std::slice::Iter<'_, (Atom, Atom)> {
        self.0.iter()
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &Atom) -> Option<&Atom> {
        self.find(|other| other.cmp(key))
    }

    /// The string value of a string key, as in `external_ids`.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.find(|other| match other {
            Atom::String(text) => (**text).cmp(key),
            Atom::Integer(_) | Atom::Real(_) | Atom::Boolean(_) => Ordering::Less,
            Atom::Uuid(_) | Atom::NamedUuid(_) => Ordering::Greater,
        })
        .and_then(Atom::as_str)
    }

    /// A `modify` applied to a map: an absent key is added, a key with the same value is removed,
    /// a key with another value gets it.
    #[must_use]
    pub fn apply_difference(&self, difference: &Self) -> Self {
        let by_key = |a: &(Atom, Atom), b: &(Atom, Atom)| a.0.cmp(&b.0);
        merge(&self.0, &difference.0, by_key, |ours, theirs| (ours.1 != theirs.1).then_some(theirs))
    }

    fn find(&self, order: impl Fn(&Atom) -> Ordering) -> Option<&Atom> {
        let index = self.0.binary_search_by(|(key, _)| order(key)).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }
}

/// The last pair of a repeated key wins.
impl FromIterator<(Atom, Atom)> for AtomMap {
    fn from_iter<I: IntoIterator<Item = (Atom, Atom)>>(pairs: I) -> Self {
        let mut pairs: Vec<(Atom, Atom)> = pairs.into_iter().collect();
        if !pairs.is_sorted_by(|(one, _), (next, _)| one < next) {
            pairs.reverse();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs.dedup_by(|later, earlier| later.0 == earlier.0);
        }
        Self(pairs.into_boxed_slice())
    }
}

impl FromMerged<(Atom, Atom)> for AtomMap {
    fn from_merged(items: Vec<(Atom, Atom)>) -> Self {
        Self(items.into_boxed_slice())
    }
}

/// Takes items that are already in order.
trait FromMerged<T> {
    fn from_merged(items: Vec<T>) -> Self;
}

/// Merges two ordered slices; where both hold an item of the same order, `both` decides.
fn merge<T: Clone, M: FromMerged<T>>(
    ours: &[T],
    theirs: &[T],
    order: impl Fn(&T, &T) -> Ordering,
    both: impl for<'t> Fn(&'t T, &'t T) -> Option<&'t T>,
) -> M {
    let mut merged = Vec::with_capacity(ours.len().saturating_add(theirs.len()));
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    loop {
        let next = match (ours.peek(), theirs.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => order(a, b),
        };
        match next {
            Ordering::Less => merged.extend(ours.next().cloned()),
            Ordering::Greater => merged.extend(theirs.next().cloned()),
            Ordering::Equal => {
                if let (Some(a), Some(b)) = (ours.next(), theirs.next()) {
                    merged.extend(both(a, b).cloned());
                }
            }
        }
    }
    M::from_merged(merged)
}
