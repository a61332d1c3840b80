//! What a Service asks for, read from its fields; and what of it is refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use cpo_api::{Reason, names};

use crate::problem::Problem;
use crate::service::{Port, Service};
use crate::tenant::Mode;

/// The longest affinity OVN holds, in seconds.
const MAX_AFFINITY: u32 = 65_535;

/// What a Service asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The one address it wants.
    pub address: Option<Ipv4Addr>,
    /// The pool it wants.
    pub pool: Option<String>,
    /// Whether the address outlives it.
    pub keep: bool,
    /// Its ports, each with the nodePort to send to, where one is.
    pub ports: Vec<(Port, u16)>,
    /// Client affinity in seconds, as far as OVN holds it; in VLAN mode the tenant's own.
    pub affinity: Option<u32>,
}

/// Reads a Service's wishes, of what its tenant's mode serves.
///
/// # Errors
/// The [`Problem`] of the first field that cannot be served; nothing of the Service is then
/// programmed anew.
pub fn read(service: &Service, mode: Mode) -> Result<(Request, Vec<Problem>), Problem> {
    let mut warnings = Vec::new();
    source_ranges(service, mode)?;
    warnings.extend(families(service, mode)?);
    if let Some(key) = first(&service.annotations, names::ANNOTATION_SHARE, names::ALIASES_SHARE) {
        return Err(Problem::refused(
            Reason::SharingConflict,
            format!(
                "annotation {} ({key:?}) asks to share an address, which {} does not offer; remove \
                 the annotation to get an address of its own",
                names::ANNOTATION_SHARE,
                mode.as_str()
            ),
        ));
    }
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
    let keep = service.annotations.get(names::ANNOTATION_KEEP).is_some_and(|v| v == "true");
    let address = address(service, mode)?;
    Ok((Request { address, pool: pool.map(str::to_owned), keep, ports, affinity }, warnings))
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

fn families(service: &Service, mode: Mode) -> Result<Option<Problem>, Problem> {
    if !service.ipv6 {
        return Ok(None);
    }
    let text = format!("{} serves IPv4 only", mode.as_str());
    if service.require_dual_stack || !service.ipv4 {
        let remedy = "set spec.ipFamilies to [IPv4] and spec.ipFamilyPolicy to SingleStack";
        return Err(Problem::refused(Reason::IPFamilyUnsupported, format!("{text}; {remedy}")));
    }
    Ok(Some(Problem::warning(
        Reason::IPFamilyUnsupported,
        format!("{text}: spec.ipFamilyPolicy PreferDualStack is served with an IPv4 address alone"),
    )))
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

fn address(service: &Service, mode: Mode) -> Result<Option<Ipv4Addr>, Problem> {
    let annotated =
        first(&service.annotations, names::ANNOTATION_ADDRESSES, names::ALIASES_ADDRESSES);
    let field = service.load_balancer_ip.as_deref().map(str::trim).filter(|v| !v.is_empty());
    let parsed = |what: &str, text: &str| -> Result<Ipv4Addr, Problem> {
        match text.parse() {
            Ok(IpAddr::V4(v4)) => Ok(v4),
            Ok(IpAddr::V6(_)) => Err(Problem::refused(
                Reason::IPFamilyUnsupported,
                format!("{what} asks for {text}, but {} serves IPv4 only", mode.as_str()),
            )),
            Err(_) => Err(Problem::refused(
                Reason::RequestConflict,
                format!("{what} is {text:?}, which is not one IPv4 address"),
            )),
        }
    };
    let annotated =
        annotated.map(|text| parsed(&format!("annotation {}", names::ANNOTATION_ADDRESSES), text));
    let field = field.map(|text| parsed("spec.loadBalancerIP", text));
    match (annotated.transpose()?, field.transpose()?) {
        (Some(annotated), Some(field)) if annotated != field => Err(Problem::refused(
            Reason::RequestConflict,
            format!(
                "spec.loadBalancerIP asks for {field} and annotation {} for {annotated}; remove one",
                names::ANNOTATION_ADDRESSES
            ),
        )),
        (annotated, field) => Ok(annotated.or(field)),
    }
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
        assert_eq!((request.address, request.pool), (None, None));
        assert_eq!(request.ports.len(), 1);
        assert!(warnings.is_empty());
    }

    #[test]
    fn what_is_not_covered_is_refused_by_name() {
        let (reason, _) = refusal(|s| s.source_ranges = vec!["10.0.0.0/8".into()]);
        assert_eq!(reason, Reason::SourceRangesUnsupported);
        let (reason, _) = refusal(|s| (s.ipv4, s.ipv6) = (false, true));
        assert_eq!(reason, Reason::IPFamilyUnsupported);
        let (reason, _) = refusal(|s| (s.ipv6, s.require_dual_stack) = (true, true));
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
        service.ipv6 = true;
        let (_, warnings) = read(&service, Mode::Overlay).unwrap();
        assert_eq!(warnings[0].reason, Reason::IPFamilyUnsupported);
    }

    #[test]
    fn an_address_is_read_from_field_annotation_or_alias_and_ours_wins() {
        let mut service = testing::service();
        annotated(&mut service, "metallb.io/loadBalancerIPs", "198.51.100.21");
        let asked = |s: &Service| read(s, Mode::Overlay).unwrap().0.address.unwrap().to_string();
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
