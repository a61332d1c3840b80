//! The Lease as an object, and its calls.

use std::time::Duration;

use cpo_core::election::{Answer, Call, Claim, Record};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::time::timeout;

use crate::watch::describe;

/// The Lease on the API server. Each call ends in bounded time.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) api: Api<Lease>,
    pub(super) name: String,
    /// How long one call may take.
    pub(super) patience: Duration,
}

impl Object {
    /// Makes one call. `last` is the object as it was last seen: what others wrote on it stays.
    pub(super) async fn call(&self, call: Call, last: Option<Lease>) -> (Answer, Option<Lease>) {
        let lease = match timeout(self.patience, self.send(&call, last)).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                return match call {
                    Call::Read if status.code == 404 => (Answer::Read(None), None),
                    Call::Replace { .. } => (Answer::Conflict, None),
                    Call::Create(_) if status.code == 409 => (Answer::Conflict, None),
                    Call::Read | Call::Create(_) => self.failed(&status.to_string()),
                };
            }
            Ok(Err(error)) => return self.failed(&describe(&error)),
            Err(_) => return self.failed("no answer in time"),
        };
        let record = record(&lease);
        let answer = match call {
            Call::Read => Answer::Read(Some(record)),
            Call::Create(_) | Call::Replace { .. } => Answer::Written(record),
        };
        (answer, Some(lease))
    }

    async fn send(&self, call: &Call, last: Option<Lease>) -> Result<Lease, kube::Error> {
        let params = PostParams::default();
        match call {
            Call::Read => self.api.get(&self.name).await,
            Call::Create(claim) => self.api.create(&params, &self.lease(None, claim, None)).await,
            Call::Replace { version, claim } => {
                let lease = self.lease(Some(version), claim, last);
                self.api.replace(&self.name, &params, &lease).await
            }
        }
    }

    fn failed(&self, error: &str) -> (Answer, Option<Lease>) {
        tracing::warn!(lease = self.name, error, "call for the Lease failed, is repeated");
        (Answer::Failed, None)
    }

    fn lease(&self, version: Option<&String>, claim: &Claim, last: Option<Lease>) -> Lease {
        let kept = last.map(|last| last.metadata).unwrap_or_default();
        let now = Timestamp::now();
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: version.cloned(),
                managed_fields: None,
                ..kept
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(claim.holder.clone()),
                lease_duration_seconds: i32::try_from(claim.lease.as_secs()).ok(),
                acquire_time: Some(MicroTime(claim.acquired.unwrap_or(now))),
                renew_time: Some(MicroTime(now)),
                lease_transitions: i32::try_from(claim.transitions).ok(),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        lease: seconds.map(Duration::from_secs),
        acquired: spec.acquire_time.map(|time| time.0),
        transitions: spec.lease_transitions.and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
