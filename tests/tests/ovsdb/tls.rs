//! TLS with a real server: certificates as Kube-OVN and `ovs-pki` make them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use lab::ovsdb::{Listen, Member};
use lab::space::Space;
use lab::wait;
use ovn_client::{ClientConfig, TlsFiles, TlsSource, Verify};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use sha2::{Digest as _, Sha256};

use crate::scene::{SOON, Scene, config, space};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Writes a certificate of this authority and gives the files: authority, certificate, key.
    fn issue(
        &self,
        folder: &Path,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<[PathBuf; 3]> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ovn");
        change(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        let write = |ending: &str, text: String| {
            let path = folder.join(format!("{name}.{ending}"));
            std::fs::write(&path, text)?;
            anyhow::Ok(path)
        };
        let authority = write("ca", self.0.pem())?;
        Ok([authority, write("crt", certificate.pem())?, write("key", key.serialize_pem())?])
    }
}

fn source([authority, certificate, key]: [PathBuf; 3]) -> TlsFiles {
    TlsFiles { authority, certificate, key, verify: Verify::Chain }
}

fn secured(member: &Member, files: TlsFiles) -> Result<ClientConfig> {
    let tls = Some(TlsSource::Files(files));
    Ok(ClientConfig { tls, ..config(&member.endpoint())? })
}

/// A server that shows a certificate of this authority, changed so.
async fn server(
    space: &Space,
    name: &str,
    schema: &Path,
    authority: &Authority,
    protocols: &'static str,
    change: impl FnOnce(&mut CertificateParams),
) -> Result<Member> {
    let files = authority.issue(&space.data(), name, change)?;
    Member::standalone(space, name, schema, &Listen::Tls { files, protocols }).await
}

pub(crate) async fn tls_of_every_version_with_certificates_of_kube_ovn() -> Result<()> {
    let (space, schema) = space()?;
    let authority = Authority::new("kube-ovn")?;
    let client = authority.issue(&space.data(), "client", |_| {})?;
    let pki = |params: &mut CertificateParams| {
        let name = "ovn id:11111111-2222-3333-4444-555555555555".try_into();
        params.subject_alt_names.extend(name.ok().map(SanType::DnsName));
    };
    for (name, protocols, named) in
        [("cn", "TLSv1.2", false), ("pki", "TLSv1.3", true), ("both", "", true)]
    {
        let change = |params: &mut CertificateParams| {
            if named {
                pki(params)
            }
        };
        let member = server(&space, name, &schema, &authority, protocols, change).await?;
        let scene = Scene::with(&space, secured(&member, source(client.clone()))?).await?;
        scene.write(10).await?;
        scene.settles(&member).await.with_context(|| name.to_owned())?;
    }
    Ok(())
}

pub(crate) async fn tls_certificates_are_rotated() -> Result<()> {
    let (space, schema) = space()?;
    let (before, after) = (Authority::new("before")?, Authority::new("after")?);
    let member = server(&space, "server", &schema, &before, "", |_| {}).await?;
    let files = source(before.issue(&space.data(), "client", |_| {})?);
    let scene = Scene::with(&space, secured(&member, files)?).await?;
    scene.write(5).await?;
    // The server first, as it happens: until our files follow, it is a stranger.
    after.issue(&space.data(), "server", |_| {})?;
    member.kill_and_start().await?;
    wait::until("the stranger to be refused", SOON, || async {
        let reason = scene.client.health().last_failure.unwrap_or_default();
        ensure!(reason.contains("certificate"), "{reason}");
        Ok(())
    })
    .await?;
    after.issue(&space.data(), "client", |_| {})?;
    scene.write(5).await?;
    scene.settles(&member).await
}

fn expire(params: &mut CertificateParams) {
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
}

pub(crate) async fn tls_strangers_and_expired_certificates_are_refused() -> Result<()> {
    let (space, schema) = space()?;
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    let member = server(&space, "server", &schema, &ours, "", |_| {}).await?;
    let expired = server(&space, "expired", &schema, &ours, "", expire).await?;
    let client = |name: &str, authority: &Authority| {
        authority.issue(&space.data(), name, |_| {}).map(source)
    };
    for (name, member, files) in [
        ("a server of another authority", &member, client("stranger", &other)?),
        ("a server whose certificate expired", &expired, client("client", &ours)?),
    ] {
        let scene = Scene::unconnected(&space, secured(member, files)?);
        wait::until("a refusal", SOON, || async {
            let health = scene.client.health();
            let reason = health.last_failure.unwrap_or_default();
            ensure!(!health.connected && reason.contains("certificate"), "{name}: {reason}");
            Ok(())
        })
        .await?;
    }
    // Both servers answer whom they know.
    let scene = Scene::with(&space, secured(&member, client("friend", &ours)?)?).await?;
    scene.write(3).await?;
    scene.settles(&member).await
}

