//! Somebody else in the tenant who writes the same status: put right once, then told, then left
//! alone for a while. Two controllers that correct each other would keep both API servers busy for
//! ever.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use serde_json::Value;

use crate::ids::ServiceKey;

/// How long a contended status is left alone, and how long a correction is remembered.
const PATIENCE: Duration = Duration::from_secs(300);

/// What may be done about a status that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write it.
    Write,
    /// It was put right before and is wrong again: write it, and tell the tenant.
    WriteAndTell,
    /// Leave it until this moment (monotonic).
    LeaveUntil(Duration),
}

/// The last patch of each Service.
#[derive(Debug, Default)]
pub(super) struct Contention(BTreeMap<ServiceKey, Last>);

#[derive(Debug)]
struct Last {
    patch: u64,
    corrections: u32,
    since: Duration,
}

impl Contention {
    /// Judges a patch. One that differs from the last is news of ours and always written.
    pub(super) fn judge(&mut self, key: &ServiceKey, patch: &Value, now: Duration) -> Verdict {
        let fresh = Last { patch: fingerprint(patch), corrections: 0, since: now };
        let Some(last) = self.0.get_mut(key) else {
            self.0.insert(key.clone(), fresh);
            return Verdict::Write;
        };
        if last.patch != fresh.patch || now >= last.since + PATIENCE {
            *last = fresh;
            return Verdict::Write;
        }
        last.corrections += 1;
        match last.corrections {
            1 => Verdict::Write,
            2 => {
                last.since = now;
                Verdict::WriteAndTell
            }
            _ => Verdict::LeaveUntil(last.since + PATIENCE),
        }
    }

    /// Forgets a Service that is gone.
    pub(super) fn forget(&mut self, key: &ServiceKey) {
        self.0.remove(key);
    }
}

/// What a patch says, apart from when its conditions changed.
fn fingerprint(patch: &Value) -> u64 {
    let mut patch = patch.clone();
    let conditions = patch.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        condition.remove("lastTransitionTime");
    }
    let mut hasher = DefaultHasher::new();
    patch.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(contention: &mut Contention, patch: &str, seconds: u64) -> Verdict {
        let key = "a/default/web".parse().unwrap();
        contention.judge(&key, &json!(patch), Duration::from_secs(seconds))
    }

    #[test]
    fn a_status_overwritten_again_and_again_is_put_right_twice_and_then_left_alone() {
        let mut contention = Contention::default();
        assert_eq!(judge(&mut contention, "a", 0), Verdict::Write);
        assert_eq!(judge(&mut contention, "a", 1), Verdict::Write);
        assert_eq!(judge(&mut contention, "a", 2), Verdict::WriteAndTell);
        let left = Verdict::LeaveUntil(Duration::from_secs(302));
        assert_eq!(judge(&mut contention, "a", 3), left);
        assert_eq!(judge(&mut contention, "a", 301), left);
        assert_eq!(judge(&mut contention, "a", 302), Verdict::Write);
    }

    #[test]
    fn news_of_ours_is_written_whatever_was_before() {
        let mut contention = Contention::default();
        for second in 0..4 {
            judge(&mut contention, "a", second);
        }
        assert_eq!(judge(&mut contention, "b", 5), Verdict::Write);
        assert_eq!(judge(&mut contention, "a", 6), Verdict::Write);
    }
}
