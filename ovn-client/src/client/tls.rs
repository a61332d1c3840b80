//! TLS as OVN deployments use it: both sides show a certificate of one private authority.

mod verify;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use verify::Verifier;
pub use verify::{Verify, VerifyError};

/// Who we are and whom we trust.
#[derive(Clone)]
pub struct TlsIdentity(Arc<rustls::ClientConfig>);

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A text is no PEM of the kind it should be.
    #[error("the {what} cannot be read")]
    Pem {
        /// Which text.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// There is no certificate in a text.
    #[error("the {0} holds no certificate")]
    Empty(&'static str),
    /// The name to verify is neither a DNS name nor an address.
    #[error("{0:?} is no name that a certificate could have")]
    Name(String),
    /// Certificate and key cannot be used.
    #[error("the certificates and the key cannot be used")]
    Unusable(#[source] rustls::Error),
}

impl TlsIdentity {
    /// Reads the authority's certificates, our certificate with its chain, and its key, all PEM.
    ///
    /// # Errors
    /// A text is no such PEM, or the key does not fit.
    pub fn from_pem(
        authority: &[u8],
        certificate: &[u8],
        key: &[u8],
        verify: Verify,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for root in certificates("authority", authority)? {
            roots.add(root).map_err(TlsError::Unusable)?;
        }
        let chain = certificates("certificate", certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|source| TlsError::Pem { what: "key", source })?;
        let verifier = Arc::new(Verifier::new(roots, verify, provider.clone())?);
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .map_err(TlsError::Unusable)?;
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn config(&self) -> &Arc<rustls::ClientConfig> {
        &self.0
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity")
    }
}

/// Where the identity comes from.
#[derive(Clone, Debug)]
pub enum TlsSource {
    /// It never changes.
    Fixed(TlsIdentity),
    /// It is read again for each connection: files that are replaced are used from the next
    /// connection on. While they cannot be used, the last that could are.
    Files(TlsFiles),
}

/// The files of an identity, all PEM; for example those of Kube-OVN's Secret `kube-ovn-tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority's certificates (`cacert`).
    pub authority: PathBuf,
    /// Our certificate with its chain (`cert`).
    pub certificate: PathBuf,
    /// Its key (`key`).
    pub key: PathBuf,
    /// What a server's certificate has to be.
    pub verify: Verify,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or holds something else.
    pub fn load(&self) -> Result<TlsIdentity, TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError::File { path: path.clone(), source })
        };
        let (authority, certificate) = (read(&self.authority)?, read(&self.certificate)?);
        TlsIdentity::from_pem(&authority, &certificate, &read(&self.key)?, self.verify.clone())
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { what, source })?;
    if certificates.is_empty() { Err(TlsError::Empty(what)) } else { Ok(certificates) }
}
