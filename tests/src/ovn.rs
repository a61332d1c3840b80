//! OVN's central part: the Northbound and Southbound databases and ovn-northd.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::exec::{Exec, Place};
use crate::process::Process;
use crate::space::{self, Space};
use crate::wait;

/// How long a database server may take to answer.
const ANSWERS: Duration = Duration::from_secs(20);

/// The Northbound database alone or the whole central part.
#[derive(Debug)]
pub struct Ovn {
    northd: Option<Process>,
    nb: Database,
    sb: Option<Database>,
}

/// An ovsdb-server with one database, reachable by unix socket and TCP.
#[derive(Debug)]
pub struct Database {
    process: Process,
    path: PathBuf,
    port: u16,
}

impl Ovn {
    /// Starts both databases and ovn-northd.
    ///
    /// # Errors
    /// When a component does not start.
    pub async fn start(space: &Space) -> Result<Self> {
        let (nb, sb) = tokio::try_join!(
            Database::start(space, "nb", "ovn-nb"),
            Database::start(space, "sb", "ovn-sb")
        )?;
        let data = space.data().join("ovn");
        let exec = Exec::new(Place::Root, "ovn-northd")
            .arg(format!("--ovnnb-db={}", nb.socket()))
            .arg(format!("--ovnsb-db={}", sb.socket()))
            .arg(format!("--unixctl={}", data.join("northd.ctl").display()))
            .args(["-vconsole:info", "-vsyslog:off", "-vfile:off"]);
        let northd = Process::start("ovn-northd", exec, space.dir().join("ovn/northd.log"))?;
        let ovn = Self { northd: Some(northd), nb, sb: Some(sb) };
        ovn.nb(["init"]).await?;
        ovn.sb(["init"]).await?;
        Ok(ovn)
    }

    /// Starts the Northbound database alone.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_northbound(space: &Space) -> Result<Self> {
        let nb = Database::start(space, "nb", "ovn-nb").await?;
        let ovn = Self { northd: None, nb, sb: None };
        ovn.nb(["init"]).await?;
        Ok(ovn)
    }

    /// ovn-northd.
    ///
    /// # Errors
    /// When the Northbound database runs alone.
    pub fn northd(&self) -> Result<&Process> {
        self.northd.as_ref().context("ovn-northd does not run in this lab")
    }

    /// The Northbound database.
    pub fn northbound(&self) -> &Database {
        &self.nb
    }

    /// The Southbound database.
    ///
    /// # Errors
    /// When the Northbound database runs alone.
    pub fn southbound(&self) -> Result<&Database> {
        self.sb.as_ref().context("the Southbound database does not run in this lab")
    }

    /// Runs `ovn-nbctl` and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub async fn nb<I, S>(&self, args: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: Into<std::ffi::OsString>,
    {
        control("ovn-nbctl", &self.nb, args).await
    }

    /// Runs `ovn-sbctl` and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub async fn sb<I, S>(&self, args: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: Into<std::ffi::OsString>,
    {
        control("ovn-sbctl", self.southbound()?, args).await
    }
}

impl Database {
    async fn start(space: &Space, name: &str, schema: &str) -> Result<Self> {
        let data = space.data().join("ovn");
        std::fs::create_dir_all(&data)?;
        let file = data.join(format!("{name}.db"));
        Exec::new(Place::Root, "ovsdb-tool")
            .args(["create".into(), file.clone().into_os_string()])
            .arg(format!("/usr/share/ovn/{schema}.ovsschema"))
            .output()
            .await?;
        let port = space::port();
        let socket = data.join(format!("{name}.sock"));
        let exec = Exec::new(Place::Root, "ovsdb-server")
            .arg(&file)
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--remote=ptcp:{port}:127.0.0.1"))
            .arg(format!("--unixctl={}", data.join(format!("{name}.ctl")).display()))
            .args(["--no-chdir", "-vconsole:info", "-vsyslog:off", "-vfile:off"]);
        let log = space.dir().join(format!("ovn/{name}.log"));
        let process = Process::start(format!("ovsdb-server of {name}"), exec, log)?;
        answers(&socket).await?;
        Ok(Self { process, path: socket, port })
    }

    /// The ovsdb-server.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `unix:<path>`.
    pub fn socket(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    /// Where it takes connections over TCP.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// `tcp:127.0.0.1:<port>`.
    pub fn tcp(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.port)
    }

    /// Waits until the server takes connections, for example after
    /// [`Process::restart`](Process::restart).
    ///
    /// # Errors
    /// When it does not for 20 s.
    pub async fn ready(&self) -> Result<()> {
        answers(&self.path).await
    }
}

/// Waits until something accepts connections on a unix socket.
pub(crate) async fn answers(socket: &Path) -> Result<()> {
    wait::until(&format!("{} to answer", socket.display()), ANSWERS, || async {
        tokio::net::UnixStream::connect(socket).await.map(|_| ()).map_err(Into::into)
    })
    .await
}

async fn control<I, S>(program: &str, database: &Database, args: I) -> Result<String>
where
    I: IntoIterator<Item = S>,
    S: Into<std::ffi::OsString>,
{
    let db = format!("--db={}", database.socket());
    let exec = Exec::new(Place::Root, program).arg(db).arg("--timeout=20").args(args);
    exec.output().await
}
