//! What an interface was before it was moved into a namespace of ours. It is written to the
//! interface itself, so that whoever comes later can give it back.

use std::fmt;
use std::str::FromStr;

/// What is written begins so.
const OURS: &str = "cpo";
/// The kernel takes no longer text (`IFALIASZ`, without the end).
const LONGEST: usize = 255;

/// What an interface was on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Its name.
    pub(super) name: String,
    /// Whether it was up.
    pub(super) up: bool,
    /// What was written to it.
    pub(super) alias: String,
}

/// It was not written by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotOurs;

impl Origin {
    /// What is written to the interface, if there is room for what was written to it before.
    pub(super) fn written(&self) -> Option<String> {
        Some(self.to_string()).filter(|text| text.len() <= LONGEST)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up = if self.up { "up" } else { "down" };
        write!(f, "{OURS}:{up}:{}:{}", self.name, self.alias)
    }
}

impl FromStr for Origin {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        // No interface has a colon in its name.
        let mut parts = text.splitn(4, ':');
        let mut next = || parts.next().ok_or(NotOurs);
        let (ours, up, name, alias) = (next()?, next()?, next()?, next()?);
        let up = match (ours, up) {
            (OURS, "up") => true,
            (OURS, "down") => false,
            _ => return Err(NotOurs),
        };
        Ok(Self { name: name.to_owned(), up, alias: alias.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(name: &str, up: bool, alias: &str) -> Origin {
        Origin { name: name.to_owned(), up, alias: alias.to_owned() }
    }

    #[test]
    fn what_an_interface_was_is_read_as_it_was_written() {
        for origin in [origin("eth1", true, ""), origin("bond0.205", false, "to switch: 7")] {
            assert_eq!(origin.written().unwrap().parse(), Ok(origin));
        }
        for foreign in ["", "uplink", "cpo", "cpo:up", "cpo:up:eth1", "cpo:maybe:eth1:", "a:b:c:d"]
        {
            assert_eq!(foreign.parse::<Origin>(), Err(NotOurs), "{foreign}");
        }
    }

    #[test]
    fn what_has_no_room_is_not_cut() {
        assert!(origin("eth1", true, &"x".repeat(243)).written().is_some());
        assert_eq!(origin("eth1", true, &"x".repeat(244)).written(), None);
    }
}
