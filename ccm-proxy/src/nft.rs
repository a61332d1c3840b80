//! Loads rules into a namespace with the `nft` program.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use crate::netns::Namespace;

/// The `nft` program: the words that start it.
#[derive(Clone, Debug)]
pub struct Nft(Vec<OsString>);

impl Nft {
    /// Started with these words, to which arguments are added.
    #[must_use]
    pub fn new(words: Vec<OsString>) -> Self {
        Self(words)
    }

    /// Runs a script in a namespace: all of it, or none.
    ///
    /// # Errors
    /// What `nft` says; or it cannot be started.
    pub fn run(&self, namespace: &Namespace, script: &str) -> io::Result<()> {
        namespace.run(|| {
            let mut words = self.0.iter();
            let missing = || io::Error::new(io::ErrorKind::NotFound, "no nft program is named");
            let mut child = Command::new(words.next().ok_or_else(missing)?)
                .args(words)
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(script.as_bytes())?;
            }
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            let failed = || io::Error::other(format!("nft: {}", said.trim()));
            output.status.success().then_some(()).ok_or_else(failed)
        })
    }
}
