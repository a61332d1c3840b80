//! Versions and module files of the components, part of the program: it needs no source tree.

/// Version of Kubernetes, as in its `go.mod`; linked into the binaries.
pub(super) const KUBERNETES_VERSION: &str = "v1.36.3";

/// A Go module that exists to pin a component and all it depends on.
pub(super) struct Module {
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
    pub(super) source: &'static str,
    /// Name of the file that holds `source`.
    pub(super) file: &'static str,
}

pub(super) const KUBERNETES: Module = Module {
    go_mod: include_str!("../../components/kubernetes/go.mod"),
    go_sum: include_str!("../../components/kubernetes/go.sum"),
    source: include_str!("../../components/kubernetes/tools.go"),
    file: "tools.go",
};

pub(super) const ETCD: Module = Module {
    go_mod: include_str!("../../components/etcd/go.mod"),
    go_sum: include_str!("../../components/etcd/go.sum"),
    source: include_str!("../../components/etcd/main.go"),
    file: "main.go",
};

pub(super) const LIBOVSDB: Module = Module {
    go_mod: include_str!("../../components/libovsdb/go.mod"),
    go_sum: include_str!("../../components/libovsdb/go.sum"),
    source: include_str!("../../components/libovsdb/main.go"),
    file: "main.go",
};

/// MetalLB's version, and the program that is compiled within its module: what it measures can be
/// imported from nowhere else.
pub(super) const METALLB_VERSION: &str = "v0.16.1";

/// See [`METALLB_VERSION`].
pub(super) const METALLB_SOURCE: &str = include_str!("../../components/metallb/main.go");

pub(super) const KUBE_OVN: Module = Module {
    go_mod: include_str!("../../components/kube-ovn/go.mod"),
    go_sum: include_str!("../../components/kube-ovn/go.sum"),
    source: include_str!("../../components/kube-ovn/tools.go"),
    file: "tools.go",
};

/// The Debian suite of the root file system: OVN 25.03, OVS 3.5, FRR 10.3, BIRD 2.17, GoBGP 3.36.
pub(super) const SUITE: &str = "trixie";

/// The suite of the older root file system, of Ubuntu: OVN 24.03, OVS 3.3.
pub(super) const OLDER_SUITE: &str = "noble";

/// Packages of the older root file system.
pub(super) const OLDER_PACKAGES: &str = "ovn-central";

/// The package of [`SUITE`] with the keys that [`OLDER_SUITE`] is signed with.
pub(super) const OLDER_KEYS: &str = "ubuntu-archive-keyring";

/// Packages of the root file system; extracted, never installed.
pub(super) const PACKAGES: &str = "ovn-central,ovn-host,openvswitch-switch,frr,bird2,gobgpd,\
nftables,iptables,iproute2,ethtool,tcpdump,arping,ndisc6,conntrack,curl,bash,coreutils,procps,\
python3-openvswitch";
