//! Nodes of the under cluster.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Name of a Node of the under cluster, on which a speaker runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

/// Not a name that Kubernetes gives an object (RFC 1123).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a Node")]
pub struct NotANode(String);

impl NodeName {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NotANode;

    fn from_str(text: &str) -> Result<Self, NotANode> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let name = (1..=253).contains(&text.len()) && text.bytes().all(fits);
        let shown = || NotANode(text.escape_default().take(253).collect());
        name.then(|| Self(text.into())).ok_or_else(shown)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_as_kubernetes_names_it() {
        let name: NodeName = "node-1.example.com".parse().unwrap();
        assert_eq!(name.to_string(), "node-1.example.com");
        for text in ["", "Node", "a/b", "a b", &"a".repeat(254)] {
            assert!(text.parse::<NodeName>().is_err(), "{text:?}");
        }
    }
}
