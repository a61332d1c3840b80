//! The tests that pages name are there.
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

/// A page, where its tests are, and how many it names at least.
const PAGES: [(&str, &[&str], usize); 2] = [
    ("ovsdb-conformance.md", &["ovn-client/src", "ovn-client/tests", "tests/tests/ovsdb"], 60),
    ("addresses-conformance.md", &["pools/tests"], 14),
];

#[test]
fn every_test_that_a_table_names_exists() {
    for (page, folders, least) in PAGES {
        let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
        let sources: String = folders.iter().map(|folder| sources(&root().join(folder))).collect();
        let names = named(&text);
        assert!(names.len() > least, "{page}: only {} are named", names.len());
        for name in names {
            assert!(sources.contains(&format!("fn {name}(")), "{page}: {name} is not there");
        }
    }
}
