//! What a Service asks for, read from its fields; and what of it is refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use cpo_api::{EipSharing, Reason, names};
use pools::{Families, Family};

use crate::problem::Problem;
use crate::service::{Port, Service, TrafficPolicy};
use crate::tenant::Mode;

/// The longest affinity OVN holds, in seconds.
const MAX_AFFINITY: u32 = 65_535;

/// What a Service asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The families it wants addresses of.
    pub families: Families,
    /// The addresses it wants, at most one of each family, ascending.
    pub addresses: Vec<IpAddr>,
    /// The pool it wants.
    pub pool: Option<String>,
    /// Whether the address outlives it.
    pub keep: bool,
    /// With whom it shares its addresses, if it does.
    pub sharing: Option<EipSharing>,
    /// Its ports, each with the nodePort to send to, where one is.
    pub ports: Vec<(Port, u16)>,
    /// Client affinity in seconds, as far as OVN holds it; in VLAN mode the tenant's own.
    pub affinity: Option<u32>,
}

impl Request {
    /// The IPv4 address it wants.
    #[must_use]
    pub fn v4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        })
    }
}

/// Reads a Service's wishes, of what its tenant's mode serves.
///
/// # Errors
/// The [`Problem`] of the first field that cannot be served; nothing of the Service is then
/// programmed anew.
pub fn read(service: &Service, mode: Mode) -> Result<(Request, Vec<Problem>), Problem> {
    let mut warnings = Vec::new();
    source_ranges(service, mode)?;
    let (families, alone) = families(service, mode)?;
    warnings.extend(alone);
    let sharing = sharing(service, mode)?;
    let ports = ports(service, mode)?;
    let affinity = service.affinity.map(|seconds| seconds.min(MAX_AFFINITY));
    let ours = mode == Mode::Overlay;
    if ours && service.affinity.is_some_and(|seconds| seconds > MAX_AFFINITY) {
        warnings.push(Problem::warning(
            Reason::AffinityClamped,
            format!("sessionAffinityConfig.clientIP.timeoutSeconds is cut to {MAX_AFFINITY}"),
        ));
    }
    let pool = first(&service.annotations, names::ANNOTATION_POOL, names::ALIASES_POOL);
    let pool = pool.map(str::to_owned);
    let keep = keeps(service);
    let addresses = addresses(service, families, mode)?;
    Ok((Request { families, addresses, pool, keep, sharing, ports, affinity }, warnings))
}

/// Whether the addresses of a Service outlive it.
#[must_use]
pub fn keeps(service: &Service) -> bool {
    service.annotations.get(names::ANNOTATION_KEEP).is_some_and(|v| v == "true")
}

/// Ours, else the first alias that is set.
fn first<'a>(
    annotations: &'a BTreeMap<String, String>,
    ours: &str,
    aliases: &[&str],
) -> Option<&'a str> {
    let keys = std::iter::once(ours).chain(aliases.iter().copied());
    keys.filter_map(|key| annotations.get(key)).map(|v| v.trim()).find(|v| !v.is_empty())
}

/// In VLAN mode the tenant's kube-proxy enforces them: packets come to it as clients sent them.
fn source_ranges(service: &Service, mode: Mode) -> Result<(), Problem> {
    if service.source_ranges.is_empty() || mode == Mode::Vlan {
        return Ok(());
    }
    Err(Problem::withdrawn(
        Reason::SourceRangesUnsupported,
        "spec.loadBalancerSourceRanges cannot be enforced in overlay mode, so the Service is not \
         served; remove the ranges, or filter with a NetworkPolicy",
    ))
}

/// The families that are served, and a warning where they are not all it prefers.
fn families(service: &Service, mode: Mode) -> Result<(Families, Option<Problem>), Problem> {
    let v4 = Families::Only(Family::V4);
    if mode == Mode::Vlan || service.families == v4 {
        return Ok((service.families, None));
    }
    let text = format!("{} serves IPv4 only", mode.as_str());
    match service.families {
        Families::Prefer(_) => Ok((
            v4,
            Some(Problem::warning(
                Reason::IPFamilyUnsupported,
                format!(
                    "{text}: spec.ipFamilyPolicy PreferDualStack is served with an IPv4 address \
                     alone"
                ),
            )),
        )),
        Families::Only(_) | Families::Both => {
            let remedy = "set spec.ipFamilies to [IPv4] and spec.ipFamilyPolicy to SingleStack";
            Err(Problem::refused(Reason::IPFamilyUnsupported, format!("{text}; {remedy}")))
        }
    }
}

