//! What becomes of a request, and of what a Service lets go of.

use std::net::IpAddr;

use smol_str::SmolStr;

use crate::PerFamily;

/// The name of a pool. A short one is kept where it is used, and costs nothing to copy.
pub type PoolName = SmolStr;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// The Service has these addresses already.
    Kept(Given),
    /// The Service gets this, and keeps what it has.
    New(Target),
    /// The Service could have this instead of what it has. Nothing is changed: what it has and is
    /// not among this must first be withdrawn and released.
    Move {
        /// What it has; rarely anything, and all else is smaller for the box.
        from: Box<Given>,
        /// What it could have.
        to: Target,
    },
}

/// What a Service gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// These addresses; what it keeps is among them.
    These(Given),
    /// Addresses that who hands out the pool chooses, beside those of the other family that it
    /// keeps. Where an address that is asked for and one to be drawn are wanted, the first is told
    /// alone, and the second when it is asked again.
    Draw {
        /// The pool.
        pool: PoolName,
        /// Which families are to be drawn; one at least.
        families: PerFamily<bool>,
    },
}

/// Addresses of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The pool.
    pub pool: PoolName,
    /// The addresses; one at least.
    pub addresses: PerFamily<Option<IpAddr>>,
}

/// What becomes of the addresses of a Service that lets go of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards<'a> {
    /// Nobody's: they are free at once. Only where their records are gone, or never were.
    Free,
    /// They rest until this time (seconds of Unix time); until then only a Service of the same
    /// name gets them.
    Rest(u64),
    /// The tenant keeps them for a Service of the same name.
    Keep,
    /// They are as reserved as an operator made them: for a Service, by namespace and name, or for
    /// whoever of the tenant asks for them by address.
    Reserved(Option<(&'a str, &'a str)>),
}
