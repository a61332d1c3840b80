//! Any object, written from JSON or YAML.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::wait;

/// How long a kind may take to be served after its definition was written.
const SERVED: Duration = Duration::from_secs(20);

/// Kinds that were looked up already.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    known: Mutex<HashMap<GroupVersionKind, (ApiResource, bool)>>,
}

impl Kinds {
    /// The API of `kind` in `namespace`, which cluster-scoped kinds ignore.
    pub(super) async fn api(
        &self,
        client: &kube::Client,
        kind: &GroupVersionKind,
        namespace: &str,
    ) -> Result<Api<DynamicObject>> {
        let mut known = self.known.lock().await;
        let (resource, namespaced) = match known.get(kind) {
            Some(found) => found.clone(),
            None => {
                let found = look_up(client, kind).await?;
                known.insert(kind.clone(), found.clone());
                found
            }
        };
        drop(known);
        Ok(if namespaced {
            Api::namespaced_with(client.clone(), namespace, &resource)
        } else {
            Api::all_with(client.clone(), &resource)
        })
    }

    /// Server-side apply; `namespace` is that of an object that names none.
    pub(super) async fn apply(
        &self,
        client: &kube::Client,
        object: &Value,
        namespace: &str,
    ) -> Result<DynamicObject> {
        let parsed: DynamicObject = serde_json::from_value(object.clone())?;
        let name = parsed.metadata.name.clone().context("an object without name")?;
        let types = parsed.types.clone().with_context(|| format!("{name} has no kind"))?;
        let kind = GroupVersionKind::try_from(&types)?;
        let namespace = parsed.metadata.namespace.as_deref().unwrap_or(namespace);
        let api = self.api(client, &kind, namespace).await?;
        let what = || format!("apply {} {namespace}/{name}", types.kind);
        let params = PatchParams::apply("lab").force();
        api.patch(&name, &params, &Patch::Apply(&parsed)).await.with_context(what)
    }
}

/// A pinned kind; just defined ones are not served at once.
async fn look_up(client: &kube::Client, kind: &GroupVersionKind) -> Result<(ApiResource, bool)> {
    wait::until(&format!("kind {} to be served", kind.kind), SERVED, || async {
        let (resource, capabilities) = kube::discovery::pinned_kind(client, kind).await?;
        Ok((resource, capabilities.scope == Scope::Namespaced))
    })
    .await
}

/// The objects of a YAML text with one or more documents.
pub(super) fn parse(text: &str) -> Result<Vec<Value>> {
    let documents = text.split("\n---").map(|document| document.trim_start_matches("---"));
    let mut objects = Vec::new();
    for document in documents {
        let value: Value = serde_saphyr::from_str(document).context("parse YAML")?;
        match value {
            Value::Null => {}
            Value::Object(_) => objects.push(value),
            other => bail!("not an object: {other}"),
        }
    }
    Ok(objects)
}

/// The objects of all YAML files in a directory, or of one file.
pub(super) fn read(path: &Path) -> Result<Vec<Value>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
    }
    let mut objects = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        objects.extend(parse(&text).with_context(|| file.display().to_string())?);
    }
    Ok(objects)
}

/// Applies all objects: definitions and namespaces first, then the rest at once.
pub(super) async fn apply_all(
    kinds: &Kinds,
    client: &kube::Client,
    objects: &[Value],
    namespace: &str,
) -> Result<()> {
    let first = |object: &&Value| {
        object.get("kind").and_then(Value::as_str).is_some_and(|kind| {
            matches!(kind, "CustomResourceDefinition" | "Namespace" | "ServiceAccount")
        })
    };
    let (early, late): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(first);
    // A namespace before what lies in it: the two kinds never need each other otherwise.
    for object in early.iter().filter(|object| object.get("kind") == Some(&"Namespace".into())) {
        kinds.apply(client, object, namespace).await?;
    }
    try_join_all(early.iter().map(|object| kinds.apply(client, object, namespace))).await?;
    try_join_all(late.iter().map(|object| kinds.apply(client, object, namespace))).await?;
    Ok(())
}
