//! A Kubernetes cluster: etcd, kube-apiserver and, if wanted, kube-controller-manager.

mod audit;
mod kubeconfig;
mod objects;
mod pki;
mod server;
mod snapshot;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::Value;

pub use audit::{AuditEntry, AuditMark};
pub use pki::{Authority, Identity};

use crate::process::Process;
use crate::sandbox::MANAGEMENT_ADDRESS;
use crate::space::{self, Space};
use crate::wait;
use kubeconfig::Credential;

/// How long an API server may take to become ready.
const READY: Duration = Duration::from_secs(90);

/// A running cluster.
pub struct Cluster {
    name: String,
    dir: PathBuf,
    data: PathBuf,
    port: u16,
    authority: Authority,
    client: Client,
    kinds: objects::Kinds,
    families: Families,
    controllers: Option<Process>,
    api_server: Process,
    etcd: Process,
}

/// Whether a cluster runs kube-controller-manager (EndpointSlices, garbage collection, namespace
/// deletion).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controllers {
    /// It runs.
    Run,
    /// It does not: objects stay as they are written.
    None,
}

/// The families of addresses that a cluster's Services can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone.
    Ipv4,
    /// IPv4, and IPv6 where it is asked for.
    Both,
}

impl Cluster {
    /// Starts a cluster whose Services have IPv4 addresses, and waits until its API server is ready.
    ///
    /// # Errors
    /// When a component does not start.
    pub async fn start(space: &Space, name: &str, controllers: Controllers) -> Result<Self> {
        Self::start_with(space, name, controllers, Families::Ipv4).await
    }

    /// [`start`](Self::start) with Services of these families.
    ///
    /// # Errors
    /// When a component does not start.
    pub async fn start_with(
        space: &Space,
        name: &str,
        controllers: Controllers,
        families: Families,
    ) -> Result<Self> {
        let dir = space.dir().join(name);
        let port = space::port();
        let authority = Authority::new(name)?;
        let settings = server::Settings {
            dir: dir.clone(),
            data: space.data().join(name),
            port,
            etcd_ports: [space::port(), space::port()],
            families,
        };
        server::write_files(&settings, &authority)?;
        let admin = authority.client("admin", Some("system:masters"))?;
        let admin = kubeconfig::text(
            &server(port),
            &authority.certificate(),
            &Credential::Certificate(&admin),
        );
        std::fs::write(dir.join("admin.kubeconfig"), &admin)?;
        let client = client(&admin).await?;
        let etcd = server::etcd(name, &settings)?;
        let api_server = server::api_server(name, &settings)?;
        let mut cluster = Self {
            name: name.to_owned(),
            dir,
            data: settings.data.clone(),
            port,
            authority,
            client,
            kinds: objects::Kinds::default(),
            families,
            controllers: None,
            api_server,
            etcd,
        };
        cluster.ready().await?;
        if controllers == Controllers::Run {
            cluster.controllers = Some(server::controllers(name, &settings)?);
        }
        Ok(cluster)
    }

    /// The cluster's name: `under`, `a`, `b`, …
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The families of its Services.
    pub fn families(&self) -> Families {
        self.families
    }

