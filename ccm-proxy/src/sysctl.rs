//! Settings of the kernel in the namespace of a VLAN.

use std::fs;
use std::io;
use std::path::Path;

use crate::netns::Namespace;

/// What every namespace of a VLAN needs, whatever its interface is called. `all` and the
/// interface's own value are told apart by the kernel in different ways for each: both are set.
const EVERYWHERE: [(&str, &str); 13] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    // Who comes in over the link goes out over the link, whatever routes there are.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // The gateway is told nothing about shorter ways: there are none for an address of ours.
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    // Neither addresses nor routes are taken from the link.
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    // By the addresses alone: errors about a packet go where the packet went.
    ("ipv4/fib_multipath_hash_policy", "0"),
    ("ipv6/fib_multipath_hash_policy", "3"),
    // Source and destination address.
    ("ipv6/fib_multipath_hash_fields", "3"),
];

/// The same on every speaker, so that a connection goes on through another.
const SEED: &str = "1";

/// Whether speakers send a connection to the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// They do.
    Common,
    /// The kernel (before 6.11) has no seed that could be set.
    OfItsOwn,
}

/// Makes the settings of a namespace and of its interface.
///
/// # Errors
/// The kernel's, with the name of the setting.
pub fn apply(namespace: &Namespace, interface: &str) -> io::Result<Hash> {
    namespace.run(|| {
        EVERYWHERE.iter().try_for_each(|(name, value)| set(name, value))?;
        for (name, value) in [
            (format!("ipv4/conf/{interface}/rp_filter"), "0"),
            (format!("ipv4/conf/{interface}/send_redirects"), "0"),
            (format!("ipv6/conf/{interface}/accept_ra"), "0"),
            // Its address on the link is of its Ethernet address, and serves from the first moment.
            (format!("ipv6/conf/{interface}/addr_gen_mode"), "0"),
            (format!("ipv6/conf/{interface}/dad_transmits"), "0"),
        ] {
            set(&name, value)?;
        }
        match set("ipv4/fib_multipath_hash_seed", SEED) {
            Ok(()) => Ok(Hash::Common),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Hash::OfItsOwn),
            Err(error) => Err(error),
        }
    })
}

fn set(name: &str, value: &str) -> io::Result<()> {
    let path = Path::new("/proc/sys/net").join(name);
    let wrap =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if fs::read_to_string(&path).map_err(wrap)?.trim() == value {
        return Ok(());
    }
    fs::write(&path, value).map_err(wrap)
}
