//! What is to be done: data, complete in itself, for an executor that makes no choices.

use std::collections::{BTreeMap, BTreeSet};

use cpo_api::{AddressPoolStatus, EipSpec, EipStatus, L2AdvertisementStatus, TenantClusterStatus};
use serde_json::Value;
use uuid::Uuid;

use crate::ids::{ServiceKey, TenantName, Uid, Version};
use crate::ovn::LoadBalancer;
use crate::service::Protocol;

/// One effect on one system.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// On the tenant's API server.
    Tenant(TenantEffect),
    /// On the under cluster's API server.
    Under(UnderEffect),
    /// On the Northbound database.
    Ovn(Vec<LbEdit>),
}

impl Effect {
    /// Whether it binds this `Eip`, or says something new of it.
    #[must_use]
    pub fn binds_eip(&self, eip: &str) -> bool {
        match self {
            Self::Under(
                UnderEffect::BindEip { name, .. } | UnderEffect::PatchEipStatus { name, .. },
            ) => name == eip,
            Self::Under(_) | Self::Tenant(_) | Self::Ovn(_) => false,
        }
    }

    /// What it is, in one word for the log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tenant(TenantEffect::PatchService { .. }) => "patch-service",
            Self::Tenant(TenantEffect::Event(_)) => "event",
            Self::Under(effect) => effect.name(),
            Self::Ovn(_) => "ovn-transaction",
        }
    }

    /// Whether it does nothing but tell how things stand.
    #[must_use]
    pub const fn tells(&self) -> bool {
        match self {
            Self::Tenant(TenantEffect::Event(_))
            | Self::Under(UnderEffect::PatchEipStatus { .. }) => true,
            Self::Tenant(TenantEffect::PatchService { .. }) | Self::Under(_) | Self::Ovn(_) => {
                false
            }
        }
    }

    /// Whether it tells of something that is wrong.
    #[must_use]
    pub const fn is_complaint(&self) -> bool {
        match self {
            Self::Tenant(TenantEffect::Event(notice)) => notice.warning,
            Self::Tenant(TenantEffect::PatchService { .. }) | Self::Under(_) | Self::Ovn(_) => {
                false
            }
        }
    }

    /// Whether it tells of something that was done, and so has to wait until it is.
    #[must_use]
    pub const fn is_good_news(&self) -> bool {
        match self {
            Self::Tenant(TenantEffect::Event(notice)) => !notice.warning,
            Self::Tenant(TenantEffect::PatchService { .. }) | Self::Under(_) | Self::Ovn(_) => {
                false
            }
        }
    }
}

/// An effect on a tenant's API server.
#[derive(Clone, Debug, PartialEq)]
pub enum TenantEffect {
    /// Strategic-merge patch of `services/status`.
    PatchService {
        /// The Service.
        key: ServiceKey,
        /// The patch; it carries `metadata.uid`, so that a namesake is never patched.
        patch: Value,
    },
    /// An Event on the Service.
    Event(Notice),
}

/// An Event, before it has a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The Service it regards.
    pub key: ServiceKey,
    /// Its UID.
    pub uid: Uid,
    /// A warning, or good news.
    pub warning: bool,
    /// CamelCase reason.
    pub reason: String,
    /// For a person.
    pub message: String,
}

/// What an `OvnEip` of ours is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The address of a Service.
    Service(ServiceKey),
    /// An address that an operator reserved for a tenant.
    Reserved {
        /// The address.
        address: std::net::Ipv4Addr,
        /// The tenant.
        tenant: String,
    },
}

/// The `TenantCluster` that an object of ours ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: TenantName,
    /// Its UID.
    pub uid: Uid,
}

