//! The reply to `get_schema` (RFC 7047 §4.1.2).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeSeed;
use serde_json::Value;

use super::types::{BaseType, ColumnType, DatabaseSchema, Kind, Limit, TableSchema};
use crate::ovsdb::value::AtomSet;
use crate::ovsdb::value::decode::DatumSeed;

/// Why a schema could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The reply has another shape.
    #[error("the schema has an unexpected shape")]
    Shape(#[source] serde_json::Error),
    /// A column has a type that RFC 7047 §3.2 does not know.
    #[error("column {column} of table {table} has an unknown type")]
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl DatabaseSchema {
    /// Reads the `result` of `get_schema`.
    ///
    /// # Errors
    /// Another shape, or a column of a type that RFC 7047 does not define.
    pub fn parse(json: &str) -> Result<Self, SchemaError> {
        let raw: RawDatabase = serde_json::from_str(json).map_err(SchemaError::Shape)?;
        let mut tables = BTreeMap::new();
        for (table, raw_table) in raw.tables {
            let mut columns = BTreeMap::new();
            for (column, raw_column) in raw_table.columns {
                match column_type(&raw_column.r#type) {
                    Some(ty) => columns.insert(column, ty),
                    None => return Err(SchemaError::Type { table, column }),
                };
            }
            tables.insert(table, TableSchema { columns });
        }
        Ok(Self { name: raw.name, version: raw.version, tables })
    }
}

#[derive(Deserialize)]
struct RawDatabase {
    name: String,
    #[serde(default)]
    version: String,
    tables: BTreeMap<String, RawTable>,
}

#[derive(Deserialize)]
struct RawTable {
    columns: BTreeMap<String, RawColumn>,
}

#[derive(Deserialize)]
struct RawColumn {
    r#type: Value,
}

fn column_type(json: &Value) -> Option<ColumnType> {
    if let Some(name) = json.as_str() {
        return Kind::from_name(name).map(ColumnType::scalar);
    }
    let value = match json.get("value") {
        Some(value) => Some(base_type(value)?),
        None => None,
    };
    let count = |json: &Value| json.as_u64().and_then(|count| u32::try_from(count).ok());
    let min = match json.get("min") {
        Some(min) => count(min)?,
        None => 1,
    };
    let max = match json.get("max") {
        Some(Value::String(text)) if text == "unlimited" => Limit::Unlimited,
        Some(max) => Limit::AtMost(count(max)?),
        None => Limit::AtMost(1),
    };
    Some(ColumnType::new(base_type(json.get("key")?)?, value, min, max))
}

fn base_type(json: &Value) -> Option<BaseType> {
    if let Some(name) = json.as_str() {
        return Kind::from_name(name).map(|kind| BaseType::new(kind, None));
    }
    let kind = Kind::from_name(json.get("type")?.as_str()?)?;
    let members = match json.get("enum") {
        Some(members) => Some(enumeration(kind, members)?),
        None => None,
    };
    Some(BaseType::new(kind, members))
}

fn enumeration(kind: Kind, json: &Value) -> Option<AtomSet> {
    let members = DatumSeed(&ColumnType::set(kind)).deserialize(json).ok()?;
    members.as_set().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"name":"OVN_Northbound","version":"7.6.0","cksum":"1 2","tables":{
        "Load_Balancer":{"isRoot":true,"columns":{
            "name":{"type":"string"},
            "protocol":{"type":{"key":{"type":"string","enum":["set",["tcp","udp"]]},"min":0,"max":1}},
            "vips":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
            "_version":{"type":"uuid"}}}}}"#;

    #[test]
    fn column_types_are_read_with_their_limits_and_enumerations() {
        let schema = DatabaseSchema::parse(SCHEMA).unwrap();
        assert_eq!((schema.name(), schema.version()), ("OVN_Northbound", "7.6.0"));
        let table = schema.table("Load_Balancer").unwrap();
        assert_eq!(table.column("name"), Some(&ColumnType::scalar(Kind::String)));
        assert_eq!(table.column("vips"), Some(&ColumnType::map(Kind::String, Kind::String)));
        assert!(table.column("protocol").unwrap().replaced_whole());
        assert!(schema.allows("Load_Balancer", "protocol", "udp"));
        assert!(!schema.allows("Load_Balancer", "protocol", "sctp"));
        assert!(schema.allows("Load_Balancer", "name", "anything"));
        assert!(!schema.has_column("Load_Balancer", "health_check"));
    }

    #[test]
    fn unknown_types_and_shapes_are_refused_by_name() {
        let odd = SCHEMA.replace(r#""type":"uuid""#, r#""type":"blob""#);
        let error = DatabaseSchema::parse(&odd).unwrap_err();
        assert_eq!(error.to_string(), "column _version of table Load_Balancer has an unknown type");
        assert!(DatabaseSchema::parse("[]").is_err());
        assert!(DatabaseSchema::parse("null").is_err());
    }
}
