//! OVN's central part: the Northbound and Southbound databases and ovn-northd.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::exec::{Exec, Place};
use crate::ovsdb::{Cluster, Member};
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

/// A database, reachable by unix socket and TCP.
#[derive(Debug)]
pub struct Database(Servers);

#[derive(Debug)]
enum Servers {
    One { process: Process, path: PathBuf, port: u16 },
    Cluster(Cluster),
}

/// On how many servers the Northbound database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Northbound {
    /// On one.
    Alone,
    /// On three, of which two have to agree.
    Clustered,
}

impl Ovn {
    /// Starts both databases and ovn-northd.
    ///
    /// # Errors
    /// When a component does not start.
    pub async fn start(space: &Space, northbound: Northbound) -> Result<Self> {
        let nb = async {
            match northbound {
                Northbound::Alone => Database::start(space, "nb", "ovn-nb").await,
                Northbound::Clustered => Database::start_cluster(space, "nb", "ovn-nb").await,
            }
        };
        let (nb, sb) = tokio::try_join!(nb, Database::start(space, "sb", "ovn-sb"))?;
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
            .arg(schema_file(schema))
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
        Ok(Self(Servers::One { process, path: socket, port }))
    }

    async fn start_cluster(space: &Space, name: &str, schema: &str) -> Result<Self> {
        let cluster = Cluster::start(space, name, &schema_file(schema), 3).await?;
        cluster.leader().await?;
        Ok(Self(Servers::Cluster(cluster)))
    }

    /// The ovsdb-server; of a cluster, the first.
    ///
    /// # Panics
    /// Never: a cluster has members.
    pub fn process(&self) -> &Process {
        match &self.0 {
            Servers::One { process, .. } => process,
            Servers::Cluster(cluster) => {
                let first = cluster.members().first();
                first.expect("a cluster is started with three members").process()
            }
        }
    }

    /// The servers of a cluster.
    ///
    /// # Errors
    /// When it is on one server alone.
    pub fn cluster(&self) -> Result<&Cluster> {
        match &self.0 {
            Servers::One { .. } => bail!("this database is on one server"),
            Servers::Cluster(cluster) => Ok(cluster),
        }
    }

    /// `unix:<path>`; of a cluster, the TCP endpoints.
    pub fn socket(&self) -> String {
        match &self.0 {
            Servers::One { path, .. } => format!("unix:{}", path.display()),
            Servers::Cluster(cluster) => cluster.endpoints(),
        }
    }

    /// Where its servers take connections over TCP.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let ports = match &self.0 {
            Servers::One { port, .. } => vec![*port],
            Servers::Cluster(cluster) => cluster.members().iter().map(Member::port).collect(),
        };
        ports.into_iter().map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
    }

    /// `tcp:127.0.0.1:<port>`, of each server.
    pub fn tcp(&self) -> String {
        let endpoints = self.addresses().into_iter().map(|address| format!("tcp:{address}"));
        endpoints.collect::<Vec<_>>().join(",")
    }

    /// Waits until the server takes connections, for example after
    /// [`Process::restart`](Process::restart).
    ///
    /// # Errors
    /// When it does not for 20 s.
    pub async fn ready(&self) -> Result<()> {
        match &self.0 {
            Servers::One { path, .. } => answers(path).await,
            Servers::Cluster(cluster) => cluster.leader().await.map(|_| ()),
        }
    }
}

fn schema_file(schema: &str) -> PathBuf {
    PathBuf::from(format!("/usr/share/ovn/{schema}.ovsschema"))
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
