//! Damaged sessions and updates, for a bounded number of rounds: what a coverage-guided fuzzer
//! does for hours (`fuzz/`), on the same targets and from the same corpus.
//!
//! Each round takes an entry of the corpus, damages it and runs the target. The damage is drawn
//! from the number of the round, so that a failure is found again; its input is printed, and
//! belongs into the corpus once the cause is mended.
#![cfg(test)]

mod mutate;
mod targets;

use std::path::{Path, PathBuf};

/// Rounds of each target: some twenty seconds of a debug build.
mod rounds {
    pub(crate) const DECODE: u64 = 200_000;
    pub(crate) const UPDATES: u64 = 60_000;
    pub(crate) const RECORDED: u64 = 16_000;
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The files of a folder of `tests`, in the order of their names; none if it is not there.
fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = tests().join(folder);
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// What the servers said in the recordings of clients that knew nothing before.
fn recordings() -> Vec<Vec<u8>> {
    let said = |name: &&str| -> Vec<u8> {
        let recording = std::fs::read(tests().join("recordings").join(name)).unwrap();
        let lines = recording.split_inclusive(|byte| *byte == b'\n');
        lines.filter_map(|line| line.strip_prefix(b"< ")).collect::<Vec<_>>().concat()
    };
    ["clustered", "standalone"].iter().map(said).collect()
}

fn fuzz(name: &str, mut corpus: Vec<Vec<u8>>, rounds: u64, target: fn(&[u8])) {
    corpus.extend(files(&format!("fuzz/corpus/{name}")));
    assert!(!corpus.is_empty(), "no corpus of {name}");
    // As they are, they belong to the specification.
    corpus.iter().for_each(|entry| target(entry));
    for round in 0..rounds {
        let input = mutate::input(&corpus, round);
        let survived = std::panic::catch_unwind(|| target(&input));
        assert!(survived.is_ok(), "round {round}: {:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn no_stream_of_a_server_panics_the_session_or_breaks_the_replica() {
    fuzz("decode", Vec::new(), rounds::DECODE, targets::decode);
}

#[test]
fn what_an_update_is_told_to_change_is_what_it_changed() {
    fuzz("updates", Vec::new(), rounds::UPDATES, targets::updates);
}

#[test]
fn no_damage_to_the_stream_of_a_real_server_panics_the_session_or_breaks_the_replica() {
    let recordings = recordings();
    assert!(recordings.iter().all(|recording| targets::recorded(recording) > 0), "it ends early");
    fuzz("recorded", recordings, rounds::RECORDED, |bytes| {
        targets::recorded(bytes);
    });
}
