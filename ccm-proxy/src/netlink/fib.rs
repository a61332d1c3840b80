//! The routes of a namespace that are ours: shown, and changed.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use speaker_core::fib::{Change, Fib, Way};

use super::next_hop::{Message, NextHop};
use super::{Netlink, gone};

/// Who made a route or a next hop (`rtnetlink(7)`, `rtm_protocol`): a number that no daemon in
/// iproute2's list has.
const OURS: u8 = 213;

impl Netlink {
    /// What there is of ours.
    ///
    /// # Errors
    /// The kernel's.
    pub fn fib(&mut self) -> io::Result<Fib> {
        let mut fib = Fib::default();
        for message in self.dump(Message::Get)? {
            match message {
                Message::New(NextHop { id, protocol: OURS, gateway, group, .. }) => match gateway {
                    Some(gateway) => drop(fib.next_hops.insert(id, gateway)),
                    None => drop(fib.groups.insert(id, group)),
                },
                Message::New(_) | Message::Delete(_) | Message::Get => {}
            }
        }
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            for message in self.dump(RouteNetlinkMessage::GetRoute(request))? {
                if let RouteNetlinkMessage::NewRoute(route) = message {
                    fib.routes.extend(way(&route));
                }
            }
        }
        Ok(fib)
    }

    /// Makes one change; next hops lead over the interface of this index.
    ///
    /// # Errors
    /// The kernel's. That what is to be deleted is not there is none.
    pub fn change_fib(&mut self, change: &Change, interface: u32) -> io::Result<()> {
        let set = NLM_F_CREATE | NLM_F_REPLACE;
        match change {
            Change::AddNextHop(id, gateway) => {
                let gateway = Some(*gateway);
                let interface = Some(interface);
                let hop =
                    NextHop { id: *id, protocol: OURS, gateway, interface, group: Vec::new() };
                self.change(Message::New(hop), set)
            }
            Change::SetGroup(id, hops) => {
                let group = hops.clone();
                let hop = NextHop { id: *id, protocol: OURS, group, ..NextHop::default() };
                self.change(Message::New(hop), set)
            }
            Change::DeleteNextHop(id) => gone(self.change(Message::Delete(*id), 0)),
            Change::SetRoute(address, way) => {
                self.change(RouteNetlinkMessage::NewRoute(route(*address, Some(*way))), set)
            }
            Change::DeleteRoute(address) => {
                gone(self.change(RouteNetlinkMessage::DelRoute(route(*address, None)), 0))
            }
        }
    }
}

fn route(address: IpAddr, way: Option<Way>) -> RouteMessage {
    let mut route = RouteMessage::default();
    let (family, length) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    route.header = RouteHeader {
        address_family: family,
        destination_prefix_length: length,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Other(OURS),
        scope: if way.is_some() { RouteScope::Universe } else { RouteScope::NoWhere },
        kind: match way {
            Some(Way::Group(_)) => RouteType::Unicast,
            Some(Way::Unreachable) => RouteType::Unreachable,
            None => RouteType::Unspec,
        },
        ..RouteHeader::default()
    };
    route.attributes.push(RouteAttribute::Destination(address.into()));
    if let Some(Way::Group(id)) = way {
        route.attributes.push(RouteAttribute::NhId(id));
    }
    route
}

/// Where a route leads, if it is ours.
fn way(route: &RouteMessage) -> Option<(IpAddr, Way)> {
    if route.header.protocol != RouteProtocol::Other(OURS) {
        return None;
    }
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })?;
    let group = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::NhId(id) => Some(Way::Group(*id)),
        _ => None,
    });
    Some((address, group.unwrap_or(Way::Unreachable)))
}
