//! Loads rules into a namespace with the `nft` program, and reads what they counted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::time::Duration;

use serde::Deserialize;

use crate::netns::Namespace;
use crate::program::Program;

/// How long it may take to list counters, for which somebody waits.
const LISTING: Duration = Duration::from_secs(2);

/// The `nft` program: the words that start it.
#[derive(Clone, Debug)]
pub struct Nft(Program);

impl Nft {
    /// Started with these words, to which arguments are added.
    #[must_use]
    pub const fn new(words: Vec<OsString>) -> Self {
        Self(Program::new(words))
    }

    /// Runs a script in a namespace: all of it, or none.
    ///
    /// # Errors
    /// What `nft` says; or it cannot be started, or does not end.
    pub fn run(&self, namespace: &Namespace, script: &str) -> io::Result<()> {
        self.0.run(Some(namespace), &["-f", "-"], script).map(drop)
    }

    /// The packets that the counters of a table have counted, by their names; where several families
    /// have such a table, all of them together.
    ///
    /// # Errors
    /// As of [`run`](Self::run), or `nft` says something else.
    pub fn counters(
        &self,
        namespace: &Namespace,
        table: &str,
    ) -> io::Result<BTreeMap<String, u64>> {
        let args = ["-j", "list", "counters"];
        let listed = self.0.run_within(LISTING, Some(namespace), &args, "")?;
        counted(&listed, table)
    }
}

/// What `nft` lists (`libnftables-json(5)`), as far as it is read.
#[derive(Deserialize)]
struct Listed {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    counter: Option<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    table: String,
    name: String,
    packets: u64,
}

fn counted(listed: &str, table: &str) -> io::Result<BTreeMap<String, u64>> {
    let listed: Listed = serde_json::from_str(listed)?;
    let mut counted = BTreeMap::new();
    let counters = listed.nftables.into_iter().filter_map(|item| item.counter);
    for counter in counters.filter(|counter| counter.table == table) {
        *counted.entry(counter.name).or_default() += counter.packets;
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_both_families_are_taken_together_and_those_of_others_left_out() {
        let counter = |family: &str, table: &str, name: &str, packets: u64| {
            format!(
                r#"{{"counter": {{"family": "{family}", "name": "{name}", "table": "{table}",
                "handle": 7, "comment": "what it counts", "packets": {packets}, "bytes": 60}}}}"#
            )
        };
        let all = [
            r#"{"metainfo": {"version": "1.1.3", "json_schema_version": 1}}"#.to_owned(),
            counter("ip", "ours", "refused", 2),
            counter("ip6", "ours", "refused", 3),
            counter("ip", "ours", "errors", 0),
            counter("ip", "theirs", "refused", 4),
        ];
        let listed = format!(r#"{{"nftables": [{}]}}"#, all.join(", "));
        let expected = [("errors".to_owned(), 0), ("refused".to_owned(), 5)].into();
        assert_eq!(counted(&listed, "ours").unwrap(), expected);
        assert!(counted("no such file", "ours").is_err());
    }
}
