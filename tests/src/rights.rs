//! Rights that manifests grant, held against what an API server's audit log saw used.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cluster::AuditEntry;

/// A verb on a resource: `("patch", "services/status")`.
type Right = (String, String);

/// That nothing was refused.
///
/// # Errors
/// A right is missing.
pub fn none_missing<'e>(seen: impl IntoIterator<Item = &'e AuditEntry>) -> Result<()> {
    let refused: Vec<_> = seen.into_iter().filter(|entry| entry.code == 403).collect();
    ensure!(refused.is_empty(), "rights are missing: {refused:#?}");
    Ok(())
}

/// That every right that a manifest grants was used.
///
/// # Errors
/// The manifest cannot be read, or grants what was never used.
pub fn all_used(manifest: &str, seen: &[AuditEntry]) -> Result<()> {
    let mut used: BTreeSet<Right> = seen.iter().map(right).collect();
    // Server-side apply of what is not there takes the right to create it, and is a patch all the same.
    let made = seen.iter().filter(|entry| entry.verb == "patch" && entry.code == 201);
    used.extend(made.map(|entry| ("create".to_owned(), right(entry).1)));
    let granted = granted(manifest)?;
    ensure!(!granted.is_empty(), "{manifest} grants nothing");
    let idle: Vec<_> = granted.difference(&used).collect();
    ensure!(idle.is_empty(), "{manifest} grants what is never used: {idle:?}");
    Ok(())
}

fn right(entry: &AuditEntry) -> Right {
    let AuditEntry { verb, resource, subresource, .. } = entry;
    let part = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
    (verb.clone(), format!("{resource}{part}"))
}

/// Every verb on every resource that a manifest's roles grant.
fn granted(manifest: &str) -> Result<BTreeSet<Right>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests").join(manifest);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut rights = BTreeSet::new();
    for document in text.split("\n---") {
        let object: Value = serde_saphyr::from_str(document)?;
        let rules = object.get("rules").and_then(Value::as_array).into_iter().flatten();
        for rule in rules {
            let words = |key: &str| {
                let list = rule.get(key).and_then(Value::as_array).into_iter().flatten();
                list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
            };
            for resource in words("resources") {
                rights.extend(words("verbs").into_iter().map(|verb| (verb, resource.clone())));
            }
        }
    }
    Ok(rights)
}
