//! Values out of JSON, guided by the column's type: no intermediate tree.

mod text;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Unexpected, Visitor};
use smallvec::SmallVec;
pub(crate) use text::{Text, UuidText};

use super::{Atom, AtomMap, Datum, Real};
use crate::ovsdb::schema::{ColumnType, Kind};

/// Reads the value of a column of this type.
#[derive(Clone, Copy)]
pub(crate) struct DatumSeed<'t>(pub(crate) &'t ColumnType);

impl<'de> DeserializeSeed<'de> for DatumSeed<'_> {
    type Value = Datum;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Datum, D::Error> {
        match self.0.value() {
            Some(value) => {
                deserializer.deserialize_any(MapVisitor(self.0.key().kind(), value.kind()))
            }
            None => deserializer.deserialize_any(SetVisitor(self.0.key().kind())),
        }
    }
}

/// Reads one atom of this kind.
#[derive(Clone, Copy)]
pub(crate) struct AtomSeed(pub(crate) Kind);

impl<'de> DeserializeSeed<'de> for AtomSeed {
    type Value = Atom;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Atom, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl AtomSeed {
    fn unexpected<E: Error>(self, found: Unexpected<'_>) -> E {
        E::invalid_type(found, &self)
    }
}

impl<'de> Visitor<'de> for AtomSeed {
    type Value = Atom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an atom of kind {}", self.0)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Atom, E> {
        match self.0 {
            Kind::Boolean => Ok(Atom::Boolean(value)),
            Kind::Integer | Kind::Real | Kind::String | Kind::Uuid => {
                Err(self.unexpected(Unexpected::Bool(value)))
            }
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Atom, E> {
        match self.0 {
            Kind::Integer => Ok(Atom::Integer(value)),
            #[expect(clippy::cast_precision_loss, reason = "a real column holds the nearest real")]
            Kind::Real => self.visit_f64(value as f64),
            Kind::Boolean | Kind::String | Kind::Uuid => {
                Err(self.unexpected(Unexpected::Signed(value)))
            }
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Atom, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            #[expect(clippy::cast_precision_loss, reason = "a real column holds the nearest real")]
            Err(_) if self.0 == Kind::Real => self.visit_f64(value as f64),
            Err(_) => Err(self.unexpected(Unexpected::Unsigned(value))),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Atom, E> {
        match (self.0, Real::new(value)) {
            (Kind::Real, Some(real)) => Ok(Atom::Real(real)),
            _ => Err(self.unexpected(Unexpected::Float(value))),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Atom, E> {
        match self.0 {
            Kind::String => Ok(Atom::String(value.into())),
            Kind::Integer | Kind::Real | Kind::Boolean | Kind::Uuid => {
                Err(self.unexpected(Unexpected::Str(value)))
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Atom, A::Error> {
        match seq.next_element()? {
            Some(Tag::Uuid) if self.0 == Kind::Uuid => uuid(&mut seq),
            Some(Tag::Uuid | Tag::Set | Tag::Map) | None => Err(self.unexpected(Unexpected::Seq)),
        }
    }
}

/// The rest of `["uuid", "…"]`.
fn uuid<'de, A: SeqAccess<'de>>(seq: &mut A) -> Result<Atom, A::Error> {
    let uuid = seq.next_element::<UuidText>()?.ok_or_else(|| A::Error::custom("no UUID"))?;
    end(seq)?;
    Ok(Atom::Uuid(uuid.0))
}

fn end<'de, A: SeqAccess<'de>>(seq: &mut A) -> Result<(), A::Error> {
    match seq.next_element::<IgnoredAny>()? {
        None => Ok(()),
        Some(_) => Err(A::Error::custom("trailing element")),
    }
}

/// A set column: a bare atom, `["uuid", …]` or `["set", […]]`.
struct SetVisitor(Kind);

impl SetVisitor {
    fn atom(&self) -> AtomSeed {
        AtomSeed(self.0)
    }
}

impl<'de> Visitor<'de> for SetVisitor {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an atom or a set of kind {}", self.0)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Datum, E> {
        self.atom().visit_bool(value).map(Datum::scalar)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Datum, E> {
        self.atom().visit_i64(value).map(Datum::scalar)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Datum, E> {
        self.atom().visit_u64(value).map(Datum::scalar)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Datum, E> {
        self.atom().visit_f64(value).map(Datum::scalar)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Datum, E> {
        self.atom().visit_str(value).map(Datum::scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Datum, A::Error> {
        match seq.next_element()? {
            Some(Tag::Set) => {
                let mut atoms = Few::new();
                let read = seq.next_element_seed(Elements(self.atom(), &mut atoms))?;
                read.ok_or_else(|| A::Error::custom("no elements"))?;
                end(&mut seq)?;
                Ok(Datum::Set(atoms.into_iter().collect()))
            }
            Some(Tag::Uuid) if self.0 == Kind::Uuid => uuid(&mut seq).map(Datum::scalar),
            Some(Tag::Uuid | Tag::Map) | None => {
                Err(A::Error::invalid_type(Unexpected::Seq, &self))
            }
        }
    }
}

/// A map column: `["map", [[key, value], …]]`.
struct MapVisitor(Kind, Kind);

impl<'de> Visitor<'de> for MapVisitor {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of {} to {}", self.0, self.1)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Datum, A::Error> {
        let Some(Tag::Map) = seq.next_element()? else {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        };
        let mut pairs = Few::new();
        let pair = PairSeed(AtomSeed(self.0), AtomSeed(self.1));
        let read = seq.next_element_seed(Elements(pair, &mut pairs))?;
        read.ok_or_else(|| A::Error::custom("no pairs"))?;
        end(&mut seq)?;
        Ok(Datum::Map(pairs.into_iter().collect::<AtomMap>()))
    }
}

#[derive(Clone, Copy)]
struct PairSeed(AtomSeed, AtomSeed);

impl<'de> DeserializeSeed<'de> for PairSeed {
    type Value = (Atom, Atom);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PairSeed {
    type Value = (Atom, Atom);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pair of atoms")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let pair = (seq.next_element_seed(self.0)?, seq.next_element_seed(self.1)?);
        let (Some(key), Some(value)) = pair else {
            return Err(A::Error::invalid_length(0, &self));
        };
        end(&mut seq)?;
        Ok((key, value))
    }
}

/// Elements, without an allocation for as many as there are most often.
type Few<T> = SmallVec<[T; 8]>;

/// An array whose elements are all read by the same seed, and put where they are wanted: they are
/// too many to be moved there.
struct Elements<'e, S, T>(S, &'e mut Few<T>);

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for Elements<'_, S, S::Value> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for Elements<'_, S, S::Value> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element_seed(self.0)? {
            self.1.push(element);
        }
        Ok(())
    }
}

/// The first element of a tagged array.
#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tag {
    Set,
    Map,
    Uuid,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::DeserializeSeed;

    use super::*;
    use crate::ovsdb::value::{ToDatum, Uuid};

    fn read(ty: &ColumnType, json: &str) -> Result<Datum, serde_json::Error> {
        DatumSeed(ty).deserialize(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn a_set_of_one_may_be_bare_or_tagged() {
        let ty = ColumnType::set(Kind::String);
        assert_eq!(read(&ty, r#""a""#).unwrap(), "a".to_datum());
        assert_eq!(read(&ty, r#"["set",["a"]]"#).unwrap(), "a".to_datum());
        assert!(read(&ty, r#"["set",[]]"#).unwrap().is_empty());
        let uuids = ColumnType::set(Kind::Uuid);
        let one = Uuid::from_u128(1).to_datum();
        assert_eq!(
            read(&uuids, r#"["uuid","00000000-0000-0000-0000-000000000001"]"#).unwrap(),
            one
        );
    }

    #[test]
    fn the_last_of_a_repeated_map_key_wins() {
        let ty = ColumnType::map(Kind::String, Kind::Integer);
        let map = read(&ty, r#"["map",[["a",1],["b",2],["a",3]]]"#).unwrap();
        assert_eq!(serde_json::to_string(&map).unwrap(), r#"["map",[["a",3],["b",2]]]"#);
    }

    #[test]
    fn integers_reach_the_ends_of_64_bits_and_no_further() {
        let ty = ColumnType::scalar(Kind::Integer);
        assert_eq!(read(&ty, "9223372036854775807").unwrap(), i64::MAX.to_datum());
        assert_eq!(read(&ty, "-9223372036854775808").unwrap(), i64::MIN.to_datum());
        assert!(read(&ty, "9223372036854775808").is_err());
        assert!(read(&ty, "1.5").is_err());
    }

    #[test]
    fn values_of_another_shape_are_refused() {
        let map = ColumnType::map(Kind::String, Kind::String);
        let set = ColumnType::set(Kind::String);
        let hostile = [
            "null",
            "{}",
            "[]",
            "1",
            r#"["set"]"#,
            r#"["set",1]"#,
            r#"["map",[["a"]]]"#,
            r#"["map",[["a","b","c"]]]"#,
            r#"["set",[],1]"#,
            r#"["nope",[]]"#,
            r#"["uuid","x"]"#,
            r#"["map",[[1,2]]]"#,
            "[[[[]]]]",
        ];
        for json in hostile {
            assert!(read(&map, json).is_err(), "{json}");
            assert!(read(&set, json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(map in any::<std::collections::BTreeMap<String, i64>>(), set in any::<std::collections::BTreeSet<String>>()) {
            let (map, set) = (map.to_datum(), set.to_datum());
            let json = |datum: &Datum| serde_json::to_string(datum).unwrap();
            prop_assert_eq!(&read(&ColumnType::map(Kind::String, Kind::Integer), &json(&map)).unwrap(), &map);
            prop_assert_eq!(&read(&ColumnType::set(Kind::String), &json(&set)).unwrap(), &set);
        }

        #[test]
        fn no_input_panics(json in "[\\[\\]{}\",:a-z0-9.-]{0,40}") {
            for ty in [ColumnType::map(Kind::Uuid, Kind::Real), ColumnType::set(Kind::Boolean)] {
                let _ = read(&ty, &json);
            }
        }
    }
}
