//! Components built from pinned Go modules.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::pins::{
    ETCD, KUBE_OVN, KUBERNETES, KUBERNETES_VERSION, LIBOVSDB, METALLB_SOURCE, METALLB_VERSION,
    Module,
};
use super::{cached, host, progress};

/// Where the Kube-OVN module keeps its CRDs.
const KUBE_OVN_CRDS: &str = "charts/kube-ovn-v2/crds/kube-ovn-crd.yaml";

/// kube-controller-manager and kube-proxy; kube-apiserver and kubectl too unless `assets` exist.
pub(super) fn kubernetes(cache: &Path, assets: bool) -> Result<PathBuf> {
    let all = [
        ("kube-apiserver", "6 min"),
        ("kube-controller-manager", "2 min"),
        ("kube-proxy", "1 min"),
        ("kubectl", "1 min"),
    ];
    let wanted: Vec<_> = all
        .into_iter()
        .filter(|(name, _)| !assets || matches!(*name, "kube-controller-manager" | "kube-proxy"))
        .collect();
    let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    let pins = [KUBERNETES.go_mod, KUBERNETES.go_sum, KUBERNETES_VERSION, &names.join(" ")];
    cached(cache, "kubernetes", &pins, |dir| {
        let module = unpack(dir, &KUBERNETES)?;
        for (name, expect) in &wanted {
            let package = format!("k8s.io/kubernetes/cmd/{name}");
            build(&module, &package, &kubernetes_linker_flags(), &dir.join(name), expect)?;
        }
        Ok(())
    })
}

/// etcd.
pub(super) fn etcd(cache: &Path) -> Result<PathBuf> {
    cached(cache, "etcd", &[ETCD.go_mod, ETCD.go_sum, ETCD.source], |dir| {
        let module = unpack(dir, &ETCD)?;
        build(&module, ".", "-s -w", &dir.join("etcd"), "2 min")
    })
}

/// A client made of libovsdb; for the benchmark alone.
pub(super) fn libovsdb(cache: &Path) -> Result<PathBuf> {
    let pins = [LIBOVSDB.go_mod, LIBOVSDB.go_sum, LIBOVSDB.source];
    cached(cache, "libovsdb", &pins, |dir| {
        let module = unpack(dir, &LIBOVSDB)?;
        build(&module, ".", "-s -w", &dir.join("libovsdb-peer"), "1 min")
    })
}

/// MetalLB's allocator with a program that measures it: a copy of the module from Go's cache, for
/// the allocator is internal to it. For the benchmark alone.
pub(super) fn metallb_allocator(cache: &Path) -> Result<PathBuf> {
    cached(cache, "metallb", &[METALLB_VERSION, METALLB_SOURCE], |dir| {
        let module = metallb_module(dir)?;
        let program = module.join("measure");
        std::fs::create_dir(&program)?;
        std::fs::write(program.join("main.go"), METALLB_SOURCE)?;
        build(&module, "./measure", "-s -w", &dir.join("metallb-peer"), "1 min")?;
        Ok(std::fs::remove_dir_all(&module)?)
    })
}

/// MetalLB's controller and speaker, with its CRDs.
pub(super) fn metallb(cache: &Path) -> Result<PathBuf> {
    cached(cache, "metallb-programs", &[METALLB_VERSION], |dir| {
        let module = metallb_module(dir)?;
        for program in ["controller", "speaker"] {
            build(&module, &format!("./{program}"), "-s -w", &dir.join(program), "1 min")?;
        }
        std::fs::rename(module.join("config/crd/bases"), dir.join("crds"))?;
        Ok(std::fs::remove_dir_all(&module)?)
    })
}

/// A copy of MetalLB's module in a directory.
fn metallb_module(dir: &Path) -> Result<PathBuf> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: PathBuf,
    }
    let module = dir.join("module");
    let of = format!("go.universe.tf/metallb@{METALLB_VERSION}");
    let output = Command::new(host::go()?)
        .args(["mod", "download", "-json", &of])
        .current_dir(dir)
        .output()?;
    let downloaded: Downloaded =
        serde_json::from_slice(&output.stdout).with_context(|| format!("download {of}"))?;
    // What lies in Go's cache can be read only; the copy is to be written to.
    let copied = Command::new("cp")
        .args(["-r", "--no-preserve=mode"])
        .args([&downloaded.dir, &module])
        .status()?;
    if !copied.success() {
        bail!("{} cannot be copied", downloaded.dir.display());
    }
    Ok(module)
}

/// kube-ovn-controller and the CRDs of the same version.
pub(super) fn kube_ovn(cache: &Path) -> Result<PathBuf> {
    cached(cache, "kube-ovn", &[KUBE_OVN.go_mod, KUBE_OVN.go_sum], |dir| {
        let module = unpack(dir, &KUBE_OVN)?;
        let package = "github.com/kubeovn/kube-ovn/cmd/controller";
        build(&module, package, "-s -w", &dir.join("kube-ovn-controller"), "3 min")?;
        let output = Command::new(host::go()?)
            .args(["list", "-m", "-f", "{{.Dir}}", "github.com/kubeovn/kube-ovn"])
            .current_dir(&module)
            .output()?;
        let source = PathBuf::from(String::from_utf8(output.stdout)?.trim()).join(KUBE_OVN_CRDS);
        let crds = std::fs::read(&source).with_context(|| format!("read {}", source.display()))?;
        Ok(std::fs::write(dir.join("crds.yaml"), crds)?)
    })
}

/// Without these variables kube-apiserver reports a version that nothing can use.
fn kubernetes_linker_flags() -> String {
    let package = "k8s.io/component-base/version";
    let minor = KUBERNETES_VERSION.split('.').nth(1).unwrap_or_default();
    [
        ("gitVersion", KUBERNETES_VERSION),
        ("gitMajor", "1"),
        ("gitMinor", minor),
        ("gitCommit", "release"),
        ("buildDate", "2026-01-01T00:00:00Z"),
    ]
    .into_iter()
    .fold("-s -w".to_owned(), |flags, (name, value)| format!("{flags} -X {package}.{name}={value}"))
}

fn unpack(dir: &Path, module: &Module) -> Result<PathBuf> {
    let path = dir.join("module");
    std::fs::create_dir_all(&path)?;
    std::fs::write(path.join("go.mod"), module.go_mod)?;
    std::fs::write(path.join("go.sum"), module.go_sum)?;
    std::fs::write(path.join(module.file), module.source)?;
    Ok(path)
}

/// Builds a static binary, so that it also runs in the Debian root file system.
fn build(module: &Path, package: &str, flags: &str, output: &Path, expect: &str) -> Result<()> {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let log_path = std::env::temp_dir().join(format!("lab-build-{name}.log"));
    let log = File::create(&log_path)?;
    let mut command = Command::new(host::go()?);
    command
        .args(["build", "-trimpath", "-ldflags", flags, "-o"])
        .arg(output)
        .arg(package)
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .stdout(log.try_clone()?)
        .stderr(log);
    let status = progress::step(&format!("building {name}"), expect, || command.status())?;
    if !status.success() {
        bail!("go build of {name} failed: see {}", log_path.display());
    }
    Ok(())
}
