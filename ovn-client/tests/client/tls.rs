//! TLS with certificates as OVN deployments have them: one authority, no usable names.

use std::sync::Arc;

use ovn_client::{ClientConfig, Event, TlsIdentity};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::Connection;
use crate::{config, start};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate of this authority whose only name is the common name `ovn`.
    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ovn");
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn identity(&self) -> TlsIdentity {
        let (certificate, key) = self.issue();
        let key = key.serialize_pem();
        TlsIdentity::from_pem(self.pem.as_bytes(), certificate.pem().as_bytes(), key.as_bytes())
            .unwrap()
    }

    /// A server of this authority that demands certificates of another one of its clients.
    fn acceptor(&self, clients: &Self) -> TlsAcceptor {
        let (certificate, key) = self.issue();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        );
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[tokio::test]
async fn a_certificate_of_the_authority_is_accepted_whatever_its_name() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("ssl:{}", listener.local_addr().unwrap());
    let mut scene = start(ClientConfig { tls: Some(authority.identity()), ..config(&endpoint) });
    let stream =
        authority.acceptor(&authority).accept(listener.accept().await.unwrap().0).await.unwrap();
    let mut connection = Connection::new(stream);
    connection.sync(json!({})).await;
    assert!(matches!(scene.next().await, Event::Connected));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (ours, other) = (Authority::new(), Authority::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("ssl:{}", listener.local_addr().unwrap());
    let scene = start(ClientConfig { tls: Some(ours.identity()), ..config(&endpoint) });
    let stream = listener.accept().await.unwrap().0;
    let refused = other.acceptor(&ours).accept(stream).await;
    assert!(refused.is_err());
    assert!(!scene.client.snapshot().connected());
}