    /// Directory with the cluster's logs and kubeconfigs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the API server listens, on the management address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((MANAGEMENT_ADDRESS, self.port))
    }

    /// URL of the API server, on the management address.
    pub fn url(&self) -> String {
        server(self.port)
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// File with the kubeconfig of the user with all rights.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// The cluster's certificate authority.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// etcd.
    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// kube-apiserver.
    pub fn api_server(&self) -> &Process {
        &self.api_server
    }

    /// kube-controller-manager, if the cluster runs one.
    pub fn controllers(&self) -> Option<&Process> {
        self.controllers.as_ref()
    }

    /// Waits until the API server says it is ready.
    ///
    /// # Errors
    /// When it is not after 90 s, with the end of its log.
    pub async fn ready(&self) -> Result<()> {
        let what = format!("the API server of {} to be ready", self.name);
        wait::until(&what, READY, || async {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            self.client
                .request_text(request)
                .await
                .map_err(|error| anyhow::anyhow!("{error}; log: {}", self.api_server.last_lines(5)))
        })
        .await?;
        Ok(())
    }

    /// A kubeconfig with a client certificate for `user`.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn kubeconfig_for_user(&self, user: &str, group: Option<&str>) -> Result<String> {
        let identity = self.authority.client(user, group)?;
        Ok(self.kubeconfig(&Credential::Certificate(&identity)))
    }

    /// A kubeconfig with a token of a ServiceAccount, valid for `lifetime` (at least 10 minutes).
    ///
    /// # Errors
    /// When the API server gives no token.
    pub async fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
        lifetime: Duration,
    ) -> Result<String> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let spec = TokenRequestSpec {
            expiration_seconds: Some(i64::try_from(lifetime.as_secs())?),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let granted = api.create_token_request(name, &PostParams::default(), &request).await?;
        let token = granted.status.context("a TokenRequest without status")?.token;
        Ok(self.kubeconfig(&Credential::Token(&token)))
    }

    /// A client that uses a kubeconfig's text.
    ///
    /// # Errors
    /// When the text is no kubeconfig.
    pub async fn client_from(&self, kubeconfig: &str) -> Result<Client> {
        client(kubeconfig).await
    }

    /// The API of any kind: `api("kubeovn.io/v1", "OvnEip", "")`.
    ///
    /// # Errors
    /// When the kind is not served.
    pub async fn api(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> Result<Api<DynamicObject>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = GroupVersionKind::gvk(group, version, kind);
        self.kinds.api(&self.client, &kind, namespace).await
    }

    /// Writes an object by server-side apply.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, object: &Value) -> Result<DynamicObject> {
        self.kinds.apply(&self.client, object, "default").await
    }

    /// Writes the objects of a YAML text: definitions first, then the rest at once.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn apply_yaml(&self, text: &str) -> Result<()> {
        objects::apply_all(&self.kinds, &self.client, &objects::parse(text)?, "default").await
    }

    /// Writes the objects of a YAML file, or of all `*.yaml` files of a directory.
    ///
    /// # Errors
    /// When a file cannot be read or the API server refuses an object.
    pub async fn apply_path(&self, path: &Path) -> Result<()> {
        self.apply_path_in(path, "default").await
    }

    /// [`apply_path`](Self::apply_path), into `namespace` where an object names none.
    ///
    /// # Errors
    /// When a file cannot be read or the API server refuses an object.
    pub async fn apply_path_in(&self, path: &Path, namespace: &str) -> Result<()> {
        objects::apply_all(&self.kinds, &self.client, &objects::read(path)?, namespace).await
    }

    /// The end of the audit log now.
    ///
    /// # Errors
    /// When there is no log.
    pub fn audit_mark(&self) -> Result<AuditMark> {
        audit::mark(&self.dir.join("audit.log"))
    }

    /// All completed requests.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn audit(&self) -> Result<Vec<AuditEntry>> {
        self.audit_since(AuditMark(0))
    }

    /// The requests completed after `mark`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn audit_since(&self, mark: AuditMark) -> Result<Vec<AuditEntry>> {
        audit::read(&self.dir.join("audit.log"), mark)
    }

    /// Stops all processes and waits for their end.
    ///
    /// # Errors
    /// When one does not end.
    pub async fn stop(&self) -> Result<()> {
        if let Some(controllers) = &self.controllers {
            controllers.kill().await?;
        }
        self.api_server.kill().await?;
        self.etcd.kill().await
    }

    fn kubeconfig(&self, credential: &Credential<'_>) -> String {
        kubeconfig::text(&self.url(), &self.authority.certificate(), credential)
    }
}

fn server(port: u16) -> String {
    format!("https://{MANAGEMENT_ADDRESS}:{port}")
}

async fn client(kubeconfig: &str) -> Result<Client> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(cpo_client::connect(config)?)
}
