//! Types of columns, tables and databases (RFC 7047 §3.2).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::ovsdb::value::{Atom, AtomMap, AtomSet, Datum, Real, Uuid};

/// The kind of an atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit signed integers.
    Integer,
    /// Finite reals.
    Real,
    /// Booleans.
    Boolean,
    /// Strings.
    String,
    /// Row identifiers.
    Uuid,
}

impl Kind {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "integer" => Some(Self::Integer),
            "real" => Some(Self::Real),
            "boolean" => Some(Self::Boolean),
            "string" => Some(Self::String),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    /// What a scalar column of this kind holds when nothing was written.
    pub fn default_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Real::new(0.0).map_or(Atom::Integer(0), Atom::Real),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String("".into()),
            Self::Uuid => Atom::Uuid(Uuid::nil()),
        }
    }

    fn another_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(1),
            Self::Real => Real::new(1.0).map_or(Atom::Integer(1), Atom::Real),
            Self::Boolean => Atom::Boolean(true),
            Self::String => Atom::String("a".into()),
            Self::Uuid => Atom::Uuid(Uuid::max()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Uuid => "uuid",
        })
    }
}

/// The type of a key or a value: a kind, and for some the values allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseType {
    kind: Kind,
    members: Option<Arc<AtomSet>>,
}

impl BaseType {
    pub(super) fn new(kind: Kind, members: Option<AtomSet>) -> Self {
        Self { kind, members: members.map(Arc::new) }
    }

    /// Two atoms of this type, or the only one.
    fn samples(&self) -> Vec<Atom> {
        match self.members() {
            Some(members) => members.iter().take(2).cloned().collect(),
            None => vec![self.kind.default_atom(), self.kind.another_atom()],
        }
    }

    /// The kind of atom.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The values allowed, if the server enumerates them.
    pub fn members(&self) -> Option<&AtomSet> {
        self.members.as_deref()
    }
}

/// How many elements a column holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// This many.
    AtMost(u32),
    /// Any number.
    Unlimited,
}

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnType {
    key: BaseType,
    value: Option<BaseType>,
    min: u32,
    max: Limit,
}

impl ColumnType {
    pub(super) fn new(key: BaseType, value: Option<BaseType>, min: u32, max: Limit) -> Self {
        Self { key, value, min, max }
    }

    /// A column of exactly one atom.
    pub fn scalar(kind: Kind) -> Self {
        Self::new(BaseType::new(kind, None), None, 1, Limit::AtMost(1))
    }

    /// A column of none or one atom.
    pub fn optional(kind: Kind) -> Self {
        Self::new(BaseType::new(kind, None), None, 0, Limit::AtMost(1))
    }

    /// A column of any number of atoms.
    pub fn set(kind: Kind) -> Self {
        Self::new(BaseType::new(kind, None), None, 0, Limit::Unlimited)
    }

    /// A column of any number of pairs.
    pub fn map(key: Kind, value: Kind) -> Self {
        let value = Some(BaseType::new(value, None));
        Self::new(BaseType::new(key, None), value, 0, Limit::Unlimited)
    }

    /// The type of an element, or of a key.
    pub fn key(&self) -> &BaseType {
        &self.key
    }

    /// The type of a value; `None` if the column is no map.
    pub fn value(&self) -> Option<&BaseType> {
        self.value.as_ref()
    }

    /// Whether a `modify` holds the whole new value instead of a difference: so it is for
    /// columns of at most one element (ovsdb-server(7), "update2").
    pub fn replaced_whole(&self) -> bool {
        self.max == Limit::AtMost(1)
    }

    /// Whether there is always an element.
    pub fn is_required(&self) -> bool {
        self.min > 0
    }

    /// What a reader has to expect: a value with as few elements as there may be, and one with
    /// several, or as many as there may be.
    pub fn samples(&self) -> [Datum; 2] {
        let most = match self.max {
            Limit::AtMost(max) => max,
            Limit::Unlimited => 2,
        };
        [self.min, most].map(|elements| {
            let elements = usize::try_from(elements).unwrap_or(usize::MAX);
            let keys = self.key.samples().into_iter().take(elements);
            match &self.value {
                None => Datum::Set(keys.collect()),
                Some(value) => Datum::Map(keys.zip(value.samples().into_iter().cycle()).collect()),
            }
        })
    }

    /// What the server leaves out of an update.
    pub fn default_datum(&self) -> Datum {
        match (&self.value, self.min) {
            (None, 0) => Datum::Set(AtomSet::default()),
            (None, _) => Datum::scalar(self.key.kind.default_atom()),
            (Some(_), 0) => Datum::Map(AtomMap::default()),
            (Some(value), _) => {
                let pair = (self.key.kind.default_atom(), value.kind.default_atom());
                Datum::Map([pair].into_iter().collect())
            }
        }
    }
}

/// The columns of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSchema {
    pub(super) columns: BTreeMap<String, ColumnType>,
}

impl TableSchema {
    /// The type of a column, if there is one of that name.
    pub fn column(&self, name: &str) -> Option<&ColumnType> {
        self.columns.get(name)
    }

    /// All columns by name.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &ColumnType)> {
        self.columns.iter().map(|(name, ty)| (name.as_str(), ty))
    }
}

/// What a server says about a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSchema {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) tables: BTreeMap<String, TableSchema>,
}

impl DatabaseSchema {
    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of the schema, `x.y.z`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A table, if there is one of that name.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.tables.get(name)
    }

    /// Whether the server has this column.
    pub fn has_column(&self, table: &str, column: &str) -> bool {
        self.column(table, column).is_some()
    }

    /// Whether this string may be an element of the column; an enumeration decides, a column
    /// without one takes any string.
    pub fn allows(&self, table: &str, column: &str, element: &str) -> bool {
        self.column(table, column).is_some_and(|ty| match ty.key().members() {
            Some(members) => members.contains(&Atom::String(element.into())),
            None => ty.key().kind() == Kind::String,
        })
    }

    fn column(&self, table: &str, column: &str) -> Option<&ColumnType> {
        self.tables.get(table)?.column(column)
    }
}
