//! A client for a tenant's API server, built by hand from what the allow-list let through.
//!
//! The library's own kubeconfig loader never sees tenant bytes: it runs programs, reads files and
//! follows proxies on their behalf.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use cpo_core::kubeconfig::{Identity, Kubeconfig, Server, address_allowed};
use http_body_util::Limited;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use kube::client::ConfigExt as _;
use kube::config::AuthInfo;
use kube::{Client, Config};
use secrecy::ExposeSecret as _;
use tower::{BoxError, ServiceBuilder};
use tower_http::map_response_body::MapResponseBodyLayer;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take; longer than a watch lasts.
const READ_TIMEOUT: Duration = Duration::from_secs(220);
/// How long a request may take to be sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes. A watch is one answer: it is renewed when it ends.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The server is the under cluster's own API server.
    #[error("clusters[0].cluster.server is the under cluster's own API server")]
    UnderCluster,
    /// A certificate, key or token cannot be used.
    #[error("a certificate, key or token of the kubeconfig cannot be used")]
    Credential,
}

/// A client of the tenant; `under` is the under cluster's own server, which no tenant may name.
pub(super) fn connect(kubeconfig: &Kubeconfig, under: &Server) -> Result<Client, ClientError> {
    if kubeconfig.server == *under {
        return Err(ClientError::UnderCluster);
    }
    let config = config(kubeconfig)?;
    let mut http = HttpConnector::new_with_resolver(CheckedResolver);
    http.enforce_http(false);
    // A request is small and waits for nothing.
    http.set_nodelay(true);
    let https =
        config.rustls_https_connector_with_connector(http).map_err(|_| ClientError::Credential)?;
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_read_timeout(Some(READ_TIMEOUT));
    connector.set_write_timeout(Some(WRITE_TIMEOUT));
    let auth = config.auth_layer().map_err(|_| ClientError::Credential)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(auth)
        .layer(MapResponseBodyLayer::new(|body| Limited::new(body, MAX_ANSWER)))
        .map_err(BoxError::from)
        .service(cpo_client::connections().build::<_, kube::client::Body>(connector));
    Ok(Client::new(service, "default"))
}

fn config(kubeconfig: &Kubeconfig) -> Result<Config, ClientError> {
    let Server { host, port } = &kubeconfig.server;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let url = format!("https://{host}:{port}").parse().map_err(|_| ClientError::Credential)?;
    let mut config = Config::new(url);
    config.root_cert = Some(certificates(&kubeconfig.authority).ok_or(ClientError::Credential)?);
    config.auth_info = auth_info(&kubeconfig.identity);
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.default_retry = false;
    config.proxy_url = None;
    Ok(config)
}

/// The certificates of a PEM text, DER.
fn certificates(pem: &str) -> Option<Vec<Vec<u8>>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let parsed: Vec<_> = parsed.ok()?.into_iter().map(|der| der.to_vec()).collect();
    (!parsed.is_empty()).then_some(parsed)
}

fn auth_info(identity: &Identity) -> AuthInfo {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    match identity {
        Identity::Certificate { certificate, key } => AuthInfo {
            client_certificate_data: Some(encode(certificate)),
            client_key_data: Some(encode(key.expose_secret()).into()),
            ..AuthInfo::default()
        },
        Identity::Token(token) => {
            AuthInfo { token: Some(token.expose_secret().into()), ..AuthInfo::default() }
        }
    }
}

/// Resolves names as the system does, and drops every address that is never connected to: a name
/// is no way around the check of addresses.
#[derive(Clone, Copy, Debug)]
struct CheckedResolver;

impl tower::Service<Name> for CheckedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found.filter(|a| address_allowed(a.ip())).collect();
            Ok(allowed.into_iter())
        })
    }
}
