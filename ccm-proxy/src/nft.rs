//! Loads rules into a namespace with the `nft` program.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::netns::Namespace;

/// How long `nft` may take; ten thousand addresses take it a fraction of a second.
const MOST: Duration = Duration::from_secs(20);
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(1);

/// The `nft` program: the words that start it.
#[derive(Clone, Debug)]
pub struct Nft(Vec<OsString>);

impl Nft {
    /// Started with these words, to which arguments are added.
    #[must_use]
    pub const fn new(words: Vec<OsString>) -> Self {
        Self(words)
    }

    /// Runs a script in a namespace: all of it, or none.
    ///
    /// # Errors
    /// What `nft` says; or it cannot be started, or does not end.
    pub fn run(&self, namespace: &Namespace, script: &str) -> io::Result<()> {
        // Not a pipe: neither side waits for the other.
        let mut input = scratch()?;
        input.write_all(script.as_bytes())?;
        input.rewind()?;
        let mut output = scratch()?;
        let mut words = self.0.iter();
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no nft program is named");
        let mut command = Command::new(words.next().ok_or_else(missing)?);
        command.args(words).args(["-f", "-"]);
        command.stdin(input).stdout(Stdio::null()).stderr(output.try_clone()?);
        // A child is in the namespace of the thread that starts it.
        let child = namespace.run(move || command.spawn())?;
        if ends(child)? {
            return Ok(());
        }
        let mut said = String::new();
        output.rewind()?;
        output.read_to_string(&mut said)?;
        Err(io::Error::other(format!("nft: {}", said.trim())))
    }
}

fn scratch() -> io::Result<File> {
    let name = CString::new("nft").map_err(io::Error::other)?;
    Ok(memfd_create(name.as_c_str(), MFdFlags::MFD_CLOEXEC)?.into())
}

/// Waits for a child; whether it succeeded.
fn ends(mut child: Child) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if begun.elapsed() > MOST {
            child.kill()?;
            child.wait()?;
            let text = format!("nft did not end within {MOST:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        std::thread::sleep(LOOK);
    }
}
