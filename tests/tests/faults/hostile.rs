//! Kubeconfigs that try to make `cpo` run programs, read files, or talk to others.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, cpo, sandbox, traffic, wait};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::bed::{Bed, SOON, serve};
use crate::look;
use crate::stage::{bed, connected, delete};

/// The most that the API server lets a Secret hold, in bytes.
const LARGEST_SECRET: usize = 1024 * 1024;
/// What an accepted kubeconfig may have, at most, in bytes.
const LARGEST_KUBECONFIG: usize = 64 * 1024;

/// A hostile kubeconfig.
struct Form {
    text: String,
    /// What the condition must name.
    field: &'static str,
    /// What nobody may repeat.
    value: String,
}

pub(crate) async fn tenant_bytes_never_reach_the_kubeconfig_loader() -> Result<()> {
    let bed = bed().await?;
    let lab = &bed.lab;
    let (tenant, other) = (lab.tenant("a")?, lab.tenant("b")?);
    let good = tenant.cluster().kubeconfig_for_user(cpo::NAME, None)?;
    let mine = serve(lab, tenant, &service("mine").selector("app", "web").port(80).build()).await?;
    let marker = lab.space().dir().join("marker");
    let (proxy, visits) = proxy().await?;
    let mut forms = programs_and_files(&good, &marker)?;
    forms.extend(ways_around(&good, &proxy)?);
    forms.extend(shapes(&good)?);
    forms.extend(places(lab, &good, other)?);
    for form in &forms {
        cpo::write_kubeconfig(lab, tenant, &form.text).await?;
        rejected(bed, form).await?;
        serve(lab, other, &service("beside").selector("app", "web").port(80).build()).await?;
        delete(other, "beside").await?;
        ensure!(!marker.exists(), "a program of the kubeconfig was run: {}", form.field);
    }
    // Too large for a Secret, so never read at all.
    let huge = padded(&good, 10 * LARGEST_SECRET);
    ensure!(cpo::write_kubeconfig(lab, tenant, &huge).await.is_err(), "10 MiB in a Secret");

    // The same at a start, when no client of before stands in.
    for form in forms.iter().take(1) {
        cpo::write_kubeconfig(lab, tenant, &form.text).await?;
        bed.cpo.process().restart().await?;
        bed.cpo.ready().await?;
        rejected(bed, form).await?;
        serve(lab, other, &service("beside").selector("app", "web").port(80).build()).await?;
        delete(other, "beside").await?;
    }
    traffic::get(lab.near(), &format!("http://{mine}/")).await?;
    ensure!(!marker.exists(), "a program of the kubeconfig was run");
    ensure!(visits.load(Ordering::SeqCst) == 0, "the proxy was spoken to");
    cpo::write_kubeconfig(lab, tenant, &good).await?;
    connected(lab, "a", true, "Connected").await?;
    delete(tenant, "mine").await
}

/// Waits until the TenantCluster names the field; nobody repeats the value.
async fn rejected(bed: &Bed, form: &Form) -> Result<()> {
    let lab = &bed.lab;
    let api = lab.under().api("cloud-provider-ovn.io/v1alpha1", "TenantCluster", "").await?;
    let seen = wait::for_object(&api, "a", &format!("rejected for {}", form.field), SOON, |t| {
        look::condition(&t.data, "Connected").is_some_and(|c| {
            !c.holds && c.reason == "KubeconfigRejected" && c.message.contains(form.field)
        })
    })
    .await?;
    ensure!(!seen.data.to_string().contains(&form.value), "repeated: {}", seen.data);
    let log = std::fs::read_to_string(bed.cpo.process().log())?;
    ensure!(!log.contains(&form.value), "{} is in the log", form.value);
    Ok(())
}