/// The server says no, with each version of TLS, until our files are mended.
pub(crate) async fn tls_client_that_is_refused_says_so_and_returns() -> Result<()> {
    let (space, schema) = space()?;
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    for (name, protocols) in [("v2", "TLSv1.2"), ("v3", "TLSv1.3")] {
        let member = server(&space, name, &schema, &ours, protocols, |_| {}).await?;
        let name = format!("client-{name}");
        let files = ours.issue(&space.data(), &name, expire)?;
        let [_, certificate, key] = other.issue(&space.data(), &format!("{name}-other"), |_| {})?;
        let strange = [files[0].clone(), certificate, key];
        for files in [strange, files.clone()] {
            let scene = Scene::unconnected(&space, secured(&member, source(files))?);
            wait::until("to be refused", SOON, || async {
                let reason = scene.client.health().last_failure.unwrap_or_default();
                ensure!(reason.contains("fatal alert"), "{name}: {reason:?}");
                Ok(())
            })
            .await?;
        }
        let scene = Scene::unconnected(&space, secured(&member, source(files))?);
        ours.issue(&space.data(), &name, |_| {})?;
        scene.write(3).await?;
        scene.settles(&member).await?;
    }
    Ok(())
}

/// Files are replaced one by one: what does not fit together is not used.
pub(crate) async fn tls_files_that_do_not_fit_together_wait_for_each_other() -> Result<()> {
    let (space, schema) = space()?;
    let authority = Authority::new("kube-ovn")?;
    let member = server(&space, "server", &schema, &authority, "", |_| {}).await?;
    let files = authority.issue(&space.data(), "client", |_| {})?;
    let scene = Scene::with(&space, secured(&member, source(files.clone()))?).await?;
    let next = authority.issue(&space.data(), "next", |_| {})?;
    let [_, certificate, key] = &files;
    let [_, next_certificate, next_key] = &next;
    std::fs::copy(next_key, key)?;
    member.kill_and_start().await?;
    scene.write(3).await?;
    std::fs::write(certificate, "-----BEGIN CERT")?;
    member.kill_and_start().await?;
    scene.write(3).await?;
    std::fs::copy(next_certificate, certificate)?;
    member.kill_and_start().await?;
    scene.write(3).await?;
    scene.settles(&member).await
}

/// One certificate alone will do, or one name.
pub(crate) async fn tls_server_is_pinned_by_name_or_digest() -> Result<()> {
    let (space, schema) = space()?;
    let authority = Authority::new("kube-ovn")?;
    let named = |params: &mut CertificateParams| {
        let name = "nb.example".try_into();
        params.subject_alt_names.extend(name.ok().map(SanType::DnsName));
    };
    let certificate = space.data().join("server.crt");
    let member = server(&space, "server", &schema, &authority, "", named).await?;
    let digest = Sha256::digest(der(&certificate)?).into();
    let client = authority.issue(&space.data(), "client", |_| {})?;
    let pinned = |verify| secured(&member, TlsFiles { verify, ..source(client.clone()) });
    let name = |name: &str| Verify::Name(name.to_owned());
    for verify in [name("other.example"), Verify::Sha256([0; 32])] {
        let scene = Scene::unconnected(&space, pinned(verify.clone())?);
        wait::until("another server to be refused", SOON, || async {
            let reason = scene.client.health().last_failure.unwrap_or_default();
            ensure!(reason.contains("certificate"), "{verify:?}: {reason}");
            Ok(())
        })
        .await?;
    }
    let first = Scene::with(&space, pinned(name("nb.example"))?).await?;
    first.write(3).await?;
    let second = Scene::with(&space, pinned(Verify::Sha256(digest))?).await?;
    first.ledger.write(&second.client, "by digest").await?;
    first.settles(&member).await
}

/// The first certificate of a PEM file as DER (RFC 7468).
fn der(pem: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read_to_string(pem)?;
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(base64::engine::general_purpose::STANDARD.decode(body)?)
}
