//! An address in use, and how it is used.

use std::net::IpAddr;

use super::catalog::PoolId;
use super::holder::{HolderId, Name};
use super::tenants::TenantId;
use crate::Sharing;

/// The number of an address in use.
pub(super) type SlotId = u32;

/// An address in use.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) usage: Usage,
    /// [`NONE`] where it is foreign.
    pub(super) pool: PoolId,
    /// [`NONE`] where it is foreign.
    pub(super) tenant: TenantId,
    /// When its record was made; seconds of Unix time fit until 2106.
    pub(super) created: u32,
    pub(super) address: IpAddr,
}

/// How an address is used.
#[derive(Clone, Debug)]
pub(super) enum Usage {
    /// By one Service, which shares it with none.
    Held(HolderId),
    /// By Services that share it; one at least.
    Shared(Box<Shared>),
    /// By nobody: it waits for a Service, or for the end of its rest.
    Waiting(Box<Waiting>),
    /// By something that is none of our Services.
    Foreign(Box<Foreign>),
    /// By whom cannot be told; never given away.
    Blocked,
}

#[derive(Clone, Debug)]
pub(super) struct Foreign {
    /// What has it, for an operator.
    pub(super) what: Box<str>,
}

#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) key: Box<str>,
    pub(super) backends: Box<str>,
    /// Ascending.
    pub(super) holders: Vec<HolderId>,
}

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Whom it waits for; `None` is nobody, or whoever of the tenant asks for it where it is
    /// reserved.
    pub(super) service: Option<Name>,
    pub(super) why: Wait,
}

/// Why an address waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It rests until this time, in seconds of Unix time.
    Rest(u64),
    /// Its tenant keeps it.
    Kept,
    /// An operator reserved it.
    Reserved,
}

impl Slot {
    /// What it waits for, if it waits.
    pub(super) fn waits(&self) -> Option<&Waiting> {
        match &self.usage {
            Usage::Waiting(waiting) => Some(waiting),
            Usage::Held(_) | Usage::Shared(_) | Usage::Foreign(_) | Usage::Blocked => None,
        }
    }

    /// Of two records the one with the lesser age counts.
    pub(super) const fn age(&self) -> (u32, IpAddr) {
        (self.created, self.address)
    }

    /// The key and the backends of who shares it.
    pub(super) fn sharing(&self) -> Option<Sharing<'_>> {
        match &self.usage {
            Usage::Shared(shared) => {
                Sharing { key: &shared.key, backends: &shared.backends }.keyed()
            }
            Usage::Held(_) | Usage::Waiting(_) | Usage::Foreign(_) | Usage::Blocked => None,
        }
    }

    /// The end of its rest, if it rests.
    pub(super) fn rests_until(&self) -> Option<u64> {
        self.waits().and_then(Waiting::until)
    }

    pub(super) fn holders(&self) -> &[HolderId] {
        match &self.usage {
            Usage::Held(holder) => std::slice::from_ref(holder),
            Usage::Shared(shared) => &shared.holders,
            Usage::Waiting(_) | Usage::Foreign(_) | Usage::Blocked => &[],
        }
    }
}

impl Usage {
    /// How an address is used that one of those who hold it has left.
    pub(super) fn without(&self, holder: HolderId) -> Self {
        let Self::Shared(shared) = self else { return Self::Blocked };
        let others = shared.holders.iter().copied().filter(|other| *other != holder);
        let others: Vec<HolderId> = others.collect();
        match *others {
            [] => Self::Blocked,
            [one] if shared.key.is_empty() => Self::Held(one),
            _ => Self::Shared(Box::new(Shared { holders: others, ..*shared.clone() })),
        }
    }
}

impl Waiting {
    pub(super) const fn until(&self) -> Option<u64> {
        match self.why {
            Wait::Rest(until) => Some(until),
            Wait::Kept | Wait::Reserved => None,
        }
    }

    /// Whether it waits for this Service of its tenant, or for any that asks.
    pub(super) fn awaits(&self, named: impl FnOnce(&str) -> bool) -> bool {
        self.service.as_deref().map_or(self.why == Wait::Reserved, named)
    }
}
