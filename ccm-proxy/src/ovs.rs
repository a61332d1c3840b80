//! Ports of an Open vSwitch of the node, by the `ovs-vsctl` program.
//!
//! A port of ours is of type `internal`: an interface that the switch makes, and that can be moved
//! into a namespace as long as it keeps its name. It is marked with the namespace that it is for, so
//! that a later run knows it for ours.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;

use crate::program::Program;

/// The key of `external_ids` by which an interface is known for ours; the value is the name of its
/// namespace.
const MARK: &str = "cloud-provider-ovn";
/// How long is waited for the switch, in seconds.
const PATIENCE: &str = "--timeout=10";

/// The `ovs-vsctl` program.
#[derive(Clone, Debug)]
pub struct Ovs(Program);

impl Ovs {
    /// Started with these words, to which arguments are added.
    #[must_use]
    pub const fn new(words: Vec<OsString>) -> Self {
        Self(Program::new(words))
    }

    /// The name of the port of a namespace: as long as Linux takes it, and told apart from others by
    /// a hash (FNV-1a).
    #[must_use]
    pub fn port(pin: &str) -> String {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = pin.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        format!("cpo{:012x}", hash >> 16)
    }

    /// Makes the port of a namespace on a bridge, on the VLAN of this number; one that is there is
    /// changed to that.
    ///
    /// # Errors
    /// There is no such bridge, or the switch does not answer.
    pub fn add(&self, bridge: &str, tag: u16, pin: &str) -> io::Result<()> {
        let port = Self::port(pin);
        let at = self.call(&["port-to-br", &port]).ok();
        if at.is_some_and(|at| at.trim() != bridge) {
            self.delete(&port)?;
        }
        let (tag, mark) = (format!("tag={tag}"), format!("external_ids:{MARK}=\"{pin}\""));
        let words = ["--may-exist", "add-port", bridge, &port];
        let port = ["--", "set", "Port", &port, &tag, "--", "set", "Interface", &port];
        self.call(&[&words[..], &port, &["type=internal", &mark]].concat()).map(drop)
    }

    /// Deletes a port; that there is none is success.
    ///
    /// # Errors
    /// The switch does not answer.
    pub fn delete(&self, port: &str) -> io::Result<()> {
        self.call(&["--if-exists", "del-port", port]).map(drop)
    }

    /// The ports of ours there are, and the names of their namespaces.
    ///
    /// # Errors
    /// There is no switch, or it does not answer.
    pub fn ports(&self) -> io::Result<BTreeMap<String, String>> {
        let marked = format!("external_ids:{MARK}!=\"\"");
        let columns = "--columns=name,external_ids";
        Ok(read(&self.call(&["--bare", columns, "find", "Interface", &marked])?))
    }

    fn call(&self, args: &[&str]) -> io::Result<String> {
        self.0.run(None, &[&[PATIENCE], args].concat(), "")
    }
}

/// Ports and their marks: of each two lines, and an empty one between.
fn read(text: &str) -> BTreeMap<String, String> {
    let port = |lines: &str| {
        let (port, ids) = lines.trim().split_once('\n')?;
        let mut ids = ids.split_whitespace().filter_map(|id| id.split_once('='));
        let (_, pin) = ids.find(|(key, _)| *key == MARK)?;
        Some((port.to_owned(), pin.trim_matches('"').to_owned()))
    };
    text.split("\n\n").filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_has_a_port_of_its_own_that_linux_takes() {
        let (one, other) = (Ovs::port("cpo-a"), Ovs::port("cpo-b"));
        assert_eq!((one.len(), other.len()), (15, 15));
        assert_ne!(one, other);
        assert_eq!(one, Ovs::port("cpo-a"), "the same each time");
    }

    #[test]
    fn ports_are_read_with_the_namespaces_they_are_for() {
        let text = "cpo0001\ncloud-provider-ovn=cpo-a\n\n\
                    cpo0002\nother=x cloud-provider-ovn=cpo-b.c\n\n\
                    foreign\nother=y\n";
        let expected = [("cpo0001", "cpo-a"), ("cpo0002", "cpo-b.c")];
        let expected = expected.map(|(port, pin)| (port.to_owned(), pin.to_owned()));
        assert_eq!(read(text), expected.into());
        assert_eq!(read(""), BTreeMap::new());
    }
}
