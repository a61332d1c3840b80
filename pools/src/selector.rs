//! Label selectors.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A Kubernetes `LabelSelector`: every requirement must hold. The empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Labels that must have these values (`matchLabels`).
    pub labels: Labels,
    /// What else must hold (`matchExpressions`).
    pub requirements: Vec<Requirement>,
}

/// One of the `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What must hold of it.
    pub operator: Operator,
}

/// What must hold of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It has one of these values.
    In(BTreeSet<String>),
    /// It has none of these values, or is absent.
    NotIn(BTreeSet<String>),
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl Selector {
    /// Whether an object of these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let equal = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.labels.iter().all(equal) && self.requirements.iter().all(|r| r.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn every_requirement_must_hold() {
        let requirement = |key: &str, operator| Requirement { key: key.to_owned(), operator };
        let values = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect();
        let selector = Selector {
            labels: labels(&[("app", "web")]),
            requirements: vec![
                requirement("tier", Operator::In(values(&["front", "edge"]))),
                requirement("stage", Operator::NotIn(values(&["test"]))),
                requirement("team", Operator::Exists),
                requirement("legacy", Operator::DoesNotExist),
            ],
        };
        let full = [("app", "web"), ("tier", "edge"), ("team", "a")];
        assert!(selector.matches(&labels(&full)));
        for spoiled in [("app", "db"), ("tier", "back"), ("stage", "test"), ("legacy", "")] {
            let mut spoiled_labels = labels(&full);
            spoiled_labels.extend(labels(&[spoiled]));
            assert!(!selector.matches(&spoiled_labels), "{spoiled:?}");
        }
        assert!(!selector.matches(&labels(&full[..2])), "team is missing");
        assert!(Selector::default().matches(&labels(&[])));
    }
}