/// Services that share an address lead to the same machines: any, or those with their pods.
fn sharing(service: &Service, mode: Mode) -> Result<Option<EipSharing>, Problem> {
    let key = first(&service.annotations, names::ANNOTATION_SHARE, names::ALIASES_SHARE);
    let Some(key) = key.map(str::to_owned) else { return Ok(None) };
    match (mode, service.policy) {
        (Mode::Overlay, _) => Err(Problem::refused(
            Reason::SharingConflict,
            format!(
                "annotation {} ({key:?}) asks to share an address, which {} does not offer; remove \
                 the annotation to get an address of its own",
                names::ANNOTATION_SHARE,
                mode.as_str()
            ),
        )),
        (Mode::Vlan, TrafficPolicy::Cluster) => {
            Ok(Some(EipSharing { key, backends: String::new() }))
        }
        // Without a selector nobody can tell whether two lead to the same machines.
        (Mode::Vlan, TrafficPolicy::Local) if service.selector.is_empty() => Err(Problem::refused(
            Reason::SharingConflict,
            format!(
                "annotation {} ({key:?}) asks to share an address, which with \
                     externalTrafficPolicy Local takes a spec.selector; set one, or use Cluster",
                names::ANNOTATION_SHARE
            ),
        )),
        (Mode::Vlan, TrafficPolicy::Local) => {
            Ok(Some(EipSharing { key, backends: service.selector.clone() }))
        }
    }
}

fn ports(service: &Service, mode: Mode) -> Result<Vec<(Port, u16)>, Problem> {
    let with_node_port = |port: &Port| {
        if mode == Mode::Vlan {
            // Packets come to kube-proxy by the address itself.
            return Ok((port.clone(), port.node_port.unwrap_or_default()));
        }
        port.node_port.map(|node_port| (port.clone(), node_port)).ok_or_else(|| {
            Problem::refused(
                Reason::NodePortRequired,
                format!(
                    "port {} ({}) has no nodePort, which overlay mode sends to; set \
                     spec.allocateLoadBalancerNodePorts to true, or the port's nodePort",
                    port.port,
                    port.protocol.upper()
                ),
            )
        })
    };
    service.ports.iter().map(with_node_port).collect()
}

fn addresses(service: &Service, families: Families, mode: Mode) -> Result<Vec<IpAddr>, Problem> {
    let annotated =
        first(&service.annotations, names::ANNOTATION_ADDRESSES, names::ALIASES_ADDRESSES);
    let field = service.load_balancer_ip.as_deref().map(str::trim).filter(|v| !v.is_empty());
    let annotation = format!("annotation {}", names::ANNOTATION_ADDRESSES);
    let read = |what: &str, text: Option<&str>| {
        text.map(|text| listed(what, text, families, mode)).transpose()
    };
    match (read(&annotation, annotated)?, read("spec.loadBalancerIP", field)?) {
        // The field holds one address alone, the annotation one of each family.
        (Some(annotated), Some(field)) if !field.iter().all(|at| annotated.contains(at)) => {
            let text =
                |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(Problem::refused(
                Reason::RequestConflict,
                format!(
                    "spec.loadBalancerIP asks for {} and {annotation} for {}; remove one",
                    text(&field),
                    text(&annotated)
                ),
            ))
        }
        (annotated, field) => Ok(annotated.or(field).unwrap_or_default()),
    }
}

