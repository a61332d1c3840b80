//! The product as a process: its rights, its credentials, its tenants.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::exec::{Exec, Place};
use crate::overlay::{Lab, Tenant};
use crate::process::Process;
use crate::{space, wait};

/// Namespace and name of the product's ServiceAccount, and the name of its user in tenants.
pub const NAME: &str = "cloud-provider-ovn";
/// How long the product may take to become ready.
const READY: Duration = Duration::from_secs(30);
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A running `cpo`.
#[derive(Debug)]
pub struct Cpo {
    process: Process,
    listen: SocketAddr,
}

/// How `cpo` is started. Its name is that of its Pod too: one that is started again has its Lease
/// back at once.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the process and its log: several can run beside each other.
    pub name: String,
    /// Further arguments.
    pub args: Vec<String>,
    /// Environment; `RUST_LOG` is `info,cpo=debug` unless set.
    pub env: Vec<(String, String)>,
    /// Where it finds the under cluster's API server, if not there where it is.
    pub api_server: Option<SocketAddr>,
    /// Where it finds the Northbound database, if not there where it is.
    pub northbound: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "cpo".to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            api_server: None,
            northbound: None,
        }
    }
}

impl Cpo {
    /// Starts `cpo run` with the product's own rights and waits until it is ready.
    ///
    /// # Errors
    /// When the binary is missing or does not become ready.
    pub async fn start(lab: &Lab, options: Options) -> Result<Self> {
        let cpo = Self::spawn(lab, options).await?;
        cpo.ready().await?;
        Ok(cpo)
    }

    /// Starts `cpo run` and does not wait for it.
    ///
    /// # Errors
    /// When the binary is missing.
    pub async fn spawn(lab: &Lab, options: Options) -> Result<Self> {
        let under = lab.under();
        let kubeconfig = under.kubeconfig_for_service_account(NAME, NAME, TOKEN_LIFETIME).await?;
        let kubeconfig = match options.api_server {
            Some(address) => kubeconfig.replace(&under.url(), &format!("https://{address}")),
            None => kubeconfig,
        };
        let northbound = options.northbound.unwrap_or_else(|| lab.ovn().northbound().tcp());
        let file = lab.space().dir().join(format!("{}.kubeconfig", options.name));
        std::fs::write(&file, kubeconfig)?;
        let listen = SocketAddr::from(([127, 0, 0, 1], space::port()));
        let exec = Exec::new(Place::Sandbox, binary()?)
            .args(["run", "--install", "default", "--kubeconfig"])
            .arg(file)
            .args(["--ovn-nb".to_owned(), northbound])
            .args(["--listen".to_owned(), listen.to_string()])
            .args(options.args)
            .env("RUST_LOG", "info,cpo=debug")
            .env("POD_NAME", &options.name);
        let exec = options.env.into_iter().fold(exec, |exec, (key, value)| exec.env(key, value));
        let log = lab.space().dir().join(format!("{}.log", options.name));
        Ok(Self { process: Process::start(options.name, exec, log)?, listen })
    }

    /// The process: kill it, pause it, start it again.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where it serves `/readyz` and `/metrics`.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When it ends, or does not for 30 s, with the end of its log.
    pub async fn ready(&self) -> Result<()> {
        let what = format!("{} to be ready", self.process.name());
        let waited = wait::until(&what, READY, || async {
            if !self.process.alive() {
                // An error of the value, not of the wait: it ends the wait at once.
                return Ok(Err(anyhow::anyhow!("{} has ended", self.process.name())));
            }
            match self.http("/readyz").await? {
                (200, _) => Ok(Ok(())),
                (code, body) => bail!("{code} {body}"),
            }
        });
        let ready = waited.await.and_then(std::convert::identity);
        ready.with_context(|| format!("log:\n{}", self.process.last_lines(20)))
    }

    /// The body of `/metrics`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.http("/metrics").await?.1)
    }

    /// The value of a metric, given with its labels.
    ///
    /// # Errors
    /// When it does not answer, or has no such metric.
    pub async fn metric(&self, name: &str) -> Result<u64> {
        let text = self.metrics().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no {name} in {text}"))?.parse()?)
    }

    /// Status and body of a GET.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn http(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.listen).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(16 << 20).read_to_string(&mut answer).await?;
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        Ok((code.context("no HTTP answer")?, body.unwrap_or_default()))
    }
}

/// Writes the product's definitions, ServiceAccount and rights to the under cluster.
///
/// # Errors
/// When a manifest is missing or refused.
pub async fn install(lab: &Lab) -> Result<()> {
    install_into(lab.under()).await
}

