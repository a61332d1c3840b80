//! Schemas: that of the OVN at hand, and others made of it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::release::Release;
use crate::space::Space;

/// A schema, to be changed before it is written to a file.
#[derive(Debug, Clone)]
pub struct Schema(Value);

impl Schema {
    /// That of the OVN in the root file system.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn current() -> Result<Self> {
        Self::northbound(Release::Current)
    }

    /// That of a release.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn northbound(release: Release) -> Result<Self> {
        Self::read(release, "ovn-nb")
    }

    /// That of the Southbound database of a release.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn southbound(release: Release) -> Result<Self> {
        Self::read(release, "ovn-sb")
    }

    /// Its JSON.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    fn read(release: Release, name: &str) -> Result<Self> {
        let path = release.schemas()?.join(format!("{name}.ovsschema"));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self(serde_json::from_str(&text)?))
    }

    /// Load balancers alone, and little of them: so small that a test can afford to treat each byte
    /// of it for itself.
    ///
    /// # Errors
    /// When the current one cannot be read.
    pub fn small() -> Result<Self> {
        let mut schema = Self::current()?.version("1.0.0");
        let members = |schema: &mut Value, path: &str, kept: &[&str]| {
            let members = schema.pointer_mut(path).and_then(Value::as_object_mut);
            members.context("no such part")?.retain(|name, _| kept.contains(&name.as_str()));
            anyhow::Ok(())
        };
        members(&mut schema.0, "/tables", &["Load_Balancer"])?;
        members(&mut schema.0, "/tables/Load_Balancer/columns", &["name", "vips", "protocol"])?;
        Ok(schema)
    }

    /// Without a column.
    #[must_use]
    pub fn without(mut self, table: &str, column: &str) -> Self {
        let columns = self.0.pointer_mut(&format!("/tables/{table}/columns"));
        if let Some(columns) = columns.and_then(Value::as_object_mut) {
            columns.remove(column);
        }
        self
    }

    /// With a column of a map of strings more.
    #[must_use]
    pub fn with(mut self, table: &str, column: &str) -> Self {
        let ty =
            json!({"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}});
        let columns = self.0.pointer_mut(&format!("/tables/{table}/columns"));
        if let Some(columns) = columns.and_then(Value::as_object_mut) {
            columns.insert(column.to_owned(), ty);
        }
        self
    }

    /// With another version, `x.y.z`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        if let Some(schema) = self.0.as_object_mut() {
            schema.insert("version".to_owned(), json!(version));
            // It was of the text.
            schema.remove("cksum");
        }
        self
    }

    /// Writes it to a file that the servers of a lab can read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, space: &Space, name: &str) -> Result<PathBuf> {
        let path = space.data().join(format!("{name}.ovsschema"));
        std::fs::write(&path, self.0.to_string())?;
        Ok(path)
    }
}
