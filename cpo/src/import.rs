//! `cpo import metallb`: MetalLB's objects of layer 2 into ours. Pure but for the files.
//!
//! What means the same keeps its name and its value; what has no place here is listed, field by
//! field, and left out.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cpo_api::{AddressPoolSpec, L2AdvertisementSpec};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// MetalLB's API group.
const GROUP: &str = "metallb.io/";
/// Fields of an `IPAddressPool` that an `AddressPool` has.
const POOL: &[&str] = &["addresses", "autoAssign", "avoidBuggyIPs", "serviceAllocation"];
/// Fields of its `serviceAllocation`.
const ALLOCATION: &[&str] = &["priority", "namespaces", "namespaceSelectors", "serviceSelectors"];
/// Fields of an `L2Advertisement`.
const L2: &[&str] = &[
    "ipAddressPools",
    "ipAddressPoolSelectors",
    "nodeSelectors",
    "interfaces",
    "serviceSelectors",
];

/// What files of MetalLB amount to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Imported {
    /// Objects of ours.
    objects: Vec<Value>,
    /// What is not carried over, and what is to be looked at.
    notes: Vec<String>,
}

/// Reads files, prints our objects as YAML, and what they cannot carry to standard error.
pub(crate) fn metallb(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut imported = Imported::default();
    for file in files {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        imported.read(file, &text)?;
    }
    let mut out = std::io::stdout().lock();
    for object in &imported.objects {
        writeln!(out, "---\n{}", serde_saphyr::to_string(object)?.trim_end())?;
    }
    for note in &imported.notes {
        eprintln!("cpo: {note}");
    }
    Ok(())
}

impl Imported {
    /// Takes in one file of one or several documents.
    fn read(&mut self, file: &Path, text: &str) -> anyhow::Result<()> {
        for (number, document) in documents(text).enumerate() {
            let place = || format!("{}, document {}", file.display(), number + 1);
            let object: Value = serde_saphyr::from_str(document).with_context(place)?;
            self.take(object).with_context(place)?;
        }
        Ok(())
    }

    fn take(&mut self, object: Value) -> anyhow::Result<()> {
        if object.is_null() {
            return Ok(());
        }
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        if kind == "List" {
            let items = object.get("items").and_then(Value::as_array).cloned();
            return items.into_iter().flatten().try_for_each(|item| self.take(item));
        }
        let what = format!("{kind} {name}");
        match kind {
            _ if !version.starts_with(GROUP) => {
                self.notes.push(format!("{what}: not carried over: it is none of MetalLB's"));
            }
            "IPAddressPool" => {
                let mut spec = self.fields(&what, "spec", object.get("spec"), POOL);
                if let Some(allocation) = spec.get_mut("serviceAllocation") {
                    let path = "spec.serviceAllocation";
                    *allocation = self.fields(&what, path, Some(allocation), ALLOCATION).into();
                }
                self.add::<AddressPoolSpec>("AddressPool", &what, &object, spec)?;
            }
            "L2Advertisement" => {
                let spec = self.fields(&what, "spec", object.get("spec"), L2);
                self.add::<L2AdvertisementSpec>("L2Advertisement", &what, &object, spec)?;
            }
            _ => self.notes.push(format!("{what}: not carried over: there is no such kind here")),
        }
        Ok(())
    }

    /// The fields of a mapping that mean the same here; the others are noted.
    fn fields(
        &mut self,
        what: &str,
        path: &str,
        fields: Option<&Value>,
        ours: &[&str],
    ) -> Map<String, Value> {
        let all = fields.and_then(Value::as_object).cloned().unwrap_or_default();
        let (kept, rest): (Map<_, _>, Map<_, _>) =
            all.into_iter().partition(|(field, _)| ours.contains(&&**field));
        for (field, value) in rest {
            self.notes.push(format!("{what}: {path}.{field}: not carried over: {value}"));
        }
        kept
    }

