//! The small lab: a Northbound database, for tests of the database client alone.

use anyhow::Result;

use crate::ovn::Ovn;
use crate::space::Space;

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
            true => Ovn::start(&space).await?,
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
