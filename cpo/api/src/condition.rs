//! Conditions in the shape of `metav1.Condition`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One observation of an object's state (`k8s.io/apimachinery`, `metav1.Condition`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// CamelCase name, unique among the object's conditions.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// CamelCase word for the cause of the last transition.
    pub reason: String,
    /// For a person: what is the matter and what to do.
    #[serde(default)]
    pub message: String,
    /// RFC 3339 time at which `status` changed last.
    pub last_transition_time: String,
    /// The `metadata.generation` the condition was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Tri-state of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// `desired` with the transition times of `observed` where the status did not change.
#[must_use]
pub fn merge_conditions(observed: &[Condition], mut desired: Vec<Condition>) -> Vec<Condition> {
    for condition in &mut desired {
        let before = observed.iter().find(|o| o.type_ == condition.type_);
        if let Some(before) = before.filter(|o| o.status == condition.status) {
            condition.last_transition_time.clone_from(&before.last_transition_time);
        }
    }
    desired
}

/// Whether two lists differ in anything but the transition times.
#[must_use]
pub fn conditions_differ(observed: &[Condition], desired: &[Condition]) -> bool {
    let same = |a: &Condition, b: &Condition| {
        (&a.type_, a.status, &a.reason, &a.message, a.observed_generation)
            == (&b.type_, b.status, &b.reason, &b.message, b.observed_generation)
    };
    observed.len() != desired.len() || !desired.iter().all(|d| observed.iter().any(|o| same(o, d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(status: bool, message: &str, time: &str) -> Condition {
        Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: "Because".into(),
            message: message.into(),
            last_transition_time: time.into(),
            observed_generation: None,
        }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let observed = [condition(true, "a", "then")];
        let kept = merge_conditions(&observed, vec![condition(true, "b", "now")]);
        assert_eq!(kept[0].last_transition_time, "then");
        let moved = merge_conditions(&observed, vec![condition(false, "b", "now")]);
        assert_eq!(moved[0].last_transition_time, "now");
    }

    #[test]
    fn times_alone_are_no_difference() {
        let then = [condition(true, "a", "then")];
        assert!(!conditions_differ(&then, &[condition(true, "a", "now")]));
        assert!(conditions_differ(&then, &[condition(true, "b", "then")]));
        assert!(conditions_differ(&then, &[]));
    }
}
