//! Events on a tenant's Services: for a person to read, never waited for.
//!
//! The same Event again counts up instead of standing twice. At most [`BURST`] at once and one per
//! [`REFILL`] after that; what does not fit the queue is dropped and counted in the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use cpo_api::names;
use cpo_core::effect::Notice;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::leadership::Leadership;

/// Events that may be written without a pause.
const BURST: u32 = 300;
/// Pause that earns one more.
const REFILL: Duration = Duration::from_millis(200);
/// How long the first of several waits.
const LULL: Duration = Duration::from_millis(150);
/// Distinct Events whose count is remembered.
const REMEMBERED: usize = 4096;
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest message the API server takes.
const MAX_MESSAGE: usize = 1024;

/// Writes a tenant's Events.
pub(super) struct Events {
    client: Arc<ArcSwapOption<Client>>,
    notices: mpsc::Receiver<Notice>,
    leadership: Leadership,
    counts: BTreeMap<String, i32>,
    tokens: u32,
    refilled: Instant,
}

impl Events {
    /// A writer that reads from `notices` and writes through whichever client is current, as long
    /// as this replica leads.
    pub(super) fn new(
        client: Arc<ArcSwapOption<Client>>,
        notices: mpsc::Receiver<Notice>,
        leadership: Leadership,
    ) -> Self {
        let (counts, tokens, refilled) = (BTreeMap::new(), BURST, Instant::now());
        Self { client, notices, leadership, counts, tokens, refilled }
    }

    /// Writes until the queue is closed.
    pub(super) async fn run(mut self) {
        while let Some(notice) = self.next().await {
            if self.leadership.term().is_none() {
                continue;
            }
            if !self.take_token() {
                tracing::debug!(service = %notice.key, reason = notice.reason, "event dropped: too many");
                continue;
            }
            let Some(client) = self.client.load_full() else { continue };
            if let Ok(Err(error)) = timeout(CALL_TIMEOUT, self.write(&client, &notice)).await {
                tracing::debug!(service = %notice.key, %error, "event not written");
            }
        }
    }

    /// The next notice. The first of several waits a moment: what they tell of is under way, and
    /// comes first.
    async fn next(&mut self) -> Option<Notice> {
        if let Ok(notice) = self.notices.try_recv() {
            return Some(notice);
        }
        let notice = self.notices.recv().await?;
        sleep(LULL).await;
        Some(notice)
    }

    fn take_token(&mut self) -> bool {
        let earned = self.refilled.elapsed().as_millis() / REFILL.as_millis();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(BURST);
            self.tokens = self.tokens.saturating_add(earned).min(BURST);
            self.refilled = Instant::now();
        }
        let free = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        free
    }

    async fn write(&mut self, client: &Client, notice: &Notice) -> Result<(), kube::Error> {
        let api: Api<Event> = Api::namespaced(client.clone(), notice.key.namespace());
        let name = name(notice);
        let now = Timestamp::now();
        if let Some(count) = self.counts.get_mut(&name) {
            *count += 1;
            let again = json!({
                "count": *count,
                "lastTimestamp": cpo_core::time::rfc3339(now),
            });
            let patched = api.patch(&name, &PatchParams::default(), &Patch::Merge(again)).await;
            match patched {
                // Events expire; then it is a new one.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => return other.map(|_| ()),
            }
        }
        if self.counts.len() >= REMEMBERED {
            self.counts.pop_first();
        }
        self.counts.insert(name.clone(), 1);
        match api.create(&PostParams::default(), &event(name, notice, now)).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// The same notice has the same name.
fn name(notice: &Notice) -> String {
    let mut hash = Sha256::new();
    for part in [notice.uid.as_str(), &notice.reason, &notice.message] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hex: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let service: String = notice.key.name().chars().take(200).collect();
    format!("{service}.{hex}")
}

fn event(name: String, notice: &Notice, now: Timestamp) -> Event {
    let namespace = Some(notice.key.namespace().to_owned());
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: namespace.clone(),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Service".into()),
            name: Some(notice.key.name().to_owned()),
            namespace,
            uid: Some(notice.uid.to_string()),
            ..ObjectReference::default()
        },
        reason: Some(notice.reason.clone()),
        message: Some(notice.message.chars().take(MAX_MESSAGE).collect()),
        type_: Some(if notice.warning { "Warning" } else { "Normal" }.into()),
        source: Some(EventSource { component: Some(names::EVENT_SOURCE.into()), host: None }),
        reporting_component: Some(names::EVENT_SOURCE.into()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}
