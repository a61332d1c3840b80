//! Commands, and the place where they run: the sandbox, the Debian root file system, a network
//! namespace, or both.

use std::ffi::OsString;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;

use crate::sandbox;

/// Where a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The sandbox itself: its management namespace and the host's files.
    Sandbox,
    /// The Debian root file system, in the management namespace.
    Root,
    /// The root file system with the older OVN, in the management namespace.
    OlderRoot,
    /// A network namespace, by name, with the host's files.
    Namespace(String),
    /// A network namespace, by name, with the Debian root file system.
    NamespaceRoot(String),
}

/// A command line with its place and environment; `program` is replaced by `exec`, so the process
/// identifier that is started is the program's own.
#[derive(Debug, Clone)]
pub struct Exec {
    place: Place,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Exec {
    /// A command without arguments.
    pub fn new(place: Place, program: impl Into<OsString>) -> Self {
        Self { place, program: program.into(), args: Vec::new(), env: Vec::new() }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable of the environment.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// The program and its arguments, for messages.
    pub fn line(&self) -> String {
        let mut line = self.program.to_string_lossy().into_owned();
        for arg in &self.args {
            line.push(' ');
            line.push_str(&arg.to_string_lossy());
        }
        line
    }

    /// The command as the standard library starts it.
    ///
    /// # Errors
    /// Outside of a sandbox.
    pub fn command(&self) -> Result<std::process::Command> {
        let sandbox = sandbox::current()?;
        let root = &sandbox.root;
        let mut command = std::process::Command::new("nsenter");
        match &self.place {
            Place::Sandbox => command = std::process::Command::new(&self.program),
            Place::Root => {
                command = std::process::Command::new("chroot");
                command.arg(root).arg(&self.program);
            }
            Place::OlderRoot => {
                let older = sandbox.older.as_ref().context("the older OVN is not there")?;
                command = std::process::Command::new("chroot");
                command.arg(older).arg(&self.program);
            }
            Place::Namespace(name) => {
                command.arg(format!("--net=/run/netns/{name}")).arg("--").arg(&self.program);
            }
            Place::NamespaceRoot(name) => {
                command.arg(format!("--net=/run/netns/{name}"));
                command.arg(format!("--root={}", root.display())).arg("--wd=/");
                command.arg("--").arg(&self.program);
            }
        }
        command.args(&self.args).envs(self.env.iter().map(|(k, v)| (k, v)));
        Ok(command)
    }

    /// Runs the command to its end and returns its standard output.
    ///
    /// # Errors
    /// When it cannot be started or exits with a failure (the message holds its output).
    pub async fn output(&self) -> Result<String> {
        self.output_with_input("").await
    }

    /// Runs the command with `input` on its standard input and returns its standard output.
    ///
    /// # Errors
    /// When it cannot be started or exits with a failure (the message holds its output).
    pub async fn output_with_input(&self, input: &str) -> Result<String> {
        let mut command = tokio::process::Command::from(self.command()?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", self.line()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading its input says why by its exit status.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.with_context(|| self.line())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{}: {}: {}{}", self.line(), output.status, text, errors.trim());
        }
        Ok(text)
    }
}
