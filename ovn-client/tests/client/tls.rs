//! TLS with certificates as OVN deployments have them: one authority, no usable names.

use std::path::Path;
use std::sync::Arc;

use ovn_client::{ClientConfig, Event, TlsFiles, TlsIdentity, TlsSource, Verify};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::SupportedProtocolVersion;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::server::Connection;
use crate::{Scene, config, start};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
type Issued = (rcgen::Certificate, KeyPair);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate of this authority; its common name is `ovn`.
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ovn");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn identity(&self, verify: Verify) -> TlsIdentity {
        let (certificate, key) = self.issue(|_| {});
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        let authority = self.pem.as_bytes();
        TlsIdentity::from_pem(authority, certificate.as_bytes(), key.as_bytes(), verify).unwrap()
    }

    fn write(&self, folder: &Path, (certificate, key): &Issued) -> TlsFiles {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            authority: write("cacert", self.pem.clone()),
            certificate: write("cert", certificate.pem()),
            key: write("key", key.serialize_pem()),
            verify: Verify::Chain,
        }
    }

    /// A server that shows this certificate and demands one of this authority of its clients.
    fn acceptor(
        &self,
        (certificate, key): &Issued,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsAcceptor {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        );
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

struct TlsServer(TcpListener);

impl TlsServer {
    async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn client(&self, tls: TlsSource) -> Scene {
        let endpoint = format!("ssl:{}", self.0.local_addr().unwrap());
        start(ClientConfig { tls: Some(tls), ..config(&endpoint) })
    }

    async fn accept(&self, acceptor: &TlsAcceptor) -> std::io::Result<TlsStream<TcpStream>> {
        acceptor.accept(self.0.accept().await.unwrap().0).await
    }
}

/// Whether a client comes in sync with a server of these versions of TLS.
async fn syncs(
    versions: &[&'static SupportedProtocolVersion],
    verify: Verify,
    server: &Issued,
    authority: &Authority,
) -> bool {
    let listener = TlsServer::bind().await;
    let mut scene = listener.client(TlsSource::Fixed(authority.identity(verify)));
    let Ok(stream) = listener.accept(&authority.acceptor(server, versions)).await else {
        return false;
    };
    Connection::open(stream).await.sync(json!({})).await;
    matches!(scene.next().await, Event::Connected)
}

#[tokio::test]
async fn a_certificate_of_the_authority_is_accepted_whatever_its_name() {
    let authority = Authority::new();
    let kube_ovn = authority.issue(|_| {});
    let ovs_pki = authority.issue(|params| {
        let name = "ovn id:11111111-2222-3333-4444-555555555555".try_into().unwrap();
        params.subject_alt_names.push(SanType::DnsName(name));
    });
    for server in [kube_ovn, ovs_pki] {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            assert!(syncs(&[version], Verify::Chain, &server, &authority).await);
        }
    }
}

#[tokio::test]
async fn a_name_that_is_asked_for_has_to_be_there() {
    let authority = Authority::new();
    let named = authority.issue(|params| {
        params.subject_alt_names.push(SanType::DnsName("nb.example".try_into().unwrap()));
    });
    let verify = |name: &str| Verify::Name(name.to_owned());
    assert!(syncs(rustls::ALL_VERSIONS, verify("nb.example"), &named, &authority).await);
    assert!(!syncs(rustls::ALL_VERSIONS, verify("sb.example"), &named, &authority).await);
}

#[tokio::test]
async fn a_certificate_that_is_pinned_has_to_be_that_one() {
    let authority = Authority::new();
    let (pinned, other) = (authority.issue(|_| {}), authority.issue(|_| {}));
    let digest: [u8; 32] = Sha256::digest(pinned.0.der().as_ref()).into();
    let pin = || Verify::Sha256(digest);
    assert!(syncs(rustls::ALL_VERSIONS, pin(), &pinned, &authority).await);
    assert!(!syncs(rustls::ALL_VERSIONS, pin(), &other, &authority).await);
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_one_that_expired_is_refused() {
    let (ours, other) = (Authority::new(), Authority::new());
    let listener = TlsServer::bind().await;
    let scene = listener.client(TlsSource::Fixed(ours.identity(Verify::Chain)));
    let foreign = other.issue(|_| {});
    let expired = ours.issue(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for acceptor in [
        other.acceptor(&foreign, rustls::ALL_VERSIONS),
        ours.acceptor(&expired, rustls::ALL_VERSIONS),
    ] {
        assert!(listener.accept(&acceptor).await.is_err());
        assert!(!scene.client.snapshot().connected());
    }
}

#[tokio::test]
async fn certificates_that_are_replaced_are_used_from_the_next_connection_on() {
    let (before, after) = (Authority::new(), Authority::new());
    let folder = std::env::temp_dir().join(format!("ovn-client-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let files = before.write(&folder, &before.issue(|_| {}));
    let listener = TlsServer::bind().await;
    let mut scene = listener.client(TlsSource::Files(files.clone()));
    let acceptor = before.acceptor(&before.issue(|_| {}), rustls::ALL_VERSIONS);
    let mut connection = Connection::open(listener.accept(&acceptor).await.unwrap()).await;
    connection.sync(json!({})).await;
    scene.connected().await;
    // Half of the new ones: the old go on.
    std::fs::write(&files.certificate, "nonsense").unwrap();
    drop(connection);
    scene.disconnected().await;
    let mut connection = Connection::open(listener.accept(&acceptor).await.unwrap()).await;
    connection.sync(json!({})).await;
    scene.connected().await;
    after.write(&folder, &after.issue(|_| {}));
    drop(connection);
    scene.disconnected().await;
    let acceptor = after.acceptor(&after.issue(|_| {}), rustls::ALL_VERSIONS);
    let mut connection = Connection::open(listener.accept(&acceptor).await.unwrap()).await;
    connection.sync(json!({})).await;
    scene.connected().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
