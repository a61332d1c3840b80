//! Network namespaces, the links between them, and sockets inside them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use crate::exec::{Exec, Place};

/// A network namespace by name; dropping it deletes the name, and the kernel deletes the namespace
/// when its last process and socket are gone.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace with its loopback up and strict reverse-path filtering off.
    ///
    /// # Errors
    /// When the name is taken or the tools fail.
    pub async fn new(name: impl Into<String>) -> Result<Self> {
        let netns = Self { name: name.into() };
        Exec::new(Place::Sandbox, "ip").args(["netns", "add", &netns.name]).output().await?;
        netns.ip("link set lo up").await?;
        netns.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
        netns.sysctl("net.ipv4.conf.default.rp_filter", "0")?;
        Ok(netns)
    }

    /// The namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command inside this namespace, with the host's files.
    pub fn exec(&self, program: &str) -> Exec {
        Exec::new(Place::Namespace(self.name.clone()), program)
    }

    /// A command inside this namespace, with the Debian root file system (`nft`, `tcpdump`, …).
    pub fn exec_root(&self, program: &str) -> Exec {
        Exec::new(Place::NamespaceRoot(self.name.clone()), program)
    }

    /// Runs `ip` commands inside this namespace, one a line: `address add 10.0.0.2/24 dev eth0`.
    ///
    /// # Errors
    /// When one of them fails.
    pub async fn ip(&self, commands: &str) -> Result<String> {
        self.exec("ip").args(["-batch", "-"]).output_with_input(commands).await
    }

    /// Makes a pair of virtual Ethernet links: `link` in this namespace, `peer` in the other one,
    /// both up. Checksum offload is off in both: a userspace datapath would forward segments with
    /// unfinished checksums, which stalls TCP.
    ///
    /// # Errors
    /// When a name is taken or the tools fail.
    pub async fn connect(&self, link: &str, other: &Self, peer: &str) -> Result<()> {
        let add = format!(
            "link add {link} netns {} type veth peer name {peer} netns {}",
            self.name, other.name
        );
        Exec::new(Place::Sandbox, "ip").args(["-batch", "-"]).output_with_input(&add).await?;
        tokio::try_join!(self.raise(link), other.raise(peer))?;
        Ok(())
    }

    /// Connects this namespace to the management bridge with `address`.
    ///
    /// # Errors
    /// When the tools fail.
    pub async fn connect_management(&self, address: Ipv4Addr) -> Result<()> {
        let [_, _, high, low] = address.octets();
        let peer = format!("mgmt-{high}-{low}");
        let bridge = crate::sandbox::MANAGEMENT_BRIDGE;
        let add = format!(
            "link add {peer} type veth peer name mgmt netns {}\nlink set {peer} master {bridge} up",
            self.name
        );
        Exec::new(Place::Sandbox, "ip").args(["-batch", "-"]).output_with_input(&add).await?;
        self.ip(&format!("address add {address}/16 dev mgmt\nlink set mgmt up")).await?;
        Ok(())
    }

    /// Sets a kernel parameter of this namespace: `net.ipv4.ip_forward`.
    ///
    /// # Errors
    /// When the kernel has no such parameter.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        // `/proc/thread-self/net` and `/proc/sys/net` show the namespace of the thread that looks.
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.inside(|| std::fs::write(&path, value).with_context(|| format!("write {path}")))
    }

    /// Runs `work` on a thread inside this namespace. Sockets made there stay in the namespace.
    ///
    /// # Errors
    /// Those of `work`, and when the namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.name);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = std::fs::File::open(&path).with_context(|| format!("open {path}"))?;
                setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter {path}"))?;
                work()
            });
            thread.join().map_err(|_| anyhow!("a thread in {path} panicked"))?
        })
    }

    /// A TCP listener inside this namespace.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn listen(&self, address: SocketAddr) -> Result<TcpListener> {
        let listener = self.inside(|| {
            let listener = std::net::TcpListener::bind(address)
                .with_context(|| format!("listen on {address}"))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?;
        Ok(TcpListener::from_std(listener)?)
    }

    /// A UDP socket inside this namespace.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn bind(&self, address: SocketAddr) -> Result<UdpSocket> {
        let socket = self.inside(|| {
            let socket =
                std::net::UdpSocket::bind(address).with_context(|| format!("bind to {address}"))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })?;
        Ok(UdpSocket::from_std(socket)?)
    }

    /// A TCP connection from this namespace.
    ///
    /// # Errors
    /// When it is refused or not there within `timeout`.
    pub async fn dial(&self, to: SocketAddr, timeout: Duration) -> Result<TcpStream> {
        self.dial_from(None, to, timeout).await
    }

    /// A TCP connection from one of the addresses of this namespace.
    ///
    /// # Errors
    /// When it has not this address, or the connection is refused or not there within `timeout`.
    pub async fn dial_from(
        &self,
        from: Option<IpAddr>,
        to: SocketAddr,
        timeout: Duration,
    ) -> Result<TcpStream> {
        let socket = self.inside(|| {
            let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if let Some(from) = from {
                socket.bind(SocketAddr::new(from, 0)).with_context(|| format!("bind to {from}"))?;
            }
            Ok(socket)
        })?;
        match tokio::time::timeout(timeout, socket.connect(to)).await {
            Ok(connected) => connected.with_context(|| format!("connect to {to}")),
            Err(_) => bail!("connect to {to}: no answer within {timeout:?}"),
        }
    }

    async fn raise(&self, link: &str) -> Result<()> {
        self.ip(&format!("link set {link} up")).await?;
        self.exec_root("ethtool").args(["-K", link, "tx", "off"]).output().await?;
        Ok(())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// A machine on the network that sends and answers: a namespace and its addresses.
#[derive(Debug)]
pub struct Host {
    netns: Netns,
    address: Ipv4Addr,
    v6: Option<Ipv6Addr>,
}

impl Host {
    /// A host whose namespace is `netns` and whose address is `address`.
    pub fn new(netns: Netns, address: Ipv4Addr) -> Self {
        Self { netns, address, v6: None }
    }

    /// The same with an IPv6 address, if it has one.
    #[must_use]
    pub fn with_v6(self, v6: impl Into<Option<Ipv6Addr>>) -> Self {
        Self { v6: v6.into(), ..self }
    }

    /// The host's network namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The host's IPv4 address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The host's IPv6 address, if it has one.
    pub fn v6(&self) -> Option<Ipv6Addr> {
        self.v6
    }

    /// All its addresses, IPv4 first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let v4 = IpAddr::from(self.address);
        [v4].into_iter().chain(self.v6.map(IpAddr::from)).collect()
    }
}
