//! What a server's certificate has to be.

use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use super::TlsError;

/// What a server's certificate has to be, beside valid now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// It leads to the authority; its name is not looked at, because `ovs-pki` and Kube-OVN write
    /// none that could be verified.
    #[default]
    Chain,
    /// It leads to the authority, and this DNS name or address is among its alternative names
    /// (RFC 6125).
    Name(String),
    /// It leads to the authority, and this is the SHA-256 of its DER.
    Sha256([u8; 32]),
}

/// Why text is no [`Verify`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of chain, san:NAME and sha256:DIGEST with 64 hexadecimal digits")]
pub struct VerifyError(String);

/// `chain`, `san:NAME` or `sha256:DIGEST`; colons in the digest are passed over.
impl FromStr for Verify {
    type Err = VerifyError;

    fn from_str(text: &str) -> Result<Self, VerifyError> {
        let error = || VerifyError(text.to_owned());
        match text.split_once(':') {
            None if text == "chain" => Ok(Self::Chain),
            Some(("san", name)) if !name.is_empty() => Ok(Self::Name(name.to_owned())),
            Some(("sha256", digest)) => digest_of(digest).map(Self::Sha256).ok_or_else(error),
            _ => Err(error()),
        }
    }
}

fn digest_of(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// [`Verify`] as rustls asks for it.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: RootCertStore,
    pinned: Pinned,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Pinned {
    Nothing,
    Name(ServerName<'static>),
    Digest([u8; 32]),
}

impl Verifier {
    pub(super) fn new(
        roots: RootCertStore,
        verify: Verify,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let pinned = match verify {
            Verify::Chain => Pinned::Nothing,
            Verify::Name(name) => {
                Pinned::Name(ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name))?)
            }
            Verify::Sha256(digest) => Pinned::Digest(digest),
        };
        Ok(Self { roots, pinned, provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        match &self.pinned {
            Pinned::Nothing => {}
            Pinned::Name(name) => verify_server_name(&certificate, name)?,
            Pinned::Digest(digest) if Sha256::digest(end_entity.as_ref())[..] == digest[..] => {}
            Pinned::Digest(_) => {
                return Err(CertificateError::ApplicationVerificationFailure.into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_verify_is_written_in_one_word() {
        assert_eq!("chain".parse(), Ok(Verify::Chain));
        assert_eq!("san:nb.example".parse(), Ok(Verify::Name("nb.example".to_owned())));
        let digest = "sha256:".to_owned() + &"0F:".repeat(32);
        assert_eq!(digest.parse(), Ok(Verify::Sha256([15; 32])));
        for text in ["", "none", "san:", "sha256:", "sha256:0f", "sha256:zz", "chain:x"] {
            assert!(text.parse::<Verify>().is_err(), "{text:?}");
        }
    }
}
