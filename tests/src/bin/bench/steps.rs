//! Where the time of a Service went, read from the product's own log of steps.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;

/// What the log tells of one Service.
#[derive(Debug, Default)]
struct Course {
    seen: Option<Timestamp>,
    granted: Option<Timestamp>,
    asked: Option<Timestamp>,
    /// Times between which the product waited for a server.
    waits: Vec<(Timestamp, Timestamp)>,
    published: Option<Timestamp>,
}

/// The product's own share of each Service's way to its address: all the time from the first sight
/// of it to the answered status patch in which the product waited for nobody.
pub(crate) fn own_shares(log: &Path, prefix: &str) -> Result<Vec<Duration>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("{}", log.display()))?;
    let mut courses: BTreeMap<String, Course> = BTreeMap::new();
    let mut jobs: BTreeMap<u64, (String, String, Timestamp)> = BTreeMap::new();
    for line in text.lines() {
        let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
        if entry.get("target").and_then(Value::as_str) == Some("cpo::steps") {
            note(&entry, &mut courses, &mut jobs);
        }
    }
    let ours = courses.iter().filter(|(service, _)| service.contains(prefix));
    Ok(ours.filter_map(|(_, course)| share(course)).collect())
}

fn note(
    entry: &Value,
    courses: &mut BTreeMap<String, Course>,
    jobs: &mut BTreeMap<u64, (String, String, Timestamp)>,
) {
    let time = entry.get("timestamp").and_then(Value::as_str).and_then(|t| t.parse().ok());
    let Some(time) = time else { return };
    let field = |name: &str| entry.pointer(&format!("/fields/{name}"));
    let text = |name: &str| field(name).and_then(Value::as_str).map(str::to_owned);
    let job = field("job").and_then(Value::as_u64).unwrap_or_default();
    match text("message").as_deref() {
        Some("service seen") => {
            let course = courses.entry(text("service").unwrap_or_default()).or_default();
            course.seen.get_or_insert(time);
        }
        Some("granted") => {
            let course = courses.entry(text("service").unwrap_or_default()).or_default();
            course.granted.get_or_insert(time);
        }
        Some("begun") => {
            if let (Some(service), Some(name)) = (text("service"), text("name")) {
                jobs.insert(job, (service, name, time));
            }
        }
        Some("ended") => {
            let Some((service, name, begun)) = jobs.remove(&job) else { return };
            let course = courses.entry(service).or_default();
            if course.published.is_some() {
                return;
            }
            course.waits.push((begun, time));
            match name.as_str() {
                "create-ovn-eip" => course.asked = Some(time),
                "patch-service" if course.granted.is_some() => course.published = Some(time),
                _ => {}
            }
        }
        _ => {}
    }
}

fn share(course: &Course) -> Option<Duration> {
    let (seen, published) = (course.seen?, course.published?);
    let mut waits = course.waits.clone();
    // Kube-OVN grants while the product waits for it.
    waits.extend(course.asked.zip(course.granted).filter(|(asked, granted)| asked < granted));
    waits.sort_unstable();
    let mut own = published.duration_since(seen);
    let mut end = seen;
    for (from, to) in waits {
        let (from, to) = (from.max(end), to.min(published));
        if to > from {
            own -= to.duration_since(from);
            end = to;
        }
    }
    Duration::try_from(own).ok()
}
