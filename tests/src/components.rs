//! The pinned components: built once, kept in the user's cache, found again at once.
//!
//! Each component has a directory `<cache>/<component>-<hash of its pins>`, made in a temporary
//! directory and renamed when it is whole. A file lock lets two runs wait for each other.

mod go;
mod host;
mod pins;
mod progress;
mod rootfs;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Where the built components lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Components {
    /// The cache directory that holds everything, run directories included.
    pub cache: PathBuf,
    /// Directory with `kube-controller-manager` and `kube-proxy`, and `kube-apiserver` and
    /// `kubectl` unless `KUBEBUILDER_ASSETS` names them.
    pub kubernetes: PathBuf,
    /// `kube-apiserver`.
    pub kube_apiserver: PathBuf,
    /// `kubectl`.
    pub kubectl: PathBuf,
    /// `etcd`.
    pub etcd: PathBuf,
    /// Directory with `kube-ovn-controller` and `crds.yaml`.
    pub kube_ovn: PathBuf,
    /// The Debian root file system with OVN, OVS, nftables and tools.
    pub root: PathBuf,
}

/// Builds what is missing and says where everything lies. Shows progress on standard error.
///
/// # Errors
/// When a prerequisite is missing (one line says what to do) or a build fails.
pub fn ensure() -> Result<Components> {
    host::require_root()?;
    in_cache(|cache| {
        host::require_tools()?;
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let kubernetes = go::kubernetes(cache, assets.is_some())?;
        let kube_ovn = go::kube_ovn(cache)?;
        let root = rootfs::ensure(cache)?;
        let (etcd, tools) = match assets {
            Some(assets) => (assets.join("etcd"), assets),
            None => (go::etcd(cache)?.join("etcd"), kubernetes.clone()),
        };
        Ok(Components {
            kube_apiserver: tools.join("kube-apiserver"),
            kubectl: tools.join("kubectl"),
            cache: cache.to_owned(),
            kubernetes,
            etcd,
            kube_ovn,
            root,
        })
    })
}

/// Builds, if it is missing, the client made of libovsdb that the benchmark of the database client
/// measures beside ours; nothing else needs it. Call it outside of the sandbox first, which has no
/// network.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn libovsdb_peer() -> Result<PathBuf> {
    in_cache(|cache| Ok(go::libovsdb(cache)?.join("libovsdb-peer")))
}

/// The root file system with OVN 24.03, extracted if it is missing. Only tests of the database
/// client need it.
///
/// # Errors
/// When it cannot be extracted.
pub fn ensure_older() -> Result<PathBuf> {
    in_cache(rootfs::older)
}

/// Builds, if it is missing, the program that measures MetalLB's allocator; nothing but the
/// benchmark of ours needs it.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn metallb_peer() -> Result<PathBuf> {
    in_cache(|cache| Ok(go::metallb_allocator(cache)?.join("metallb-peer")))
}

/// Builds, if they are missing, MetalLB's `controller` and `speaker`, beside its `crds`; gives their
/// directory. Only who looks at addresses of MetalLB needs them. Call it outside of the sandbox first,
/// which has no network.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn metallb() -> Result<PathBuf> {
    in_cache(go::metallb)
}

/// Does something in the cache while no other run does.
fn in_cache<T>(find: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let cache = cache_dir()?;
    std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let _lock = lock(&cache.join("lock"))?;
    find(&cache)
}

/// `${XDG_CACHE_HOME:-$HOME/.cache}/cloud-provider-ovn`.
///
/// # Errors
/// When neither variable is set.
pub fn cache_dir() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("set HOME or XDG_CACHE_HOME: the lab keeps its components there")?;
    Ok(base.join("cloud-provider-ovn"))
}

/// Returns `<cache>/<name>-<hash of pins>`; `make` fills it first if it does not exist.
fn cached(
    cache: &Path,
    name: &str,
    pins: &[&str],
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let mut hash = Sha256::new();
    for pin in pins {
        hash.update(pin.as_bytes());
        hash.update([0]);
    }
    let hash: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let path = cache.join(format!("{name}-{hash}"));
    if path.exists() {
        return Ok(path);
    }
    let unfinished = cache.join(format!(".{name}-{hash}.unfinished"));
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)
            .with_context(|| format!("remove {}", unfinished.display()))?;
    }
    std::fs::create_dir_all(&unfinished)?;
    make(&unfinished)?;
    std::fs::rename(&unfinished, &path).with_context(|| format!("create {}", path.display()))?;
    Ok(path)
}

fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    if file.try_lock().is_err() {
        progress::say("another run builds the components: waiting for it");
        file.lock().with_context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}
