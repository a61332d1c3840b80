//! The tests that `docs/ovsdb-conformance.md` names are there.
#![cfg(test)]

use std::path::{Path, PathBuf};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The source files below a folder, one after the other.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &std::fs::read_to_string(path).unwrap();
        }
    }
    text
}

/// What stands between backticks in the last column of the table.
fn named(page: &str) -> Vec<&str> {
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let ours = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let quoted = ours.flat_map(|column| column.split('`').skip(1).step_by(2));
    quoted.filter(|name| name.contains('_')).collect()
}

#[test]
fn every_test_that_the_table_names_exists() {
    let page = std::fs::read_to_string(root().join("docs/ovsdb-conformance.md")).unwrap();
    let folders = ["ovn-client/src", "ovn-client/tests", "tests/tests/ovsdb"];
    let sources: String = folders.iter().map(|folder| sources(&root().join(folder))).collect();
    let names = named(&page);
    assert!(names.len() > 60, "only {} are named", names.len());
    for name in names {
        assert!(sources.contains(&format!("fn {name}(")), "{name} is not there");
    }
}
