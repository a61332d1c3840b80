//! The speaker's own Lease: that it is there, and where it is on each VLAN.
//!
//! ```text
//! heart ─► Own (the latest counts) ─► Keeper ─► apply, delete (one at a time)
//! heart ◄─ Leased, what was applied ◄───┘
//! ```
//! Whether a speaker is live is for BFD to tell: a Lease that is not renewed is a member still.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use speaker_core::node::NodeName;
use speaker_core::vlan::Member;
use speaker_core::world::VlanName;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::input::{Input, Object};
use crate::watch::{Parsed, describe, jittered};

/// Label of the speakers' Leases.
pub(crate) const LABEL: &str = "cloud-provider-ovn.io/speaker";
/// Annotation with the VLANs that a speaker is on.
const ANNOTATION: &str = "cloud-provider-ovn.io/vlans";
/// The names of the speakers' Leases begin so; the node's name follows.
const PREFIX: &str = "cpo-speaker-";
/// How long a Lease is said to last.
const LASTS: Duration = Duration::from_secs(180);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(60);
/// The first wait after a failure, and the longest.
const BACKOFF: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];
/// How long one call may take.
const CALL: Duration = Duration::from_secs(10);
/// How long it may take to delete the Lease at the end.
const DELETE: Duration = Duration::from_secs(2);
/// Who writes it.
const WRITER: &str = "ccm-proxy";

/// Where a speaker is on a VLAN, as the annotation says it.
#[derive(Serialize, Deserialize)]
struct Place {
    mac: String,
    address: Ipv6Addr,
}

/// The annotation's text.
fn write(vlans: &BTreeMap<VlanName, Member>) -> String {
    let place = |(name, member): (&VlanName, &Member)| {
        (name.to_string(), Place { mac: member.mac.to_string(), address: member.address })
    };
    let places: BTreeMap<String, Place> = vlans.iter().map(place).collect();
    serde_json::to_string(&places).unwrap_or_default()
}

/// What an annotation says; what cannot be read of it is named.
fn read(text: &str) -> (BTreeMap<VlanName, Member>, Vec<String>) {
    let places: BTreeMap<String, Value> = match serde_json::from_str(text) {
        Ok(places) => places,
        Err(error) => return (BTreeMap::new(), vec![format!("{ANNOTATION}: {error}")]),
    };
    let (mut vlans, mut complaints) = (BTreeMap::new(), Vec::new());
    for (name, place) in places {
        match member(place) {
            Ok(member) => drop(vlans.insert(name.into(), member)),
            Err(error) => complaints.push(format!("{ANNOTATION}, {name}: {error}")),
        }
    }
    (vlans, complaints)
}

fn member(place: Value) -> Result<Member, String> {
    let Place { mac, address } = serde_json::from_value(place).map_err(|e| e.to_string())?;
    if !address.is_unicast_link_local() {
        return Err(format!("{address} is not an address of the link alone"));
    }
    let mac = mac.parse().map_err(|error| format!("{error}"))?;
    Ok(Member { mac, address })
}

/// The name of a node's Lease.
pub(crate) fn name_of(node: &NodeName) -> String {
    format!("{PREFIX}{node}")
}

/// The node that a Lease is of.
pub(crate) fn node_of(name: &str) -> Option<NodeName> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// A speaker, by its Lease.
pub(crate) fn speaker(object: Lease) -> Parsed {
    let Some(node) = node_of(&object.name_any()) else { return (None, Vec::new()) };
    let holder = object.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
    if holder != Some(node.as_str()) {
        return (None, vec![format!("its holder is {}", holder.unwrap_or("nobody"))]);
    }
    let text = object.annotations().get(ANNOTATION);
    let (vlans, complaints) = text.map(|text| read(text)).unwrap_or_default();
    (Some(Object::Speaker(node, Some(vlans))), complaints)
}

/// What our own Lease is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// Where we are; nothing before that is known, while what an earlier run said holds.
    pub(crate) vlans: Option<BTreeMap<VlanName, Member>>,
    /// Counts how often somebody else deleted it.
    pub(crate) lost: u64,
}

/// Keeps our own Lease.
pub(crate) struct Keeper {
    /// Where it is.
    pub(crate) api: Api<Lease>,
    /// Our node.
    pub(crate) node: NodeName,
    /// What it is to say.
    pub(crate) own: watch::Receiver<Own>,
    /// Who is told what it says.
    pub(crate) inputs: mpsc::Sender<Input>,
    /// Ends it.
    pub(crate) stop: CancellationToken,
}

