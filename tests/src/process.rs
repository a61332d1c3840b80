//! A component as a process that can be stopped, killed, paused and started again.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::exec::Exec;

/// How long a process may take to end after SIGTERM before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// One component. Dropping it kills the process and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    exec: Exec,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts `exec`; what it prints is appended to the file `log`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: impl Into<String>, exec: Exec, log: impl Into<PathBuf>) -> Result<Self> {
        let process = Self { name: name.into(), exec, log: log.into(), child: Mutex::new(None) };
        process.start_again()?;
        Ok(process)
    }

    /// Starts the same command again after [`kill`](Self::kill) or [`stop`](Self::stop).
    ///
    /// # Errors
    /// When it still runs or cannot be started.
    pub fn start_again(&self) -> Result<()> {
        if self.alive() {
            bail!("{} runs already", self.name);
        }
        if let Some(dir) = self.log.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let child = self
            .exec
            .command()?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}: {}", self.name, self.exec.line()))?;
        *self.lock() = Some(child);
        Ok(())
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds what the process printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process identifier inside the sandbox, if the process runs.
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_mut().and_then(|child| match child.try_wait() {
            Ok(None) => Some(child.id()),
            Ok(Some(_)) | Err(_) => None,
        })
    }

    /// Whether the process runs (a paused one does).
    pub fn alive(&self) -> bool {
        self.pid().is_some()
    }

    /// Whether the process is stopped by [`pause`](Self::pause).
    pub fn paused(&self) -> bool {
        let tasks = self.pid().map(|pid| format!("/proc/{pid}/task"));
        tasks.is_some_and(|tasks| all_stopped(&tasks).unwrap_or(false))
    }

    /// SIGSTOP: the process keeps its sockets and answers nothing. Returns when each of its threads
    /// has stopped: the signal alone leaves them running for a moment.
    ///
    /// # Errors
    /// When it does not run, or does not stop within 10 s.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        let tasks = format!("/proc/{}/task", self.pid().context("it does not run")?);
        let end = Instant::now() + Duration::from_secs(10);
        while !all_stopped(&tasks)? {
            ensure!(Instant::now() < end, "{} does not stop", self.name);
            std::thread::yield_now();
        }
        Ok(())
    }

    /// SIGCONT: ends a [`pause`](Self::pause).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// When the process does not end.
    pub async fn kill(&self) -> Result<()> {
        if self.alive() {
            self.signal(Signal::SIGKILL)?;
        }
        self.ended(PATIENCE).await
    }

    /// SIGTERM, and waits for the end; what is deaf to it for 10 s is killed.
    ///
    /// # Errors
    /// When the process does not end.
    pub async fn stop(&self) -> Result<()> {
        if self.alive() {
            self.signal(Signal::SIGCONT)?;
            self.signal(Signal::SIGTERM)?;
        }
        match self.ended(PATIENCE).await {
            Ok(()) => Ok(()),
            Err(_) => self.kill().await,
        }
    }

    /// [`stop`](Self::stop) and [`start_again`](Self::start_again).
    ///
    /// # Errors
    /// When either fails.
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start_again()
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// When it still runs after `deadline`.
    pub async fn ended(&self, deadline: Duration) -> Result<()> {
        let begin = Instant::now();
        while self.alive() {
            if begin.elapsed() > deadline {
                bail!("{} still runs after {deadline:?}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The last lines of the log, for messages.
    pub fn last_lines(&self, count: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.name))?;
        kill(Pid::from_raw(i32::try_from(pid)?), signal)
            .with_context(|| format!("send {signal} to {}", self.name))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = self.lock().as_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether every thread of that directory of `/proc` is stopped (`proc_pid_stat(5)`, state `T`).
fn all_stopped(tasks: &str) -> Result<bool> {
    for task in std::fs::read_dir(tasks)? {
        // A thread that has just ended is none that runs; the next look will tell.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else { return Ok(false) };
        if !stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}