/// A listener that counts who connects.
async fn proxy() -> Result<(String, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind((sandbox::MANAGEMENT_ADDRESS, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let visits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&visits);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    Ok((url, visits))
}

/// The good kubeconfig with other content at some places.
fn with(good: &str, changes: &[(&str, &str, Value)]) -> Result<String> {
    let mut config: Value = serde_json::from_str(good)?;
    for (at, key, value) in changes {
        let map = config.pointer_mut(at).and_then(Value::as_object_mut);
        let replaced = map.map(|map| map.insert((*key).to_owned(), value.clone()));
        ensure!(replaced.is_some(), "no mapping at {at}");
    }
    Ok(config.to_string())
}

const USER: &str = "/users/0/user";
const CLUSTER: &str = "/clusters/0/cluster";

fn form(
    good: &str,
    field: &'static str,
    at: &str,
    key: &str,
    value: Value,
    secret: &str,
) -> Result<Form> {
    Ok(Form { text: with(good, &[(at, key, value)])?, field, value: secret.to_owned() })
}

fn programs_and_files(good: &str, marker: &Path) -> Result<Vec<Form>> {
    let marker = marker.display().to_string();
    let path = PathBuf::from("/etc/hostname").display().to_string();
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "/bin/sh", "args": ["-c", format!("touch {marker}")],
    });
    let provider = json!({"name": "gcp", "config": {"cmd-path": "/bin/touch", "cmd-args": marker}});
    Ok(vec![
        form(good, "users[0].user.exec", USER, "exec", exec, &marker)?,
        form(good, "users[0].user.auth-provider", USER, "auth-provider", provider, &marker)?,
        form(good, "users[0].user.tokenFile", USER, "tokenFile", json!(path), &path)?,
        form(
            good,
            "users[0].user.client-certificate",
            USER,
            "client-certificate",
            json!(path),
            &path,
        )?,
        form(good, "users[0].user.client-key", USER, "client-key", json!(path), &path)?,
        form(
            good,
            "clusters[0].cluster.certificate-authority",
            CLUSTER,
            "certificate-authority",
            json!(path),
            &path,
        )?,
    ])
}

fn ways_around(good: &str, proxy: &str) -> Result<Vec<Form>> {
    let skip = "insecure-skip-tls-verify";
    let who = "impersonated-somebody";
    Ok(vec![
        form(good, "clusters[0].cluster.proxy-url", CLUSTER, "proxy-url", json!(proxy), proxy)?,
        form(
            good,
            "clusters[0].cluster.insecure-skip-tls-verify",
            CLUSTER,
            skip,
            json!(true),
            "hunter2",
        )?,
        form(good, "users[0].user.as", USER, "as", json!(who), who)?,
        form(good, "users[0].user.as-groups", USER, "as-groups", json!([who]), who)?,
        form(good, "users[0].user.username", USER, "username", json!(who), who)?,
    ])
}

fn shapes(good: &str) -> Result<Vec<Form>> {
    let context = json!({"name": "context", "context": {"cluster": "cluster", "user": "user"}});
    let second = json!([context, {"name": "second-one", "context": {"cluster": "c", "user": "u"}}]);
    let bomb = (0..30).fold("a0: &a0 [lol,lol,lol]\n".to_owned(), |text, n| {
        let last = format!("*a{n},*a{n},*a{n},*a{n},*a{n},*a{n},*a{n},*a{n}");
        format!("{text}a{}: &a{} [{last}]\n", n + 1, n + 1)
    });
    let text = |text: String, field| Form { text, field, value: "hunter2".to_owned() };
    Ok(vec![
        form(good, "contexts must hold exactly one entry", "", "contexts", second, "second-one")?,
        text(padded(good, LARGEST_SECRET - 1024), "bytes; at most 65536"),
        text(padded(good, LARGEST_KUBECONFIG + 1), "bytes; at most 65536"),
        text("password: [hunter2\n\t: }".to_owned(), "not a YAML mapping"),
        text("hunter2".to_owned(), "not a YAML mapping"),
        text(bomb, "not a YAML mapping"),
        text(String::new(), "not a YAML mapping"),
    ])
}

/// The good kubeconfig with blanks behind it: valid, but for its size.
fn padded(good: &str, size: usize) -> String {
    format!("{good}{}", " ".repeat(size.saturating_sub(good.len())))
}

fn places(lab: &Lab, good: &str, other: &Tenant) -> Result<Vec<Form>> {
    let strange: Value = serde_json::from_str(&other.cluster().kubeconfig_for_user("x", None)?)?;
    let authority = strange.pointer(&format!("{CLUSTER}/certificate-authority-data"));
    let authority = authority.cloned().unwrap_or_default();
    let server = |url: &str| {
        form(good, "clusters[0].cluster.server", CLUSTER, "server", json!(url), "hunter2")
    };
    let data = "certificate-authority-data";
    Ok(vec![
        form(
            good,
            "clusters[0].cluster.certificate-authority-data",
            CLUSTER,
            data,
            authority,
            "hunter2",
        )?,
        form(good, "users[0].user.token", USER, "token", json!("hunter2"), "hunter2")?,
        server("https://127.0.0.1:6443")?,
        server("https://169.254.169.254")?,
        server("http://198.51.100.1")?,
        server(lab.under().url().as_str())?,
    ])
}