impl Keeper {
    /// Keeps it until told to stop; then it is deleted.
    pub(crate) async fn run(mut self) {
        let mut due = None;
        let mut backoff = BACKOFF[0];
        loop {
            // Cancel safe: what changed stays changed, and a call is made between these.
            tokio::select! {
                () = self.stop.cancelled() => break,
                changed = self.own.changed() => if changed.is_err() { break },
                () = until(due) => {}
            }
            let Some(vlans) = self.own.borrow_and_update().vlans.clone() else { continue };
            let wait = match self.apply(&vlans).await {
                Ok(()) => {
                    backoff = BACKOFF[0];
                    // The heart waits for nobody; it is gone only at the end.
                    let _ = self.inputs.send(Input::Leased(vlans)).await;
                    jittered(RENEW)
                }
                Err(error) => {
                    tracing::warn!(error, "the speaker's Lease is not written, is tried again");
                    let wait = jittered(backoff);
                    backoff = (backoff * 2).min(BACKOFF[1]);
                    wait
                }
            };
            due = Some(Instant::now() + wait);
        }
        self.delete().await;
    }

    async fn apply(&self, vlans: &BTreeMap<VlanName, Member>) -> Result<(), String> {
        let body = body(&self.node, vlans, Timestamp::now());
        let params = PatchParams::apply(WRITER).force();
        let name = name_of(&self.node);
        let patch = Patch::Apply(&body);
        let call = self.api.patch(&name, &params, &patch);
        match timeout(CALL, call).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(describe(&error)),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// Deletes it: who left does not count as one that may come back.
    async fn delete(&self) {
        let (name, params) = (name_of(&self.node), DeleteParams::default());
        let deleted = timeout(DELETE, self.api.delete(&name, &params)).await;
        let error = match deleted {
            Ok(Ok(_)) => return,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return,
            Ok(Err(error)) => describe(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(error, "the speaker's Lease is left");
    }
}

fn body(node: &NodeName, vlans: &BTreeMap<VlanName, Member>, now: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name_of(node),
            "labels": { LABEL: "true" },
            "annotations": { ANNOTATION: write(vlans) },
        },
        "spec": {
            "holderIdentity": node.as_str(),
            "leaseDurationSeconds": LASTS.as_secs(),
            "renewTime": MicroTime(now),
        },
    })
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vlans() -> BTreeMap<VlanName, Member> {
        let mac: speaker_core::mac::MacAddress = "02:00:00:00:00:01".parse().unwrap();
        [("a".into(), Member { mac, address: mac.link_local() })].into()
    }

    fn lease(change: impl FnOnce(&mut Value)) -> Parsed {
        let node: NodeName = "n1".parse().unwrap();
        let mut body = body(&node, &vlans(), Timestamp::UNIX_EPOCH);
        change(&mut body);
        speaker(serde_json::from_value(body).unwrap())
    }

    #[test]
    fn what_a_speaker_writes_of_itself_is_what_others_read() {
        let (read, complaints) = lease(|_| ());
        assert_eq!(read, Some(Object::Speaker("n1".parse().unwrap(), Some(vlans()))));
        assert_eq!(complaints, [""; 0]);
    }

    #[test]
    fn a_lease_that_another_holds_is_no_speaker() {
        let (read, complaints) = lease(|lease| lease["spec"]["holderIdentity"] = json!("n2"));
        assert_eq!((read, complaints.len()), (None, 1));
    }

    #[test]
    fn one_vlan_that_cannot_be_read_is_passed_over_alone() {
        let text = r#"{
            "a": {"mac": "02:00:00:00:00:01", "address": "fe80::ff:fe00:1"},
            "b": {"mac": "02:00:00:00:00:01", "address": "2001:db8::1"},
            "c": {"mac": "ff:00:00:00:00:01", "address": "fe80::1"},
            "d": 7
        }"#;
        let (read, complaints) = read(text);
        assert_eq!((read, complaints.len()), (vlans(), 3));
        let (none, complaints) = super::read("[]");
        assert_eq!((none.len(), complaints.len()), (0, 1));
    }

    #[test]
    fn a_lease_is_named_by_its_node() {
        let node: NodeName = "node-1.example".parse().unwrap();
        assert_eq!(node_of(&name_of(&node)), Some(node));
        assert_eq!(node_of("cloud-provider-ovn"), None);
    }
}
