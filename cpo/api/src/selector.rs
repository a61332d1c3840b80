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
