//! What to monitor, matched with what the server has.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::filter::RowFilter;
use super::types::{ColumnType, DatabaseSchema};
use crate::ovsdb::value::Atom;

/// The tables and columns to keep a replica of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSpec {
    /// The name of the database, for example `OVN_Northbound`.
    pub name: Cow<'static, str>,
    /// The tables.
    pub tables: Vec<TableSpec>,
    /// By what rows can be looked up, beside their identifier.
    pub indexes: Vec<IndexSpec>,
}

impl DatabaseSpec {
    /// A database with these tables, without indexes.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        tables: impl IntoIterator<Item = TableSpec>,
    ) -> Self {
        let tables = tables.into_iter().collect();
        Self { name: name.into(), tables, indexes: Vec::new() }
    }

    /// Keeps an index.
    #[must_use]
    pub fn index(mut self, index: IndexSpec) -> Self {
        self.indexes.push(index);
        self
    }

    /// Which rows of a table are monitored.
    pub fn filter(&self, table: &str) -> &RowFilter {
        let spec = self.tables.iter().find(|spec| spec.name == table);
        spec.map_or(&RowFilter::All, |spec| &spec.filter)
    }

    /// The filters of all tables that have one.
    pub fn filters(&self) -> Vec<(Cow<'static, str>, RowFilter)> {
        let filtered = self.tables.iter().filter(|spec| !spec.filter.is_all());
        filtered.map(|spec| (spec.name.clone(), spec.filter.clone())).collect()
    }

    pub(crate) fn set_filter(&mut self, table: &str, filter: RowFilter) {
        if let Some(spec) = self.tables.iter_mut().find(|spec| spec.name == table) {
            spec.filter = filter;
        }
    }
}

/// The columns of one table to keep a replica of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// The name of the table.
    pub name: Cow<'static, str>,
    /// The names of the columns.
    pub columns: Vec<Cow<'static, str>>,
    /// Which rows.
    pub filter: RowFilter,
}

impl TableSpec {
    /// These columns of every row.
    pub fn new<C: Into<Cow<'static, str>>>(
        name: impl Into<Cow<'static, str>>,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { name: name.into(), columns, filter: RowFilter::All }
    }

    /// Only these of the columns.
    #[must_use]
    pub fn only<const N: usize>(mut self, columns: [&str; N]) -> Self {
        self.columns.retain(|column| columns.contains(&column.as_ref()));
        self
    }

    /// Only these rows.
    #[must_use]
    pub fn filter(self, filter: RowFilter) -> Self {
        Self { filter, ..self }
    }
}

/// By what rows of a table can be looked up. Several rows may have the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSpec {
    pub(crate) table: Cow<'static, str>,
    pub(crate) column: Cow<'static, str>,
    pub(crate) key: Option<Atom>,
}

impl IndexSpec {
    /// By a column: its value, each element of a set, each key of a map.
    pub fn column(
        table: impl Into<Cow<'static, str>>,
        column: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { table: table.into(), column: column.into(), key: None }
    }

    /// By the value of one key of a map of strings, for example of `external_ids`.
    pub fn map_key(
        table: impl Into<Cow<'static, str>>,
        column: impl Into<Cow<'static, str>>,
        key: &str,
    ) -> Self {
        Self { key: Some(Atom::String(key.into())), ..Self::column(table, column) }
    }
}

/// A table, a column or an element of an enumeration that the server does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The table.
    pub table: Arc<str>,
    /// The column; `None` if the whole table is missing.
    pub column: Option<Arc<str>>,
    /// The element; `None` if the whole column is missing.
    pub element: Option<Arc<str>>,
}

impl Missing {
    /// A table.
    pub(crate) fn table(table: &str) -> Self {
        Self { table: table.into(), column: None, element: None }
    }

    /// A column.
    pub(crate) fn column(table: &str, column: &str) -> Self {
        Self { column: Some(column.into()), ..Self::table(table) }
    }

    /// An element of an enumeration.
    pub(crate) fn element(table: &str, column: &str, element: &str) -> Self {
        Self { element: Some(element.into()), ..Self::column(table, column) }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)?;
        self.column.iter().try_for_each(|column| write!(f, ".{column}"))?;
        self.element.iter().try_for_each(|element| write!(f, "={element}"))
    }
}

/// The columns of a table that are in the replica, ascending by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    table: Arc<str>,
    names: Arc<[Arc<str>]>,
    types: Box<[ColumnType]>,
}

impl Layout {
    /// A table with these columns.
    pub fn new(table: &str, columns: impl IntoIterator<Item = (Arc<str>, ColumnType)>) -> Self {
        let mut columns: Vec<_> = columns.into_iter().collect();
        columns.sort_by(|a, b| a.0.cmp(&b.0));
        columns.dedup_by(|a, b| a.0 == b.0);
        let (names, types): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        Self { table: table.into(), names: names.into(), types: types.into() }
    }

    /// The name of the table.
    pub fn table(&self) -> &Arc<str> {
        &self.table
    }

    /// The names of the columns, ascending.
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// The types of the columns, in the order of the names.
    pub fn types(&self) -> &[ColumnType] {
        &self.types
    }

    /// Where a column stands, and its type.
    pub fn column(&self, name: &str) -> Option<(usize, &ColumnType)> {
        let index = self.names.binary_search_by(|column| (**column).cmp(name)).ok()?;
        self.types.get(index).map(|ty| (index, ty))
    }
}

/// A spec matched with a server's schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The server's schema.
    pub schema: DatabaseSchema,
    /// What there is to monitor, ascending by table name.
    pub layouts: Vec<Arc<Layout>>,
    /// By what rows are looked up.
    pub indexes: Vec<IndexSpec>,
    /// What was asked for in vain.
    pub missing: Vec<Missing>,
}

impl Resolved {
    /// Keeps what both the spec and the schema have.
    pub fn new(schema: DatabaseSchema, spec: &DatabaseSpec) -> Self {
        let (mut layouts, mut missing) = (Vec::new(), Vec::new());
        for wanted in &spec.tables {
            let table: Arc<str> = wanted.name.as_ref().into();
            let Some(present) = schema.table(&table) else {
                missing.push(Missing::table(&table));
                continue;
            };
            let mut columns = Vec::new();
            for column in &wanted.columns {
                let name: Arc<str> = column.as_ref().into();
                match present.column(column) {
                    Some(ty) => columns.push((name, ty.clone())),
                    None => missing.push(Missing::column(&table, &name)),
                }
            }
            layouts.push(Arc::new(Layout::new(&table, columns)));
        }
        layouts.sort_by(|a, b| a.table.cmp(&b.table));
        layouts.dedup_by(|a, b| a.table == b.table);
        Self { schema, layouts, indexes: spec.indexes.clone(), missing }
    }

    /// The layout of a table.
    pub fn layout(&self, table: &str) -> Option<&Arc<Layout>> {
        let index = self.layouts.binary_search_by(|layout| (**layout.table()).cmp(table)).ok()?;
        self.layouts.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_lacks_is_reported_and_left_out() {
        let schema = DatabaseSchema::parse(
            r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{"a":{"type":"string"}}}}}"#,
        );
        let tables = [TableSpec::new("U", ["x"]), TableSpec::new("T", ["b", "a"])];
        let resolved = Resolved::new(schema.unwrap(), &DatabaseSpec::new("D", tables));
        let missing: Vec<_> = resolved.missing.iter().map(ToString::to_string).collect();
        assert_eq!(missing, ["U", "T.b"]);
        let layout = resolved.layout("T").unwrap();
        assert_eq!(layout.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["a"]);
        assert!(resolved.layout("U").is_none());
    }
}
