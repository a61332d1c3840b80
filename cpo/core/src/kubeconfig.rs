//! A tenant's kubeconfig: hostile bytes, read by an allow-list.
//!
//! A kubeconfig can name programs to run, files to read, proxies to send credentials to. None of
//! that is ever obeyed: only an https server, an inline CA and an inline credential are taken, and
//! anything else refuses the whole file. Errors name the field and never repeat its value.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Map, Value};

/// The largest kubeconfig that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// What is needed to reach a tenant's API server.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// The server.
    pub server: Server,
    /// The authorities its certificate must chain to, PEM.
    pub authority: String,
    /// Who we are there.
    pub identity: Identity,
    /// When a client certificate expires.
    pub expires: Option<Timestamp>,
}

/// An https server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// An address, or a DNS name.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A credential.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A client certificate and its key, PEM.
    Certificate {
        /// Certificate chain.
        certificate: String,
        /// Private key.
        key: SecretString,
    },
    /// A bearer token.
    Token(SecretString),
}

/// Why a kubeconfig is not accepted. Never holds a value of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// Longer than [`MAX_BYTES`].
    #[error("the kubeconfig has {0} bytes; at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// No YAML, or no mapping.
    #[error("the kubeconfig is not a YAML mapping")]
    NotYaml,
    /// A field that is not on the allow-list.
    #[error("{0} is not accepted: use an inline client certificate or token over https")]
    Forbidden(String),
    /// A field that must be there is not, or is of another type.
    #[error("{0} is missing, or not {1}")]
    Missing(String, &'static str),
    /// More than one cluster, user or context.
    #[error("{0} must hold exactly one entry: hand over a kubeconfig for this one tenant")]
    NotOne(&'static str),
    /// The server is not one we connect to.
    #[error("clusters[0].cluster.server {0}")]
    Server(&'static str),
    /// A field's content cannot be used.
    #[error("{0} {1}")]
    Content(&'static str, &'static str),
}

const SERVER: &str = "clusters[0].cluster.server";
const AUTHORITY: &str = "clusters[0].cluster.certificate-authority-data";
const CERTIFICATE: &str = "users[0].user.client-certificate-data";
const KEY: &str = "users[0].user.client-key-data";
const TOKEN: &str = "users[0].user.token";

/// Reads a tenant's kubeconfig.
///
/// # Errors
/// [`KubeconfigError`] for the first thing that is not accepted.
pub fn parse(bytes: &[u8]) -> Result<Kubeconfig, KubeconfigError> {
    if bytes.len() > MAX_BYTES {
        return Err(KubeconfigError::TooLong(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| KubeconfigError::NotYaml)?;
    let root: Value = serde_saphyr::from_str(text).map_err(|_| KubeconfigError::NotYaml)?;
    let root = root.as_object().ok_or(KubeconfigError::NotYaml)?;
    const ROOT: &[&str] =
        &["apiVersion", "kind", "preferences", "clusters", "users", "contexts", "current-context"];
    allowed(root, "", ROOT)?;
    if let Some(preferences) = root.get("preferences").and_then(Value::as_object) {
        allowed(preferences, "preferences.", &[])?;
    }
    let (cluster_name, cluster) = only(root, "clusters", "cluster")?;
    let (user_name, user) = only(root, "users", "user")?;
    let (context_name, context) = only(root, "contexts", "context")?;
    const CLUSTER: &[&str] = &["server", "certificate-authority-data"];
    allowed(cluster, "clusters[0].cluster.", CLUSTER)?;
    allowed(user, "users[0].user.", &["client-certificate-data", "client-key-data", "token"])?;
    allowed(context, "contexts[0].context.", &["cluster", "user", "namespace"])?;
    refers(root.get("current-context"), context_name, "current-context")?;
    refers(context.get("cluster"), cluster_name, "contexts[0].context.cluster")?;
    refers(context.get("user"), user_name, "contexts[0].context.user")?;
    let server = server(text_of(cluster, "server", SERVER)?)?;
    let authority = pem(cluster, "certificate-authority-data", AUTHORITY, "CERTIFICATE")?;
    let (identity, expires) = identity(user)?;
    Ok(Kubeconfig { server, authority, identity, expires })
}

/// Metadata and platform services of clouds outside 169.254.0.0/16.
const METADATA: [Ipv4Addr; 2] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];

/// Whether an address may be a tenant's API server: never this machine, its neighbourhood, or a
/// cloud's metadata service, whoever names it.
#[must_use]
pub fn address_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || METADATA.contains(&v4))
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => address_allowed(v4.into()),
            // fd00:ec2::254 is the metadata service of one large cloud.
            None => {
                !(v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unicast_link_local()
                    || v6.segments().starts_with(&[0xfd00, 0x0ec2]))
            }
        },
    }
}

/// The fields a kubeconfig may have (`k8s.io/client-go`, `tools/clientcmd/api/v1`). Only these are
/// repeated: a slip of the pen can make a secret the name of a field.
const FIELDS: &[&str] = &[
    "apiVersion",
    "as",
    "as-groups",
    "as-uid",
    "as-user-extra",
    "auth-provider",
    "certificate-authority",
    "certificate-authority-data",
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "cluster",
    "clusters",
    "colors",
    "context",
    "contexts",
    "current-context",
    "disable-compression",
    "exec",
    "extensions",
    "insecure-skip-tls-verify",
    "kind",
    "name",
    "namespace",
    "password",
    "preferences",
    "proxy-url",
    "server",
    "tls-server-name",
    "token",
    "tokenFile",
    "user",
    "username",
    "users",
];

