//! Programs of others that do what the kernel or a daemon wants told by them. Each run is bounded
//! in time, and what it says in length.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::netns::Namespace;

/// How long a program may take; ten thousand addresses take `nft` a fraction of a second.
const MOST: Duration = Duration::from_secs(20);
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(1);
/// So much of what it says is read.
const SAID: u64 = 1 << 20;

/// A program: the words that start it.
#[derive(Clone, Debug)]
pub(crate) struct Program(Vec<OsString>);

impl Program {
    /// Started with these words, to which arguments are added.
    pub(crate) const fn new(words: Vec<OsString>) -> Self {
        Self(words)
    }

    /// Runs it with an input, in a namespace or where we are; gives what it says.
    ///
    /// # Errors
    /// What it complains of; or it cannot be started, or does not end.
    pub(crate) fn run(
        &self,
        namespace: Option<&Namespace>,
        args: &[&str],
        input: &str,
    ) -> io::Result<String> {
        self.run_within(MOST, namespace, args, input)
    }

    /// The same, with another time in which it has to end.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub(crate) fn run_within(
        &self,
        most: Duration,
        namespace: Option<&Namespace>,
        args: &[&str],
        input: &str,
    ) -> io::Result<String> {
        let name = self.name();
        // Not pipes: neither side waits for the other.
        let mut told = scratch()?;
        told.write_all(input.as_bytes())?;
        told.rewind()?;
        let (said, complained) = (scratch()?, scratch()?);
        let mut words = self.0.iter();
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no program is named");
        let mut command = Command::new(words.next().ok_or_else(missing)?);
        command.args(words).args(args).stdin(told);
        command.stdout(said.try_clone()?).stderr(complained.try_clone()?);
        // A child is in the namespace of the thread that starts it.
        let child = match namespace {
            Some(namespace) => namespace.run(move || command.spawn()),
            None => command.spawn(),
        };
        let child = child
            .map_err(|error| io::Error::new(error.kind(), format!("start {name}: {error}")))?;
        if ends(child, &name, most)? {
            return read(said);
        }
        Err(io::Error::other(format!("{name}: {}", read(complained)?.trim())))
    }

    /// Its name, for messages: that of the last word, since others may start it.
    fn name(&self) -> String {
        let last = self.0.last().map(Path::new).and_then(Path::file_name);
        last.unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn scratch() -> io::Result<File> {
    let name = CString::new("program").map_err(io::Error::other)?;
    Ok(memfd_create(name.as_c_str(), MFdFlags::MFD_CLOEXEC)?.into())
}

fn read(mut from: File) -> io::Result<String> {
    let mut said = Vec::new();
    from.rewind()?;
    from.take(SAID).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Waits for a child; whether it succeeded.
fn ends(mut child: Child, name: &str, most: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if begun.elapsed() > most {
            child.kill()?;
            child.wait()?;
            let text = format!("{name} did not end within {most:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(words: &[&str]) -> Program {
        Program::new(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn a_program_is_told_its_input_and_gives_what_it_says() {
        assert_eq!(program(&["cat"]).run(None, &["-"], "a line\n").unwrap(), "a line\n");
    }

    #[test]
    fn a_program_that_fails_is_named_with_what_it_complains_of() {
        let failed =
            program(&["env", "sh"]).run(None, &["-c", "echo no such bridge >&2; exit 1"], "");
        assert_eq!(failed.unwrap_err().to_string(), "sh: no such bridge");
        let missing = program(&["/nowhere/ovs-vsctl"]).run(None, &[], "").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().starts_with("start ovs-vsctl: "), "{missing}");
        assert!(program(&[]).run(None, &[], "").is_err());
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let soon = Duration::from_millis(20);
        let hangs = program(&["sleep", "600"]).run_within(soon, None, &[], "").unwrap_err();
        assert_eq!(hangs.to_string(), "600 did not end within 20ms");
        assert_eq!(hangs.kind(), io::ErrorKind::TimedOut);
    }
}