/// An effect on the under cluster's API server.
#[derive(Clone, Debug, PartialEq)]
pub enum UnderEffect {
    /// Create an `OvnEip`.
    CreateOvnEip {
        /// Name.
        name: String,
        /// What it is for.
        purpose: Purpose,
        /// The `AddressPool` it is drawn from.
        pool: String,
        /// Kube-OVN Subnet to draw from.
        subnet: String,
        /// The very address, where one is wanted.
        v4: Option<std::net::Ipv4Addr>,
    },
    /// Put our labels and annotation back on an `OvnEip`.
    LabelOvnEip {
        /// Name.
        name: String,
        /// What it is for.
        purpose: Purpose,
    },
    /// Delete an `OvnEip`.
    DeleteOvnEip {
        /// Name.
        name: String,
        /// Only this incarnation.
        uid: Uid,
    },
    /// Create an `Eip`: the moment an address is assigned.
    CreateEip {
        /// Spec.
        spec: EipSpec,
    },
    /// Replace an `Eip`'s spec, if it is still of this version.
    BindEip {
        /// Name.
        name: String,
        /// Version it must have.
        version: Version,
        /// New spec.
        spec: EipSpec,
    },
    /// Write an `Eip`'s status.
    PatchEipStatus {
        /// Name.
        name: String,
        /// Only this incarnation.
        uid: Uid,
        /// Version it must have: then the whole status is replaced. Without, all is but what
        /// speakers say and when it was released.
        version: Option<Version>,
        /// New status.
        status: EipStatus,
    },
    /// Delete an `Eip`, if it is still of this version.
    DeleteEip {
        /// Name.
        name: String,
        /// Only this incarnation.
        uid: Uid,
        /// Version it must have.
        version: Version,
    },
    /// Make the shield, or mark it ready.
    RaiseShield {
        /// Name: that of all our rows.
        name: String,
        /// It has to be created first.
        create: bool,
    },
    /// Replace a `TenantCluster`'s status.
    PatchTenantStatus {
        /// Name.
        name: TenantName,
        /// New status.
        status: TenantClusterStatus,
    },
    /// Add or remove our finalizer on a `TenantCluster`.
    TenantFinalizer {
        /// Name.
        name: TenantName,
        /// Version it must have.
        version: Version,
        /// All finalizers it is to have, those of others among them.
        finalizers: Vec<String>,
    },
    /// An Event on a `TenantCluster`.
    TenantEvent {
        /// Name.
        name: TenantName,
        /// Its UID.
        uid: Uid,
        /// CamelCase reason.
        reason: &'static str,
        /// For a person.
        message: String,
    },
    /// Write the objects for a tenant's own MetalLB into a ConfigMap, unless it holds them.
    RenderMetallb {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The `TenantCluster` it ends with.
        owner: Owner,
        /// MetalLB's objects.
        documents: Vec<Value>,
    },
    /// Replace an `L2Advertisement`'s status.
    PatchAdvertisementStatus {
        /// Name.
        name: String,
        /// New status.
        status: L2AdvertisementStatus,
    },
    /// Replace an `AddressPool`'s status.
    PatchPoolStatus {
        /// Name.
        name: String,
        /// New status.
        status: AddressPoolStatus,
    },
}

impl UnderEffect {
    const fn name(&self) -> &'static str {
        match self {
            Self::CreateOvnEip { .. } => "create-ovn-eip",
            Self::LabelOvnEip { .. } => "label-ovn-eip",
            Self::DeleteOvnEip { .. } => "delete-ovn-eip",
            Self::CreateEip { .. } => "create-eip",
            Self::BindEip { .. } => "bind-eip",
            Self::PatchEipStatus { .. } => "patch-eip-status",
            Self::DeleteEip { .. } => "delete-eip",
            Self::RaiseShield { .. } => "raise-shield",
            Self::PatchTenantStatus { .. } => "patch-tenant-status",
            Self::TenantFinalizer { .. } => "tenant-finalizer",
            Self::TenantEvent { .. } => "tenant-event",
            Self::RenderMetallb { .. } => "render-metallb",
            Self::PatchAdvertisementStatus { .. } => "patch-advertisement-status",
            Self::PatchPoolStatus { .. } => "patch-pool-status",
        }
    }
}

/// A router, as a transaction refers to it: if it is no longer that, nothing is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterRef {
    /// `_uuid`.
    pub uuid: Uuid,
    /// `name`.
    pub name: String,
}

/// One edit of one `Load_Balancer` row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LbEdit {
    /// Insert a new incarnation under a fresh UUID and attach it.
    Insert {
        /// The row.
        row: LoadBalancer,
        /// The router to attach it to.
        router: RouterRef,
    },
    /// Write the columns that differ.
    Change {
        /// `_uuid`.
        row: Uuid,
        /// `external_ids:owner` it must have.
        owner: String,
        /// The columns.
        change: LbChange,
    },
    /// Attach an existing row.
    Attach {
        /// `_uuid`.
        row: Uuid,
        /// The router to attach it to.
        router: RouterRef,
    },
    /// Detach an existing row.
    Detach {
        /// `_uuid`.
        row: Uuid,
        /// The router to detach it from.
        router: Uuid,
    },
    /// Delete a tombstone.
    Delete {
        /// `_uuid`.
        row: Uuid,
        /// `external_ids:owner` it must have.
        owner: String,
    },
}

impl LbEdit {
    /// The row it edits; nil for one that does not exist yet.
    #[must_use]
    pub const fn row(&self) -> Uuid {
        match self {
            Self::Insert { .. } => Uuid::nil(),
            Self::Change { row, .. }
            | Self::Attach { row, .. }
            | Self::Detach { row, .. }
            | Self::Delete { row, .. } => *row,
        }
    }
}

/// The columns of a `Load_Balancer` row to write; `None` leaves one alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LbChange {
    /// `name`.
    pub name: Option<String>,
    /// `protocol`.
    pub protocol: Option<Protocol>,
    /// `vips`.
    pub vips: Option<BTreeMap<String, String>>,
    /// `options`.
    pub options: Option<BTreeMap<String, String>>,
    /// `selection_fields`.
    pub selection_fields: Option<BTreeSet<String>>,
    /// `external_ids`.
    pub external_ids: Option<BTreeMap<String, String>>,
}
