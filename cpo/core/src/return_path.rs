//! Do replies from a subnet find the gateway port, as OVN would route them?
//!
//! `ovn-northd(8)`, logical router ingress: policies are looked at after routing and override it;
//! among routes the longest prefix wins, and at equal length a destination route beats a source
//! route. A client behind the provider network is an address no prefix but `0.0.0.0/0` covers.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::ovn::{Ovn, Policy, Route};
use crate::router::Site;

/// Whether a reply from `subnet` to a distant client leaves through the site's gateway port.
#[must_use]
pub fn exists(ovn: &Ovn, site: &Site<'_>, subnet: Ipv4Net) -> bool {
    let leaves = |hop: &str| {
        let hop: Option<Ipv4Addr> = hop.parse().ok();
        hop.is_some_and(|hop| site.gateway.networks.iter().any(|net| net.contains(&hop)))
    };
    let mut policies: Vec<&Policy> =
        site.router.policies.iter().filter_map(|p| ovn.policies.get(p)).collect();
    policies.sort_by_key(|policy| std::cmp::Reverse(policy.priority));
    if let Some(policy) = policies.into_iter().find(|p| matches_reply(&p.matches, subnet)) {
        match policy.action.as_str() {
            "reroute" => return policy.nexthops.iter().any(|hop| leaves(hop)),
            "drop" => return false,
            _ => {}
        }
    }
    let routes = site.router.routes.iter().filter_map(|r| ovn.routes.get(r));
    let best = routes.filter_map(|route| Some((rank(route, subnet)?, route))).max_by_key(|r| r.0);
    best.is_some_and(|(_, route)| {
        leaves(&route.nexthop) || route.output_port.as_ref() == Some(&site.gateway.name)
    })
}

/// How strongly a route draws a reply from `subnet` to a distant client; `None`: not at all.
fn rank(route: &Route, subnet: Ipv4Net) -> Option<(u8, bool)> {
    let prefix: Ipv4Net = match route.prefix.parse() {
        Ok(prefix) => prefix,
        Err(_) => Ipv4Net::from(route.prefix.parse::<Ipv4Addr>().ok()?),
    };
    let draws = if route.by_source { prefix.contains(&subnet) } else { prefix.prefix_len() == 0 };
    (route.table.is_empty() && draws).then_some((prefix.prefix_len(), !route.by_source))
}

/// Whether a policy's match holds for a reply from `subnet` to a distant client. Conjunctions of
/// comparisons of `ip4.src` and `ip4.dst` with an address or a CIDR are understood; a match that
/// holds anything else counts as not matching.
fn matches_reply(text: &str, subnet: Ipv4Net) -> bool {
    text.split("&&").all(|term| {
        let term = term.trim().trim_start_matches('(').trim_end_matches(')').trim();
        let (field, equal, value) = match (term.split_once("=="), term.split_once("!=")) {
            (Some((field, value)), None) => (field, true, value),
            (None, Some((field, value))) => (field, false, value),
            _ => return term == "ip4" || term == "ip",
        };
        let value = value.trim();
        let Ok(net) = value.parse().or_else(|_| value.parse::<Ipv4Addr>().map(Ipv4Net::from))
        else {
            return false;
        };
        match field.trim() {
            "ip4.src" => net.contains(&subnet) == equal,
            "ip4.dst" => (net.prefix_len() == 0) == equal,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet() -> Ipv4Net {
        "10.0.0.0/24".parse().unwrap()
    }

    #[test]
    fn a_policy_is_understood_or_does_not_match() {
        assert!(matches_reply("ip4.src == 10.0.0.0/24 && ip4.dst != 10.0.0.0/24", subnet()));
        assert!(matches_reply("ip4.src==10.0.0.0/16", subnet()));
        assert!(!matches_reply("ip4.src == 10.1.0.0/16", subnet()));
        assert!(!matches_reply("ip4.dst == 10.0.0.0/24", subnet()));
        assert!(!matches_reply("ip4.src == $vpc && ip4.dst != 10.0.0.0/24", subnet()));
        assert!(!matches_reply("inport == \"x\"", subnet()));
    }

    #[test]
    fn the_longer_prefix_wins_and_a_tie_goes_to_the_destination() {
        let route = |prefix: &str, by_source| Route {
            prefix: prefix.into(),
            nexthop: "198.51.100.254".into(),
            by_source,
            table: String::new(),
            output_port: None,
        };
        let of = |prefix: &str, by_source| rank(&route(prefix, by_source), subnet());
        assert!(of("10.0.0.0/24", true) > of("0.0.0.0/0", false));
        assert!(of("0.0.0.0/0", false) > of("0.0.0.0/0", true));
        assert_eq!(of("203.0.113.0/24", false), None);
        assert_eq!(of("10.9.0.0/24", true), None);
    }
}