    /// Adds an object of ours, if its spec is one.
    fn add<S: DeserializeOwned>(
        &mut self,
        kind: &str,
        what: &str,
        object: &Value,
        spec: Map<String, Value>,
    ) -> anyhow::Result<()> {
        let spec = Value::Object(spec);
        serde_json::from_value::<S>(spec.clone()).with_context(|| format!("{what}: spec"))?;
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.with_context(|| format!("a {kind} without metadata.name"))?;
        let same = |other: &Value| {
            other.get("kind") == Some(&kind.into())
                && other.pointer("/metadata/name").and_then(Value::as_str) == Some(name)
        };
        if self.objects.iter().any(same) {
            bail!("there are two of {what}, of two namespaces perhaps; ours have none: rename one");
        }
        let mut metadata = json!({"name": name});
        if let (Some(labels), Some(into)) =
            (object.pointer("/metadata/labels"), metadata.as_object_mut())
        {
            into.insert("labels".to_owned(), labels.clone());
        }
        self.objects.push(json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1",
            "kind": kind,
            "metadata": metadata,
            "spec": spec,
        }));
        Ok(())
    }
}

/// The documents of a YAML text.
fn documents(text: &str) -> impl Iterator<Item = &str> {
    let rest = text.strip_prefix("---\n").unwrap_or(text);
    rest.split("\n---\n").filter(|document| !document.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata:
  name: lan
  namespace: metallb-system
  labels: {tier: one}
spec:
  addresses: [10.205.0.50-10.205.0.99, 2001:db8::/120]
  avoidBuggyIPs: true
  autoAssign: false
  serviceAllocation:
    priority: 50
    namespaces: [shop]
    serviceSelectors: [{matchExpressions: [{key: app, operator: In, values: [web]}]}]
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan}
spec:
  ipAddressPools: [lan]
  nodeSelectors: [{matchLabels: {rack: r1}}]
  interfaces: [eth0]
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: tor}
spec: {myASN: 64512}
";

    fn read(text: &str) -> anyhow::Result<Imported> {
        let mut imported = Imported::default();
        imported.read(Path::new("metallb.yaml"), text)?;
        Ok(imported)
    }

    #[test]
    fn pools_and_advertisements_of_layer_2_become_ours() {
        let imported = read(FILE).unwrap();
        let [pool, advertisement] = imported.objects.as_slice() else { panic!("{imported:?}") };
        assert_eq!(pool.pointer("/kind"), Some(&json!("AddressPool")));
        assert_eq!(
            pool.pointer("/metadata"),
            Some(&json!({"name": "lan", "labels": {"tier": "one"}}))
        );
        assert_eq!(pool.pointer("/spec/avoidBuggyIPs"), Some(&json!(true)));
        assert_eq!(pool.pointer("/spec/serviceAllocation/priority"), Some(&json!(50)));
        assert_eq!(advertisement.pointer("/spec/interfaces"), Some(&json!(["eth0"])));
        assert_eq!(imported.notes, ["BGPPeer tor: not carried over: there is no such kind here"]);
    }

    #[test]
    fn a_field_that_has_no_place_here_is_named() {
        let text = FILE.replace("autoAssign: false", "autoAssign: false\n  colour: blue");
        let notes = read(&text).unwrap().notes;
        assert_eq!(notes[0], "IPAddressPool lan: spec.colour: not carried over: \"blue\"");
        let foreign = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\n";
        assert!(read(foreign).unwrap().notes[0].contains("none of MetalLB's"));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_the_place() {
        let wrong = FILE.replace("autoAssign: false", "autoAssign: perhaps");
        let error = format!("{:#}", read(&wrong).unwrap_err());
        assert!(error.contains("metallb.yaml, document 1: IPAddressPool lan"), "{error}");
        let twice = format!("{FILE}{}", FILE);
        let error = format!("{:#}", read(&twice).unwrap_err());
        assert!(error.contains("rename one"), "{error}");
        assert!(read("kind: [").is_err());
    }
}