/// The addresses in a text, with commas between them: at most one of each family that is served.
fn listed(what: &str, text: &str, families: Families, mode: Mode) -> Result<Vec<IpAddr>, Problem> {
    let mut found: Vec<IpAddr> = Vec::new();
    for one in text.split(',').map(str::trim) {
        let Ok(address) = one.parse::<IpAddr>() else {
            return Err(Problem::refused(
                Reason::RequestConflict,
                format!("{what} is {text:?}, of which {one:?} is not an IP address"),
            ));
        };
        let family = Family::of(address);
        if matches!(families, Families::Only(only) if only != family) {
            let why = match mode {
                Mode::Overlay => format!("but {} serves IPv4 only", mode.as_str()),
                Mode::Vlan => format!("but spec.ipFamilies of the Service has no {family}"),
            };
            return Err(Problem::refused(
                Reason::IPFamilyUnsupported,
                format!("{what} asks for {address}, {why}"),
            ));
        }
        if found.iter().any(|other| Family::of(*other) == family && *other != address) {
            return Err(Problem::refused(
                Reason::RequestConflict,
                format!("{what} is {text:?}: ask for at most one address of each family"),
            ));
        }
        found.push(address);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn refusal(change: impl FnOnce(&mut Service)) -> (Reason, String) {
        let mut service = testing::service();
        change(&mut service);
        let problem = read(&service, Mode::Overlay).unwrap_err();
        (problem.reason, problem.message)
    }

    fn annotated(service: &mut Service, key: &str, value: &str) {
        service.annotations.insert(key.to_owned(), value.to_owned());
    }

    #[test]
    fn a_plain_service_asks_for_any_address() {
        let (request, warnings) = read(&testing::service(), Mode::Overlay).unwrap();
        assert_eq!((request.addresses, request.pool), (Vec::new(), None));
        assert_eq!(request.ports.len(), 1);
        assert!(warnings.is_empty());
    }

    #[test]
    fn what_is_not_covered_is_refused_by_name() {
        let (reason, _) = refusal(|s| s.source_ranges = vec!["10.0.0.0/8".into()]);
        assert_eq!(reason, Reason::SourceRangesUnsupported);
        let (reason, _) = refusal(|s| s.families = Families::Only(Family::V6));
        assert_eq!(reason, Reason::IPFamilyUnsupported);
        let (reason, _) = refusal(|s| s.families = Families::Both);
        assert_eq!(reason, Reason::IPFamilyUnsupported);
        let (reason, text) = refusal(|s| s.ports[0].node_port = None);
        assert_eq!(reason, Reason::NodePortRequired);
        assert!(text.contains("port 80 (TCP)") && text.contains("allocateLoadBalancerNodePorts"));
        for alias in [names::ANNOTATION_SHARE, names::ALIASES_SHARE[0]] {
            let (reason, _) = refusal(|s| annotated(s, alias, "key"));
            assert_eq!(reason, Reason::SharingConflict);
        }
    }

    #[test]
    fn source_ranges_take_a_live_service_off_the_network() {
        let mut service = testing::service();
        service.source_ranges = vec!["10.0.0.0/8".into()];
        let problem = read(&service, Mode::Overlay).unwrap_err();
        assert_eq!(problem.severity, crate::problem::Severity::Withdrawn);
    }

    #[test]
    fn preferring_dual_stack_is_served_with_a_warning() {
        let mut service = testing::service();
        service.families = Families::Prefer(Family::V6);
        let (_, warnings) = read(&service, Mode::Overlay).unwrap();
        assert_eq!(warnings[0].reason, Reason::IPFamilyUnsupported);
    }

    #[test]
    fn an_address_is_read_from_field_annotation_or_alias_and_ours_wins() {
        let mut service = testing::service();
        annotated(&mut service, "metallb.io/loadBalancerIPs", "198.51.100.21");
        let asked = |s: &Service| read(s, Mode::Overlay).unwrap().0.v4().unwrap().to_string();
        assert_eq!(asked(&service), "198.51.100.21");
        annotated(&mut service, names::ANNOTATION_ADDRESSES, "198.51.100.22");
        assert_eq!(asked(&service), "198.51.100.22");
        service.load_balancer_ip = Some("198.51.100.22".into());
        assert_eq!(asked(&service), "198.51.100.22");
    }

    #[test]
    fn an_unreadable_or_contradictory_address_is_refused() {
        for text in ["web", "198.51.100.1,198.51.100.2", "198.51.100.1/24"] {
            let (reason, message) = refusal(|s| s.load_balancer_ip = Some(text.into()));
            assert_eq!(reason, Reason::RequestConflict, "{text}");
            assert!(message.contains(text), "{message}");
        }
        let (reason, _) = refusal(|s| s.load_balancer_ip = Some("2001:db8::1".into()));
        assert_eq!(reason, Reason::IPFamilyUnsupported);
        let (reason, _) = refusal(|s| {
            s.load_balancer_ip = Some("198.51.100.1".into());
            annotated(s, names::ANNOTATION_ADDRESSES, "198.51.100.2");
        });
        assert_eq!(reason, Reason::RequestConflict);
    }

    #[test]
    fn a_too_long_affinity_is_cut_and_said() {
        let mut service = testing::service();
        service.affinity = Some(86_400);
        let (request, warnings) = read(&service, Mode::Overlay).unwrap();
        assert_eq!(request.affinity, Some(65_535));
        assert_eq!(warnings[0].reason, Reason::AffinityClamped);
    }

    fn on_vlan(change: impl FnOnce(&mut Service)) -> Result<Request, (Reason, String)> {
        let mut service = testing::service();
        change(&mut service);
        let read = read(&service, Mode::Vlan);
        read.map(|(request, _)| request).map_err(|problem| (problem.reason, problem.message))
    }

    #[test]
    fn in_vlan_mode_an_address_of_each_family_may_be_asked_for() {
        let asked = |families, text: &str| {
            on_vlan(|s| {
                s.families = families;
                annotated(s, names::ANNOTATION_ADDRESSES, text);
            })
        };
        let both = asked(Families::Both, "2001:db8::1, 198.51.100.1,2001:db8::1").unwrap();
        let text: Vec<_> = both.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["198.51.100.1", "2001:db8::1"]);
        let (reason, message) = asked(Families::Only(Family::V4), "2001:db8::1").unwrap_err();
        assert_eq!(reason, Reason::IPFamilyUnsupported);
        assert!(message.contains("spec.ipFamilies of the Service has no IPv6"), "{message}");
        let (reason, message) = asked(Families::Both, "198.51.100.1,198.51.100.2").unwrap_err();
        assert_eq!(reason, Reason::RequestConflict);
        assert!(message.contains("at most one address of each family"), "{message}");
    }

    #[test]
    fn the_field_may_name_one_of_the_addresses_that_the_annotation_names() {
        let asked = |field: &str| {
            on_vlan(|s| {
                s.families = Families::Both;
                s.load_balancer_ip = Some(field.into());
                annotated(s, names::ANNOTATION_ADDRESSES, "198.51.100.1,2001:db8::1");
            })
        };
        assert_eq!(asked("2001:db8::1").unwrap().addresses.len(), 2);
        assert_eq!(asked("2001:db8::2").unwrap_err().0, Reason::RequestConflict);
    }

    #[test]
    fn who_shares_leads_to_any_machine_or_to_those_of_the_same_pods() {
        let shared = |policy, selector: &str| {
            on_vlan(|s| {
                (s.policy, s.selector) = (policy, selector.into());
                annotated(s, names::ANNOTATION_SHARE, "edge");
            })
        };
        let backends =
            |policy, selector| shared(policy, selector).unwrap().sharing.unwrap().backends;
        assert_eq!(backends(TrafficPolicy::Cluster, "default/app=web"), "");
        assert_eq!(backends(TrafficPolicy::Local, "default/app=web"), "default/app=web");
        let (reason, message) = shared(TrafficPolicy::Local, "").unwrap_err();
        assert_eq!(reason, Reason::SharingConflict);
        assert!(message.contains("spec.selector"), "{message}");
    }

    #[test]
    fn in_vlan_mode_the_tenant_itself_does_the_rest() {
        let mut service = testing::service();
        service.source_ranges = vec!["10.0.0.0/8".into()];
        service.ports[0].node_port = None;
        service.affinity = Some(86_400);
        let (request, warnings) = read(&service, Mode::Vlan).unwrap();
        assert_eq!((request.ports.len(), warnings), (1, Vec::new()));
    }
}
