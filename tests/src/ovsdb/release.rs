//! Which OVN and which OVS.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::exec::{Exec, Place};
use crate::sandbox;

/// A release of OVN with the OVS of its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Release {
    /// OVN 25.03, OVS 3.5.
    #[default]
    Current,
    /// OVN 24.03, OVS 3.3; the test program asks the sandbox for it.
    Older,
}

impl Release {
    /// A command of this release.
    pub(super) fn exec(self, program: &str) -> Exec {
        let place = match self {
            Self::Current => Place::Root,
            Self::Older => Place::OlderRoot,
        };
        Exec::new(place, program)
    }

    /// Where its schemas lie.
    pub(super) fn schemas(self) -> Result<PathBuf> {
        let sandbox = sandbox::current()?;
        let root = match self {
            Self::Current => &sandbox.root,
            Self::Older => sandbox.older.as_ref().context("the older OVN is not there")?,
        };
        Ok(root.join("usr/share/ovn"))
    }
}
