//! TLS with a real server: certificates as Kube-OVN and `ovs-pki` make them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lab::ovsdb::{Listen, Member};
use lab::space::Space;
use lab::wait;
use ovn_client::{ClientConfig, TlsFiles, TlsSource, Verify};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};

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

pub(crate) async fn tls_strangers_and_expired_certificates_are_refused() -> Result<()> {
    let (space, schema) = space()?;
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    let member = server(&space, "server", &schema, &ours, "", |_| {}).await?;
    let expired_server = |params: &mut CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    };
    let expired = server(&space, "expired", &schema, &ours, "", expired_server).await?;
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
