//! Label selectors, bounded.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Chooses objects by their labels; all terms must hold, and there must be one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.matchLabels) && self.matchLabels.size() > 0) || \
             (has(self.matchExpressions) && self.matchExpressions.size() > 0)",
    "message": "a selector needs at least one term in matchLabels or matchExpressions"
}]))]
pub struct Selector {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Terms that are more than equality.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<Requirement>,
}

/// One term of a selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    pub operator: Operator,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::label_values")]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl From<&Selector> for LabelSelector {
    fn from(selector: &Selector) -> Self {
        let expressions = selector.match_expressions.iter().map(|term| LabelSelectorRequirement {
            key: term.key.clone(),
            operator: format!("{:?}", term.operator),
            values: Some(term.values.clone()).filter(|values| !values.is_empty()),
        });
        Self {
            match_labels: Some(selector.match_labels.clone()).filter(|labels| !labels.is_empty()),
            match_expressions: Some(expressions.collect::<Vec<_>>()).filter(|terms| !terms.is_empty()),
        }
    }
}

impl std::fmt::Display for Selector {
    /// As `kubectl -l` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let equal = self.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let terms = self.match_expressions.iter().map(|term| match term.operator {
            Operator::In => format!("{} in ({})", term.key, term.values.join(",")),
            Operator::NotIn => format!("{} notin ({})", term.key, term.values.join(",")),
            Operator::Exists => term.key.clone(),
            Operator::DoesNotExist => format!("!{}", term.key),
        });
        f.write_str(&equal.chain(terms).collect::<Vec<_>>().join(","))
    }
}
