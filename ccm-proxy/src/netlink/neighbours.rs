//! The neighbours of a namespace that the kernel keeps resolved.
//!
//! Of a group of next hops the kernel passes over those whose neighbour is not resolved
//! (`nexthop_is_good_nh`), and leads their connections to another machine meanwhile. So each is
//! resolved before a packet comes, and stays so (`NTF_EXT_MANAGED`, Linux 5.16).

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Netlink, gone};

impl Netlink {
    /// Lets the kernel keep these machines resolved on the interface of an index, and no others.
    ///
    /// # Errors
    /// The kernel's.
    pub fn keep_resolved(&mut self, index: u32, machines: &BTreeSet<IpAddr>) -> io::Result<()> {
        let kept = self.kept_resolved(index)?;
        for machine in machines.difference(&kept) {
            let mut message = about(index, *machine);
            // An older kernel knows this flag alone: it resolves the neighbour now, and once.
            message.header.flags = NeighbourFlags::Use;
            message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
            self.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)?;
        }
        for machine in kept.difference(machines) {
            gone(self.change(RouteNetlinkMessage::DelNeighbour(about(index, *machine)), 0))?;
        }
        Ok(())
    }

    fn kept_resolved(&mut self, index: u32) -> io::Result<BTreeSet<IpAddr>> {
        // Of no family: those of all.
        let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let found = self.dump(request)?.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewNeighbour(found) if found.header.ifindex == index => {
                managed(&found)
            }
            _ => None,
        });
        Ok(found.collect())
    }
}

/// The address of a neighbour, if the kernel keeps it resolved.
fn managed(found: &NeighbourMessage) -> Option<IpAddr> {
    let (mut address, mut managed) = (None, false);
    for attribute in &found.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::ExtFlags(flags) => {
                managed = flags.contains(NeighbourExtFlags::Managed);
            }
            _ => {}
        }
    }
    address.filter(|_| managed)
}

fn about(index: u32, machine: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index;
    let (family, address) = match machine {
        IpAddr::V4(v4) => (AddressFamily::Inet, NeighbourAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, NeighbourAddress::Inet6(v6)),
    };
    message.header.family = family;
    message.attributes.push(NeighbourAttribute::Destination(address));
    message
}
