//! The processes of a cluster and their files.

use std::path::PathBuf;

use anyhow::Result;
use rcgen::KeyPair;

use super::{Families, audit, pki::Authority};
use crate::exec::{Exec, Place};
use crate::process::Process;
use crate::sandbox::{self, MANAGEMENT_ADDRESS};

/// Where a cluster keeps its files and which ports it has.
pub(super) struct Settings {
    pub(super) dir: PathBuf,
    pub(super) data: PathBuf,
    pub(super) port: u16,
    /// etcd's client port and peer port.
    pub(super) etcd_ports: [u16; 2],
    pub(super) families: Families,
}

impl Settings {
    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }
}

pub(super) fn write_files(settings: &Settings, authority: &Authority) -> Result<()> {
    std::fs::create_dir_all(settings.dir.join("certificates"))?;
    std::fs::create_dir_all(&settings.data)?;
    let server = authority.server(MANAGEMENT_ADDRESS)?;
    let tokens = KeyPair::generate()?;
    for (name, text) in [
        ("ca.crt", authority.certificate()),
        ("server.crt", server.certificate),
        ("server.key", server.key),
        ("tokens.key", tokens.serialize_pem()),
        ("tokens.pub", tokens.public_key_pem()),
        ("audit-policy.yaml", audit::POLICY.to_owned()),
        ("audit.log", String::new()),
    ] {
        std::fs::write(settings.dir.join(name), text)?;
    }
    Ok(())
}

pub(super) fn etcd(name: &str, settings: &Settings) -> Result<Process> {
    let [client, peer] = settings.etcd_ports.map(|port| format!("http://127.0.0.1:{port}"));
    let exec = Exec::new(Place::Sandbox, &sandbox::current()?.components.etcd)
        .arg(format!("--data-dir={}", settings.data.join("etcd").display()))
        .args(["--unsafe-no-fsync", "--log-level=warn"])
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"));
    Process::start(format!("etcd of {name}"), exec, settings.log("etcd"))
}

pub(super) fn api_server(name: &str, settings: &Settings) -> Result<Process> {
    let [etcd, _] = settings.etcd_ports;
    let ranges = match settings.families {
        Families::Ipv4 => "10.96.0.0/16",
        Families::Both => "10.96.0.0/16,fd00:10:96::/112",
    };
    let exec = Exec::new(Place::Sandbox, &sandbox::current()?.components.kube_apiserver)
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .arg(format!("--secure-port={}", settings.port))
        .args(["--bind-address=0.0.0.0", "--endpoint-reconciler-type=none"])
        .arg(format!("--advertise-address={MANAGEMENT_ADDRESS}"))
        .arg(format!("--service-cluster-ip-range={ranges}"))
        .arg("--authorization-mode=RBAC")
        // Wide enough for ten thousand ports.
        .arg("--service-node-port-range=30000-49999")
        .arg(format!("--cert-dir={}", settings.file("certificates")))
        .arg(format!("--tls-cert-file={}", settings.file("server.crt")))
        .arg(format!("--tls-private-key-file={}", settings.file("server.key")))
        .arg(format!("--client-ca-file={}", settings.file("ca.crt")))
        .arg(format!("--service-account-key-file={}", settings.file("tokens.pub")))
        .arg(format!("--service-account-signing-key-file={}", settings.file("tokens.key")))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--audit-policy-file={}", settings.file("audit-policy.yaml")))
        .arg(format!("--audit-log-path={}", settings.file("audit.log")))
        .arg("--audit-log-mode=blocking-strict")
        // Nothing makes default ServiceAccounts, and no node controller takes taints away.
        .arg("--disable-admission-plugins=ServiceAccount,TaintNodesByCondition")
        .args(["--allow-privileged", "--profiling=false"])
        // A short life in plenty of memory: less garbage collection, an earlier start. What ten
        // thousand objects take is below that limit: above it, a server does little else.
        .env("GOGC", "400")
        .env("GOMEMLIMIT", "1GiB");
    Process::start(format!("kube-apiserver of {name}"), exec, settings.log("kube-apiserver"))
}

pub(super) fn controllers(name: &str, settings: &Settings) -> Result<Process> {
    let components = &sandbox::current()?.components;
    let wanted = "endpointslice-controller,garbage-collector-controller,namespace-controller";
    let exec = Exec::new(Place::Sandbox, components.kubernetes.join("kube-controller-manager"))
        .arg(format!("--kubeconfig={}", settings.file("admin.kubeconfig")))
        .arg(format!("--controllers={wanted}"))
        .args(["--leader-elect=false", "--secure-port=0", "--kube-api-qps=200"])
        .args(["--kube-api-burst=400", "--concurrent-gc-syncs=4"]);
    let log = settings.log("kube-controller-manager");
    Process::start(format!("kube-controller-manager of {name}"), exec, log)
}