fn allowed(map: &Map<String, Value>, at: &str, fields: &[&str]) -> Result<(), KubeconfigError> {
    match map.keys().find(|key| !fields.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let known = FIELDS.contains(&key.as_str());
            let name = if known { key.as_str() } else { "(a field no kubeconfig has)" };
            Err(KubeconfigError::Forbidden(format!("{at}{name}")))
        }
    }
}

type Named<'a> = (&'a str, &'a Map<String, Value>);

fn only<'a>(
    root: &'a Map<String, Value>,
    list: &'static str,
    inner: &str,
) -> Result<Named<'a>, KubeconfigError> {
    let missing = || KubeconfigError::Missing(list.to_owned(), "a list");
    let entries = root.get(list).and_then(Value::as_array).ok_or_else(missing)?;
    let [entry] = entries.as_slice() else { return Err(KubeconfigError::NotOne(list)) };
    let entry = entry.as_object().ok_or_else(missing)?;
    allowed(entry, &format!("{list}[0]."), &["name", inner])?;
    let name = text_of(entry, "name", &format!("{list}[0].name"))?;
    let at = format!("{list}[0].{inner}");
    let map = entry.get(inner).and_then(Value::as_object);
    Ok((name, map.ok_or(KubeconfigError::Missing(at, "a mapping"))?))
}

fn text_of<'a>(
    map: &'a Map<String, Value>,
    key: &str,
    at: &str,
) -> Result<&'a str, KubeconfigError> {
    let missing = || KubeconfigError::Missing(at.to_owned(), "a text");
    map.get(key).and_then(Value::as_str).ok_or_else(missing)
}

fn refers(value: Option<&Value>, name: &str, at: &'static str) -> Result<(), KubeconfigError> {
    if value.and_then(Value::as_str) == Some(name) {
        return Ok(());
    }
    Err(KubeconfigError::Content(at, "does not name the entry that is there"))
}

fn server(text: &str) -> Result<Server, KubeconfigError> {
    let refused = KubeconfigError::Server;
    let rest = text.strip_prefix("https://").ok_or_else(|| refused("must begin with https://"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if !rest.chars().all(plain) || rest.is_empty() {
        return Err(refused("must be https://host:port, without user, path or query"));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port = port.map_or(Ok(443), str::parse).map_err(|_| refused("has no usable port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || port == 0 {
        return Err(refused("has no usable host or port"));
    }
    match host.parse::<IpAddr>() {
        Ok(address) if !address_allowed(address) => Err(refused(
            "is a loopback, link-local, metadata, multicast or unspecified address, which is never \
             connected to",
        )),
        Err(_) if is_localhost(host) || !host.contains(|c: char| c.is_ascii_alphabetic()) => {
            Err(refused("is not an address or a DNS name that may be connected to"))
        }
        Ok(_) | Err(_) => Ok(Server { host: host.to_owned(), port }),
    }
}

/// The names of this machine (RFC 6761 §6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn pem(
    map: &Map<String, Value>,
    key: &str,
    at: &'static str,
    label: &str,
) -> Result<String, KubeconfigError> {
    let encoded: String = text_of(map, key, at)?.split_whitespace().collect();
    let bytes =
        STANDARD.decode(encoded).map_err(|_| KubeconfigError::Content(at, "is not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| KubeconfigError::Content(at, "is not PEM"))?;
    if !(text.contains("-----BEGIN ") && text.contains(&format!("{label}-----"))) {
        return Err(KubeconfigError::Content(at, "is not PEM"));
    }
    Ok(text)
}

fn identity(user: &Map<String, Value>) -> Result<(Identity, Option<Timestamp>), KubeconfigError> {
    let certificate = user.contains_key("client-certificate-data");
    match (certificate, user.contains_key("token")) {
        (true, true) => {
            Err(KubeconfigError::Content(TOKEN, "and a client certificate are both set; keep one"))
        }
        (false, false) => Err(KubeconfigError::Missing(
            CERTIFICATE.to_owned(),
            "accompanied by client-key-data, and there is no token either",
        )),
        (false, true) => {
            let token = text_of(user, "token", TOKEN)?;
            let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
            if !plain {
                return Err(KubeconfigError::Content(TOKEN, "is not a bearer token"));
            }
            Ok((Identity::Token(token.into()), None))
        }
        (true, false) => {
            let certificate = pem(user, "client-certificate-data", CERTIFICATE, "CERTIFICATE")?;
            let key = pem(user, "client-key-data", KEY, "PRIVATE KEY")?.into();
            let expires = expiry(&certificate);
            let expires =
                expires.ok_or(KubeconfigError::Content(CERTIFICATE, "is no X.509 certificate"))?;
            Ok((Identity::Certificate { certificate, key }, Some(expires)))
        }
    }
}

fn expiry(certificate: &str) -> Option<Timestamp> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
