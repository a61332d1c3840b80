//! What an operator does about each reason: the short form of the table in `docs/operations.md`.

use crate::Reason;

impl Reason {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::AddressConflict,
        Self::AddressInUse,
        Self::AddressNotInPool,
        Self::AffinityClamped,
        Self::BackendForeign,
        Self::BackendsSpanVPCs,
        Self::ContendedService,
        Self::EIPNotOnRouter,
        Self::EIPPortConflict,
        Self::EndpointWithoutNode,
        Self::IPFamilyUnsupported,
        Self::KubeconfigRejected,
        Self::MultiDGPUnsupported,
        Self::NoAdvertisement,
        Self::NoEligibleNodes,
        Self::NoGatewayPort,
        Self::NoSpeaker,
        Self::NodePortRequired,
        Self::NodePortUnreachable,
        Self::OVNUnavailable,
        Self::OvnEipPending,
        Self::OvnEipStatusInconsistent,
        Self::PoolExhausted,
        Self::PoolNotAllowed,
        Self::PoolNotFound,
        Self::PoolNotInVlan,
        Self::QuotaExceeded,
        Self::RequestConflict,
        Self::ReturnPathMissing,
        Self::RouterAmbiguous,
        Self::RouterNotFound,
        Self::SharingConflict,
        Self::ShieldMissing,
        Self::SourceRangesUnsupported,
        Self::SyncLoadBalancerFailed,
        Self::TenantUnreachable,
    ];

    /// The reason a word of a condition stands for, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }

    /// What to do about it, for the operator of the under cluster.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::AddressConflict => {
                "find who took the address (`kubectl get oeip,eips`), and take it from him; it is \
                 taken back as soon as it can be"
            }
            Self::AddressInUse => {
                "let the tenant ask for another address, or none; or free this one: \
                 `kubectl get eips,oeip` says who has it"
            }
            Self::AddressNotInPool => {
                "let the tenant ask for another address, or none; or open a pool that holds this \
                 one to the tenant"
            }
            Self::AffinityClamped => "nothing: OVN holds client affinity for at most 65535 s",
            Self::BackendForeign => {
                "name the Subnet whose addresses count in spec.overlay.subnets of the TenantCluster"
            }
            Self::BackendsSpanVPCs => "name the VPC in spec.overlay.vpc of the TenantCluster",
            Self::ContendedService => {
                "stop the other controller in the tenant that writes the same status, or give it a \
                 loadBalancerClass of its own"
            }
            Self::EIPNotOnRouter => {
                "let the tenant draw from a pool on the network its VPC's router is attached to"
            }
            Self::EIPPortConflict => {
                "remove the other load balancer or NAT rule that the message names, if it is not \
                 wanted; else let the tenant use another port or address"
            }
            Self::EndpointWithoutNode => {
                "let the tenant set nodeName on the endpoint, or use externalTrafficPolicy: Cluster"
            }
            Self::IPFamilyUnsupported => "let the tenant ask for IPv4 alone",
            Self::KubeconfigRejected => {
                "correct the field that the message names in the tenant's kubeconfig Secret; it is \
                 tried again at once"
            }
            Self::MultiDGPUnsupported => "leave one external Subnet on the Vpc",
            Self::NoEligibleNodes => {
                "check spec.backends of the TenantCluster against namespace and labels of the VMs, \
                 that they run, and that Kube-OVN's IP objects exist (`kubectl get ips`); with \
                 externalTrafficPolicy: Local, that an endpoint is ready"
            }
            Self::NoGatewayPort => {
                "set enableExternal: true on the Vpc, label a node \
                 ovn.kubernetes.io/external-gw=true, then touch the Vpc"
            }
            Self::NodePortRequired => {
                "let the tenant set spec.allocateLoadBalancerNodePorts to true, or the nodePort"
            }
            Self::NodePortUnreachable => {
                "set --node-ip of the kubelet, or --nodeport-addresses of kube-proxy, so that \
                 nodePorts answer at the VM's address"
            }
            Self::OVNUnavailable => {
                "make the Northbound database reachable: Pods and endpoints of ovn-nb in \
                 kube-system, CPO_OVN_NB, certificates"
            }
            Self::OvnEipPending => {
                "`kubectl describe oeip`, and the log of kube-ovn-controller, say why Kube-OVN does \
                 not grant the address"
            }
            Self::OvnEipStatusInconsistent => {
                "nothing, if it ends by itself; else look at the log of kube-ovn-controller"
            }
            Self::PoolExhausted => {
                "add addresses to the pool or its Subnet, or open another pool to the tenant; \
                 `cpo eips --not-ready` shows addresses that rest, or are kept or reserved for \
                 nobody"
            }
            Self::PoolNotAllowed => {
                "open the pool to the tenant, or let the tenant name another: \
                 `kubectl describe apool` has who may draw and whether it is Ready"
            }
            Self::PoolNotFound => {
                "make an AddressPool that is open to the tenant, with autoAssign where the Service \
                 names none; or let the tenant name one that exists (`cpo pools`)"
            }
            Self::QuotaExceeded => {
                "raise spec.quota of the TenantCluster, or let the tenant delete a Service it does \
                 not need; addresses that rest or are kept count too"
            }
            Self::RequestConflict => "let the tenant correct the field that the message names",
            Self::ReturnPathMissing => {
                "add to spec.policyRoutes of the Vpc: match \
                 `ip4.src == <cidr> && ip4.dst != <cidr>`, action reroute, nextHopIP the gateway of \
                 the external Subnet"
            }
            Self::RouterAmbiguous => "remove the stray Logical_Router of that name in OVN",
            Self::RouterNotFound => {
                "`kubectl describe vpc`: Kube-OVN has not made the VPC's router"
            }
            Self::SharingConflict => {
                "the message names the other Service: let the tenant take another port, the same \
                 key and policy, or no shared address (overlay mode offers none)"
            }
            Self::ShieldMissing => {
                "the log of cpo names the call for the OvnDnatRule that fails: a right that is \
                 missing, or a webhook"
            }
            Self::NoAdvertisement => {
                "make an L2Advertisement that names the pool, or selects it, and takes the Service"
            }
            Self::NoSpeaker => {
                "see that ccm-proxy runs on a node that spec.vlan.interfaces of the TenantCluster \
                 selects and that the L2Advertisement allows; `ccm-proxy status` there says why not"
            }
            Self::PoolNotInVlan => {
                "make a pool within spec.vlan.cidrs of the TenantCluster, or add the prefix there if \
                 it is on the link"
            }
            Self::SourceRangesUnsupported => {
                "let the tenant remove the ranges, and filter with a NetworkPolicy"
            }
            Self::SyncLoadBalancerFailed => {
                "the log of cpo names the write and its error: a right that is missing, a webhook, \
                 a quota"
            }
            Self::TenantUnreachable => {
                "make the tenant's API server reachable from cpo, and its rights there good \
                 (manifests/tenant-rbac.yaml); what the tenant has stays meanwhile"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of the table of reasons in the operators' page.
    fn words_of_the_page() -> Vec<&'static str> {
        let page = include_str!("../../../docs/operations.md");
        let table = page.split("\n## Reasons\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.filter_map(|row| row.split('`').next()).collect()
    }

    #[test]
    fn every_reason_is_in_the_list_and_is_read_back() {
        let source = include_str!("reason.rs");
        let written = source.matches(" => \"").count();
        assert_eq!(written, Reason::ALL.len(), "Reason::ALL and Reason::as_str differ");
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("Ready"), None);
    }

    #[test]
    fn every_reason_of_the_operators_page_has_a_remedy() {
        let words = words_of_the_page();
        assert!(words.len() > 30, "only {}", words.len());
        for word in words {
            let reason = Reason::parse(word).unwrap_or_else(|| panic!("{word} is no reason"));
            assert!(!reason.remedy().is_empty());
        }
    }
}
