//! The small lab: ovsdb-servers of the Northbound database alone, for tests of the database
//! client.

mod cluster;
mod dump;
mod ledger;
mod member;
mod proxy;
mod release;
mod schema;

use anyhow::Result;

use crate::ovn::{Northbound, Ovn};
use crate::space::Space;

pub use cluster::Cluster;
pub use dump::Dump;
pub use ledger::Ledger;
pub use member::{Listen, Member};
pub use proxy::{Pace, Proxy, Then};
pub use release::Release;
pub use schema::Schema;

/// The name of the database.
pub const NORTHBOUND: &str = "OVN_Northbound";

/// A lab with OVN's databases and nothing else.
#[derive(Debug)]
pub struct OvsdbLab {
    ovn: Ovn,
    space: Space,
}

impl OvsdbLab {
    pub(crate) async fn start(northd: bool) -> Result<Self> {
        let space = Space::new()?;
        let ovn = match northd {
            true => Ovn::start(&space, Northbound::Alone).await?,
            false => Ovn::start_northbound(&space).await?,
        };
        Ok(Self { ovn, space })
    }

    /// OVN.
    pub fn ovn(&self) -> &Ovn {
        &self.ovn
    }

    /// The lab's name and directories.
    pub fn space(&self) -> &Space {
        &self.space
    }
}
