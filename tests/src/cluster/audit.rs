//! The audit log: every request that a kube-apiserver completed.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// One entry for each request, when its response is complete (which the client may see first).
pub(super) const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules: [{level: Metadata}]
";

/// A position in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditMark(pub(super) u64);

/// One completed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who asked: `system:serviceaccount:ns:name` for a ServiceAccount.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Plural name, `services`; empty for a request of no resource.
    pub resource: String,
    /// `status` and the like; empty if none.
    pub subresource: String,
    /// The object's namespace; empty if none.
    pub namespace: String,
    /// The object's name; empty for lists and some creations.
    pub name: String,
    /// The HTTP status.
    pub code: u16,
    /// When the request was complete.
    pub time: Timestamp,
}

impl AuditEntry {
    /// Whether the request changes something; leases and reviews do not count.
    pub fn is_write(&self) -> bool {
        let changes = matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        );
        let aside = self.resource == "leases"
            || self.resource.ends_with("reviews")
            || (self.resource == "serviceaccounts" && self.subresource == "token");
        changes && !aside
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize, Default)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
}

pub(super) fn mark(log: &Path) -> Result<AuditMark> {
    Ok(AuditMark(std::fs::metadata(log).context("the audit log")?.len()))
}

pub(super) fn read(log: &Path, from: AuditMark) -> Result<Vec<AuditEntry>> {
    let mut file = std::fs::File::open(log).context("the audit log")?;
    file.seek(SeekFrom::Start(from.0))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    // The last line may be half written: it belongs to a request that is not answered yet.
    let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
    whole.lines().map(parse).collect()
}

fn parse(line: &str) -> Result<AuditEntry> {
    let line: Line = serde_json::from_str(line).with_context(|| format!("audit entry {line}"))?;
    let Object { resource, subresource, namespace, name } = line.object_ref;
    Ok(AuditEntry {
        user: line.user.username,
        verb: line.verb,
        resource,
        subresource,
        namespace,
        name,
        code: line.response_status.code,
        time: line.stage_timestamp,
    })
}
