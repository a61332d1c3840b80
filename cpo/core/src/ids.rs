//! Names of things: checked once, cheap to clone, ordered.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a DNS name of at most 253 lower-case characters (RFC 1123), as Kubernetes demands.
    #[error("{0:?} is not a Kubernetes object name")]
    NotAName(String),
    /// Not three parts parted by slashes.
    #[error("{0:?} is not <tenant>/<namespace>/<name>")]
    NotAKey(String),
}

fn checked(text: &str) -> Result<Arc<str>, NameError> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    if text.is_empty() || text.len() > 253 || !text.bytes().all(fits) {
        return Err(NameError::NotAName(text.escape_default().take(253).collect()));
    }
    Ok(text.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                checked(text).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Name of a `TenantCluster`.
    TenantName
);
name!(
    /// Name of a Node of a tenant.
    NodeName
);
name!(
    /// Name of this installation, for two on one Northbound database.
    Install
);

/// A Service of a tenant: `<tenant>/<namespace>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    tenant: TenantName,
    namespace: Arc<str>,
    name: Arc<str>,
}

impl ServiceKey {
    /// The key of the Service `namespace/name` of `tenant`.
    ///
    /// # Errors
    /// [`NameError::NotAName`] if a part is no Kubernetes name.
    pub fn new(tenant: &TenantName, namespace: &str, name: &str) -> Result<Self, NameError> {
        let tenant = tenant.clone();
        Ok(Self { tenant, namespace: checked(namespace)?, name: checked(name)? })
    }

    /// Orders before every Service of a tenant, and is none.
    pub(crate) fn before_all_of(tenant: &TenantName) -> Self {
        Self { tenant: tenant.clone(), namespace: "".into(), name: "".into() }
    }

    /// Orders before every Service of a namespace, and is none.
    pub(crate) fn before_all_in(tenant: &TenantName, namespace: &str) -> Self {
        Self { tenant: tenant.clone(), namespace: namespace.into(), name: "".into() }
    }

    /// The tenant the Service belongs to.
    #[must_use]
    pub const fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// The namespace in the tenant.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name in the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `<namespace>/<name>`, as the tenant knows it.
    #[must_use]
    pub fn in_tenant(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.namespace, self.name)
    }
}

impl FromStr for ServiceKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut parts = text.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(tenant), Some(namespace), Some(name)) => {
                Self::new(&tenant.parse()?, namespace, name)
            }
            _ => Err(NameError::NotAKey(text.escape_default().take(253).collect())),
        }
    }
}

/// UID of a Kubernetes object, as its API server wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Arc<str>);

impl Uid {
    /// Takes the UID as written.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The UID as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Version of a Kubernetes object. Comparable: a lower number is an older state of the object
/// (`metadata.resourceVersion`, KEP-5504); one that is no number compares as oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// Reads a `resourceVersion`.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        Self(text.and_then(|t| t.parse().ok()).unwrap_or(0))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_round_trips() {
        let key: ServiceKey = "a/default/web".parse().unwrap();
        assert_eq!(key.to_string(), "a/default/web");
        assert_eq!((key.namespace(), key.name()), ("default", "web"));
    }

    #[test]
    fn what_kubernetes_would_not_name_so_is_no_name() {
        for text in ["", "a b", "A", "a\n", "ü", &"a".repeat(254)] {
            assert!(text.parse::<TenantName>().is_err(), "{text:?}");
        }
        assert!("a/b".parse::<ServiceKey>().is_err());
        assert!("a/b/c/d".parse::<ServiceKey>().is_err());
    }
}
