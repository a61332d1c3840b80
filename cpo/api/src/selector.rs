//! Label selectors in the shape of `metav1.LabelSelector`.

use std::collections::BTreeMap;

use pools::Operator;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Selects objects by their labels: every requirement must hold; the empty selector selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that must have these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelExpression>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelExpression {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// With what; only for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// It has one of the values.
    In,
    /// It has none of the values, or is absent.
    NotIn,
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// What of it cannot be meant so, as the API server would refuse it in objects of its own.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let mut expressions = self.match_expressions.iter().enumerate();
        expressions.find_map(|(i, LabelExpression { key, operator, values })| {
            let (wrong, remedy) = match operator {
                LabelOperator::In | LabelOperator::NotIn => (values.is_empty(), "name some"),
                LabelOperator::Exists | LabelOperator::DoesNotExist => {
                    (!values.is_empty(), "take them out")
                }
            };
            let what = if values.is_empty() { "without values" } else { "with values" };
            wrong.then(|| {
                format!("matchExpressions[{i}]: {operator:?} {what} for label {key}: {remedy}")
            })
        })
    }
}

impl From<LabelSelector> for pools::Selector {
    fn from(selector: LabelSelector) -> Self {
        Self {
            labels: selector.match_labels,
            requirements: selector.match_expressions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<LabelExpression> for pools::Requirement {
    fn from(expression: LabelExpression) -> Self {
        let values = expression.values.into_iter().collect();
        let operator = match expression.operator {
            LabelOperator::In => Operator::In(values),
            LabelOperator::NotIn => Operator::NotIn(values),
            LabelOperator::Exists => Operator::Exists,
            LabelOperator::DoesNotExist => Operator::DoesNotExist,
        };
        Self { key: expression.key, operator }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_that_cannot_be_meant_so_is_named() {
        let by = |operator, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let expression = LabelExpression { key: "rack".to_owned(), operator, values };
            let match_expressions = vec![expression];
            LabelSelector { match_expressions, ..LabelSelector::default() }.fault()
        };
        let (some, none): (&[&str], &[&str]) = (&["r1"], &[]);
        for (operator, right, wrong) in [
            (LabelOperator::In, some, none),
            (LabelOperator::NotIn, some, none),
            (LabelOperator::Exists, none, some),
            (LabelOperator::DoesNotExist, none, some),
        ] {
            assert_eq!(by(operator, right), None);
            let fault = by(operator, wrong).unwrap();
            assert!(fault.starts_with("matchExpressions[0]: "), "{fault}");
            assert!(fault.contains("for label rack: "), "{fault}");
        }
    }
}
