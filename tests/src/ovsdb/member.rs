//! One ovsdb-server with one database, alone or as a member of a cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::release::Release;
use crate::ovn::answers;
use crate::process::Process;
use crate::space::{self, Space};
use crate::wait;

/// How long a server may take to follow.
const FOLLOWS: Duration = Duration::from_secs(30);

/// How clients reach a server over the network.
#[derive(Debug, Clone, Default)]
pub enum Listen {
    /// In the clear.
    #[default]
    Tcp,
    /// With TLS; clients have to show a certificate of the authority.
    Tls {
        /// PEM files: the authority's certificate, the server's, and its key.
        files: [PathBuf; 3],
        /// Versions, as `--ssl-protocols` takes them; empty for the server's own choice.
        protocols: &'static str,
    },
}

/// One ovsdb-server with one database.
#[derive(Debug)]
pub struct Member {
    process: Process,
    release: Release,
    database: &'static str,
    file: PathBuf,
    socket: PathBuf,
    control: PathBuf,
    port: u16,
    tls: bool,
}

/// Where a member keeps its things, before it has any.
pub(super) struct Plan {
    pub(super) name: String,
    dir: PathBuf,
    log: PathBuf,
    port: u16,
    release: Release,
    database: &'static str,
}

impl Plan {
    pub(super) fn new(
        release: Release,
        space: &Space,
        name: &str,
        database: &'static str,
    ) -> Result<Self> {
        let dir = space.data().join("ovsdb");
        std::fs::create_dir_all(&dir)?;
        let log = space.dir().join(format!("ovsdb/{name}.log"));
        Ok(Self { name: name.to_owned(), dir, log, port: space::port(), release, database })
    }

    pub(super) fn file(&self, ending: &str) -> PathBuf {
        self.dir.join(format!("{}.{ending}", self.name))
    }

    pub(super) async fn start(self, listen: &Listen) -> Result<Member> {
        let (file, socket, control) = (self.file("db"), self.file("sock"), self.file("ctl"));
        let release = self.release;
        let mut exec = release
            .exec("ovsdb-server")
            .arg(&file)
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", control.display()))
            .args(["--no-chdir", "-vconsole:info", "-vsyslog:off", "-vfile:off"]);
        let port = self.port;
        exec = match listen {
            Listen::Tcp => exec.arg(format!("--remote=ptcp:{port}:127.0.0.1")),
            Listen::Tls { files: [authority, certificate, key], protocols } => {
                let exec = exec
                    .arg(format!("--remote=pssl:{port}:127.0.0.1"))
                    .arg(format!("--ca-cert={}", authority.display()))
                    .arg(format!("--certificate={}", certificate.display()))
                    .arg(format!("--private-key={}", key.display()));
                match *protocols {
                    "" => exec,
                    protocols => exec.arg(format!("--ssl-protocols={protocols}")),
                }
            }
        };
        let process = Process::start(format!("ovsdb-server {}", self.name), exec, self.log)?;
        answers(&socket).await?;
        let tls = matches!(listen, Listen::Tls { .. });
        Ok(Member { process, release, database: self.database, file, socket, control, port, tls })
    }
}

impl Member {
    /// A server of its own with an empty database of this schema.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn standalone(
        space: &Space,
        name: &str,
        schema: &Path,
        listen: &Listen,
    ) -> Result<Self> {
        Self::of(Release::Current, space, name, schema, listen).await
    }

    /// As [`standalone`](Self::standalone), of a release.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn of(
        release: Release,
        space: &Space,
        name: &str,
        schema: &Path,
        listen: &Listen,
    ) -> Result<Self> {
        let plan = Plan::new(release, space, name, super::NORTHBOUND)?;
        create(release, &plan.file("db"), schema).await?;
        plan.start(listen).await
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `tcp:127.0.0.1:<port>`, or `ssl:`.
    pub fn endpoint(&self) -> String {
        format!("{}:127.0.0.1:{}", if self.tls { "ssl" } else { "tcp" }, self.port)
    }

    /// `unix:<path>`.
    pub fn socket(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it (SIGKILL), starts it again and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not end or start.
    pub async fn kill_and_start(&self) -> Result<()> {
        self.process.kill().await?;
        self.start_again().await
    }

    /// Starts it again after it was killed, and waits until it takes connections.
    ///
    /// # Errors
    /// When it still runs or does not start.
    pub async fn start_again(&self) -> Result<()> {
        self.process.start_again()?;
        answers(&self.socket).await
    }

    pub(super) fn release(&self) -> Release {
        self.release
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Replaces its database by an empty one of this schema, as an operator would who gives it up.
    ///
    /// # Errors
    /// When it does not end or start.
    pub async fn recreate(&self, schema: &Path) -> Result<()> {
        self.process.kill().await?;
        std::fs::remove_file(&self.file)?;
        create(self.release, &self.file, schema).await?;
        self.start_again().await
    }

    /// Removes the database while the server runs, and adds an empty one of this schema.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn remove_and_add(&self, schema: &Path) -> Result<()> {
        self.control(["ovsdb-server/remove-db", self.database]).await?;
        std::fs::remove_file(&self.file)?;
        create(self.release, &self.file, schema).await?;
        let file = self.file.to_string_lossy().into_owned();
        self.control(["ovsdb-server/add-db", &file]).await.map(|_| ())
    }

    /// Converts the database to another schema while the server runs.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn convert(&self, schema: &Path) -> Result<()> {
        let exec = self
            .release
            .exec("ovsdb-client")
            .args(["--timeout=20".to_owned(), "convert".to_owned(), self.socket()])
            .arg(schema);
        exec.output().await.map(|_| ())
    }

    /// Writes the database's log anew, without history.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn compact(&self) -> Result<()> {
        self.control(["ovsdb-server/compact", self.database]).await.map(|_| ())
    }

    /// Runs `ovs-appctl` on it.
    ///
    /// # Errors
    /// When it fails.
    pub async fn control<const N: usize>(&self, words: [&str; N]) -> Result<String> {
        let exec =
            self.release.exec("ovs-appctl").args(["-T", "20", "-t"]).arg(&self.control).args(words);
        exec.output().await
    }

    /// Whether it leads its cluster.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn leads(&self) -> Result<bool> {
        let status = self.control(["cluster/status", self.database]).await?;
        Ok(status.lines().any(|line| line == "Role: leader"))
    }

    /// Waits until it has joined its cluster and follows it.
    ///
    /// # Errors
    /// When it does not for 30 s.
    pub async fn joined(&self) -> Result<()> {
        wait::until("a member to have joined its cluster", FOLLOWS, || async {
            let status = self.control(["cluster/status", self.database]).await?;
            let member = status.lines().any(|line| line == "Status: cluster member");
            let follows = !status.lines().any(|line| line == "Leader: unknown");
            ensure!(member && follows, "{status}");
            Ok(())
        })
        .await
    }

    /// What the database holds.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn dump(&self) -> Result<super::Dump> {
        let exec = self
            .release
            .exec("ovsdb-client")
            .args(["--timeout=20", "--no-leader-only", "--format=json", "dump"])
            .args([self.socket(), self.database.to_owned()]);
        super::Dump::parse(&exec.output().await?).context("ovsdb-client dump")
    }
}

async fn create(release: Release, file: &Path, schema: &Path) -> Result<()> {
    let exec = release.exec("ovsdb-tool").arg("create").arg(file).arg(schema);
    exec.output().await.map(|_| ())
}