/// [`install`] into any cluster.
///
/// # Errors
/// When a manifest is missing or refused.
pub async fn install_into(under: &Cluster) -> Result<()> {
    let manifests = manifests();
    under.apply_path(&manifests.join("crds")).await?;
    under.apply_path(&manifests.join("rbac.yaml")).await?;
    under.apply_path(&manifests.join("ccm-proxy-rbac.yaml")).await
}

/// Makes a tenant known to the product: rights in the tenant, kubeconfig Secret, TenantCluster.
///
/// # Errors
/// When an object is refused.
pub async fn register(lab: &Lab, tenant: &Tenant) -> Result<()> {
    register_with(lab, tenant, json!({})).await
}

/// [`register`] with further fields of the TenantCluster's spec, which win.
///
/// # Errors
/// When an object is refused.
pub async fn register_with(lab: &Lab, tenant: &Tenant, spec: Value) -> Result<()> {
    grant(lab, tenant).await?;
    lab.under().apply(&tenant_cluster(tenant, spec)).await?;
    Ok(())
}

/// Gives the product its rights in a tenant: a user with its role, and the Secret with that user's
/// kubeconfig, which the product may read.
///
/// # Errors
/// When a manifest is missing or refused.
pub async fn grant(lab: &Lab, tenant: &Tenant) -> Result<()> {
    tenant.cluster().apply_path(&manifests().join("tenant-rbac.yaml")).await?;
    let rights = manifests().join("tenant-namespace.yaml");
    lab.under().apply_path_in(&rights, &tenant.namespace()).await?;
    let kubeconfig = tenant.cluster().kubeconfig_for_user(NAME, None)?;
    write_kubeconfig(lab, tenant, &kubeconfig).await
}

/// Gives the product the right to read a tenant's namespaces.
///
/// # Errors
/// When the manifest is missing or refused.
pub async fn grant_namespaces(tenant: &Tenant) -> Result<()> {
    tenant.cluster().apply_path(&manifests().join("tenant-rbac-namespaces.yaml")).await
}

/// Gives the product its rights on the under cluster's own Services.
///
/// # Errors
/// When the manifest is missing or refused.
pub async fn grant_in_cluster(lab: &Lab) -> Result<()> {
    lab.under().apply_path(&manifests().join("in-cluster-rbac.yaml")).await
}

/// Gives the product the right to write what a tenant's own MetalLB is told, in a namespace of the
/// under cluster.
///
/// # Errors
/// When the manifest is missing or refused.
pub async fn grant_metallb(lab: &Lab, namespace: &str) -> Result<()> {
    lab.under().apply_path_in(&manifests().join("tenant-metallb.yaml"), namespace).await
}

/// Writes the Secret `<tenant>-kubeconfig` in the tenant's namespace of the under cluster.
///
/// # Errors
/// When it is refused.
pub async fn write_kubeconfig(lab: &Lab, tenant: &Tenant, kubeconfig: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": format!("{}-kubeconfig", tenant.name()), "namespace": tenant.namespace(),
        },
        "data": {"value": STANDARD.encode(kubeconfig)},
    });
    lab.under().apply(&secret).await.map(|_| ())
}

/// The TenantCluster of a tenant; the fields of `spec` win.
pub fn tenant_cluster(tenant: &Tenant, spec: Value) -> Value {
    let mut merged = match tenant.lan() {
        Ok(lan) => json!({
            "mode": "Vlan",
            "vlan": {
                "id": lan.number(), "cidrs": [lan.cidr(), lan.cidr6()],
                "gateway": format!("{},{}", lan.gateway(), lan.gateway6()),
                "subnets": [tenant.namespace()], "interfaces": [{"name": lan.interface()}],
            },
        }),
        Err(_) => json!({"mode": "Overlay", "overlay": {"vpc": tenant.vpc()}}),
    };
    let rest = json!({
        "kubeconfig": {"secretRef": {
            "namespace": tenant.namespace(),
            "name": format!("{}-kubeconfig", tenant.name()),
            "key": "value",
        }},
        "backends": {"namespace": tenant.namespace()},
    });
    for fields in [rest, spec] {
        if let (Some(merged), Value::Object(fields)) = (merged.as_object_mut(), fields) {
            merged.extend(fields);
        }
    }
    json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "TenantCluster",
        "metadata": {"name": tenant.name()},
        "spec": merged,
    })
}

/// The product's binary: `CPO_BIN`, or `cpo` beside this program.
///
/// # Errors
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    match std::env::var_os("CPO_BIN") {
        Some(path) => Ok(PathBuf::from(path)),
        None => program("cpo"),
    }
}

/// A program of the workspace, beside this one.
///
/// # Errors
/// When there is none.
pub fn program(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let beside = program.ancestors().skip(1).take(2).map(|dir| dir.join(name));
    let found = beside.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("no {name} beside this program: run `cargo build --bins`"))
}

/// The repository's `manifests/`.
fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}
