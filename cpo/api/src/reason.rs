//! Machine-readable reasons: what a user can fix.

use std::fmt;

/// Why a Service is not, or not fully, served. CamelCase on the wire: in conditions, Events,
/// `kubectl get eips` and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Another host or owner holds the address we had assigned.
    AddressConflict,
    /// The requested address cannot be given: for a tenant the same as not in any pool of its.
    AddressInUse,
    /// The requested address is not in a pool of the tenant, or reserved in it.
    AddressNotInPool,
    /// `sessionAffinityConfig` asks for more seconds than OVN holds.
    AffinityClamped,
    /// A node's address on the under cluster is not inside the tenant's VPC.
    BackendForeign,
    /// The nodes of one Service lie in several VPCs.
    BackendsSpanVPCs,
    /// Another load balancer of the router, or a NAT rule, holds the address and port.
    EIPPortConflict,
    /// The address is outside every network of the router's gateway port.
    EIPNotOnRouter,
    /// Another controller in the tenant writes the same status.
    ContendedService,
    /// The Service asks for an address family that overlay mode does not serve.
    IPFamilyUnsupported,
    /// More than one distributed gateway port on the router.
    MultiDGPUnsupported,
    /// No `L2Advertisement` announces addresses of the pool for this Service.
    NoAdvertisement,
    /// The router has no distributed gateway port.
    NoGatewayPort,
    /// No node of the tenant may receive traffic for this Service.
    NoEligibleNodes,
    /// No speaker announces the address yet, or any more.
    NoSpeaker,
    /// A port has no nodePort, which overlay mode sends to.
    NodePortRequired,
    /// The backend's address is not one the tenant's kube-proxy answers nodePorts on.
    NodePortUnreachable,
    /// The Northbound database cannot be reached.
    OVNUnavailable,
    /// Kube-OVN has not made the address ready.
    OvnEipPending,
    /// Kube-OVN reports another address than the one it was asked for.
    OvnEipStatusInconsistent,
    /// No free address in any pool the tenant may use.
    PoolExhausted,
    /// The named pool is not open to this tenant.
    PoolNotAllowed,
    /// No pool is open to this tenant.
    PoolNotFound,
    /// The pool's addresses are not on the tenant's VLAN.
    PoolNotInVlan,
    /// The tenant has what its quota allows.
    QuotaExceeded,
    /// Two fields of the Service ask for different things, or a value cannot be read.
    RequestConflict,
    /// Replies to clients behind the provider network have no way back.
    ReturnPathMissing,
    /// More than one router carries the VPC's name.
    RouterAmbiguous,
    /// No router carries the VPC's name.
    RouterNotFound,
    /// The object that keeps Kube-OVN's collector off our rows cannot be made.
    ShieldMissing,
    /// The address cannot be shared.
    SharingConflict,
    /// A write for the Service keeps failing.
    SyncLoadBalancerFailed,
    /// Source ranges cannot be enforced; the Service is not served.
    SourceRangesUnsupported,
    /// With `externalTrafficPolicy: Local`, an endpoint names no node.
    EndpointWithoutNode,
    /// The tenant's API server cannot be reached, or refuses us.
    TenantUnreachable,
    /// The kubeconfig of the tenant holds a field or a value that is not accepted.
    KubeconfigRejected,
}

impl Reason {
    /// The word as written into objects.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressConflict => "AddressConflict",
            Self::AddressInUse => "AddressInUse",
            Self::AddressNotInPool => "AddressNotInPool",
            Self::AffinityClamped => "AffinityClamped",
            Self::BackendForeign => "BackendForeign",
            Self::BackendsSpanVPCs => "BackendsSpanVPCs",
            Self::ContendedService => "ContendedService",
            Self::EIPPortConflict => "EIPPortConflict",
            Self::EIPNotOnRouter => "EIPNotOnRouter",
            Self::IPFamilyUnsupported => "IPFamilyUnsupported",
            Self::MultiDGPUnsupported => "MultiDGPUnsupported",
            Self::NoAdvertisement => "NoAdvertisement",
            Self::NoGatewayPort => "NoGatewayPort",
            Self::NoEligibleNodes => "NoEligibleNodes",
            Self::NoSpeaker => "NoSpeaker",
            Self::NodePortRequired => "NodePortRequired",
            Self::NodePortUnreachable => "NodePortUnreachable",
            Self::OVNUnavailable => "OVNUnavailable",
            Self::OvnEipPending => "OvnEipPending",
            Self::OvnEipStatusInconsistent => "OvnEipStatusInconsistent",
            Self::PoolExhausted => "PoolExhausted",
            Self::PoolNotAllowed => "PoolNotAllowed",
            Self::PoolNotFound => "PoolNotFound",
            Self::PoolNotInVlan => "PoolNotInVlan",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::RequestConflict => "RequestConflict",
            Self::ReturnPathMissing => "ReturnPathMissing",
            Self::RouterAmbiguous => "RouterAmbiguous",
            Self::RouterNotFound => "RouterNotFound",
            Self::ShieldMissing => "ShieldMissing",
            Self::SyncLoadBalancerFailed => "SyncLoadBalancerFailed",
            Self::SharingConflict => "SharingConflict",
            Self::SourceRangesUnsupported => "SourceRangesUnsupported",
            Self::EndpointWithoutNode => "EndpointWithoutNode",
            Self::TenantUnreachable => "TenantUnreachable",
            Self::KubeconfigRejected => "KubeconfigRejected",
        }
    }

    /// What a tenant is told: "not allowed", "not in the pool" and "in use by someone else" read
    /// the same, so that no answer reveals who owns what.
    #[must_use]
    pub const fn for_tenant(self) -> Self {
        match self {
            Self::AddressInUse | Self::AddressConflict | Self::PoolNotInVlan => {
                Self::AddressNotInPool
            }
            Self::PoolNotFound => Self::PoolNotAllowed,
            other => other,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
