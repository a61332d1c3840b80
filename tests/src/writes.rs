//! What the product wrote: to API servers, read from their audit logs, and to the Northbound
//! database, read from its file, which is a log of transactions.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Lab;
use crate::cluster::{AuditEntry, AuditMark, Cluster};

/// The product's user in the under cluster.
pub const UNDER_USER: &str = "system:serviceaccount:cloud-provider-ovn:cloud-provider-ovn";
/// The product's user in tenants.
pub const TENANT_USER: &str = "cloud-provider-ovn";

/// A moment in all logs.
pub struct Mark<'a> {
    lab: &'a Lab,
    clusters: Vec<(&'a Cluster, &'static str, AuditMark)>,
    northbound: u64,
}

/// The present moment.
///
/// # Errors
/// When a log is not there.
pub fn mark(lab: &Lab) -> Result<Mark<'_>> {
    let under: &Cluster = lab.under();
    let tenants = lab.tenants().iter().map(|tenant| (tenant.cluster(), TENANT_USER));
    let clusters = std::iter::once((under, UNDER_USER)).chain(tenants);
    let clusters = clusters.map(|(cluster, user)| Ok((cluster, user, cluster.audit_mark()?)));
    let northbound = std::fs::metadata(database(lab)).context("the Northbound database")?.len();
    Ok(Mark { lab, clusters: clusters.collect::<Result<_>>()?, northbound })
}

impl Mark<'_> {
    /// Every write of the product since then, one line each; those to its Lease and its epoch, which
    /// are its sign of life, are none.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn writes(&self) -> Result<Vec<String>> {
        let mut writes = Vec::new();
        for (cluster, user, mark) in &self.clusters {
            let entries = cluster.audit_since(*mark)?.into_iter();
            let ours = entries.filter(|entry| entry.user == *user && entry.is_write());
            writes.extend(ours.map(|entry| line(cluster.name(), &entry)));
        }
        writes.extend(self.transactions()?);
        Ok(writes)
    }

    /// Holds that the product wrote nothing since then.
    ///
    /// # Errors
    /// It did: each write.
    pub fn nothing_written(&self) -> Result<()> {
        let writes = self.writes()?;
        ensure!(writes.is_empty(), "written: {writes:#?}");
        Ok(())
    }

    /// The transactions since then that touch what is ours to write: load balancers, and what is
    /// attached to a router.
    fn transactions(&self) -> Result<Vec<String>> {
        let log = std::fs::read(database(self.lab))?;
        let from = usize::try_from(self.northbound)?;
        let text = String::from_utf8_lossy(log.get(from..).context("the database was compacted")?);
        let records = text.lines().filter(|line| !line.starts_with("OVSDB "));
        let mut touching = Vec::new();
        for record in records {
            let record: Value = serde_json::from_str(record).context("a half written record")?;
            let routers = record.get("Logical_Router").and_then(Value::as_object);
            let attached = routers
                .is_some_and(|rows| rows.values().any(|row| row.get("load_balancer").is_some()));
            if attached || record.get("Load_Balancer").is_some() {
                touching.push(format!("northbound: {record}"));
            }
        }
        Ok(touching)
    }
}

fn line(cluster: &str, entry: &AuditEntry) -> String {
    let AuditEntry { verb, resource, subresource, namespace, name, code, .. } = entry;
    let mut line = format!("{cluster}: {verb} {resource}");
    if !subresource.is_empty() {
        let _ = write!(line, "/{subresource}");
    }
    let _ = write!(line, " {namespace}/{name} {code}");
    line
}

fn database(lab: &Lab) -> PathBuf {
    lab.space().data().join("ovn/nb.db")
}
