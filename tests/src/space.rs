//! What keeps labs in one sandbox apart: a name, directories, ports and addresses.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Result;

use crate::sandbox;

static NEXT_LAB: AtomicU16 = AtomicU16::new(1);
static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);
static NEXT_HOST: AtomicU16 = AtomicU16::new(257);

/// The name and the directories of one lab.
#[derive(Debug, Clone)]
pub struct Space {
    name: String,
}

impl Space {
    /// A space that no other lab of this sandbox has.
    ///
    /// # Errors
    /// When its directories cannot be made.
    pub fn new() -> Result<Self> {
        let space = Self { name: format!("lab{}", NEXT_LAB.fetch_add(1, Ordering::Relaxed)) };
        std::fs::create_dir_all(space.dir())?;
        std::fs::create_dir_all(space.data())?;
        Ok(space)
    }

    /// Name of the lab, unique in the sandbox: `lab1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Directory for logs and kubeconfigs, as seen inside the sandbox.
    pub fn dir(&self) -> PathBuf {
        Path::new("/run/lab").join(&self.name)
    }

    /// Directory in memory for databases and sockets.
    pub fn data(&self) -> PathBuf {
        Path::new("/run/data").join(&self.name)
    }

    /// Directory for logs and kubeconfigs as seen from outside; it outlives the sandbox.
    ///
    /// # Errors
    /// Outside of a sandbox.
    pub fn dir_on_disk(&self) -> Result<PathBuf> {
        Ok(sandbox::current()?.run_dir.join(&self.name))
    }

    /// Name of a network namespace of this lab.
    pub fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }
}

/// A TCP port of the management namespace that nobody else in the sandbox was given.
pub fn port() -> u16 {
    NEXT_PORT.fetch_add(1, Ordering::Relaxed)
}

/// An address of the management network that nobody else in the sandbox was given.
pub fn management_address() -> Ipv4Addr {
    let [high, low] = NEXT_HOST.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(10, 250, high, low)
}
