//! Damaged sessions and updates, for a bounded number of rounds: what a coverage-guided fuzzer
//! does for hours (`fuzz/`), on the same targets and from the same corpus.
//!
//! Each round takes an entry of the corpus, damages it and runs the target. The damage is drawn
//! from the number of the round, so that a failure is found again; its input is printed, and
//! belongs into the corpus once the cause is mended.
#![cfg(test)]

mod mutate;
mod targets;

use std::path::Path;

/// Rounds of each target: some twenty seconds of a debug build.
const ROUNDS: u64 = 60_000;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn fuzz(name: &str, target: fn(&[u8])) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "no corpus of {name}");
    // As they are, they belong to the specification.
    corpus.iter().for_each(|entry| target(entry));
    for round in 0..ROUNDS {
        let input = mutate::input(&corpus, round);
        let survived = std::panic::catch_unwind(|| target(&input));
        assert!(survived.is_ok(), "round {round}: {:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn no_stream_of_a_server_panics_the_session_or_breaks_the_replica() {
    fuzz("decode", targets::decode);
}

#[test]
fn what_an_update_is_told_to_change_is_what_it_changed() {
    fuzz("updates", targets::updates);
}
