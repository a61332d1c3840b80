//! Loads rules into a namespace with the `nft` program.

use std::ffi::OsString;
use std::io;

use crate::netns::Namespace;
use crate::program::Program;

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
}
