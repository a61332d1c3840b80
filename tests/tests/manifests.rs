//! The manifests, and the YAML in the documents, are accepted by a real API server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use lab::cluster::{Cluster, Controllers};
use lab::space::Space;
use lab::{harness, tests};

fn main() -> ExitCode {
    harness::run(tests![manifests_and_documents_are_accepted])
}

async fn manifests_and_documents_are_accepted() -> Result<()> {
    let cluster = Cluster::start(&Space::new()?, "manifests", Controllers::None).await?;
    let manifests = repository().join("manifests");
    cluster.apply_path(&manifests.join("crds")).await?;
    for file in ["rbac.yaml", "deployment.yaml", "tenant-rbac.yaml"] {
        cluster.apply_path(&manifests.join(file)).await?;
    }
    cluster.apply_path_in(&manifests.join("tenant-namespace.yaml"), "default").await?;
    for document in ["docs/operations.md", "docs/tenants.md"] {
        let text = std::fs::read_to_string(repository().join(document))?;
        let blocks = blocks(&text);
        ensure!(!blocks.is_empty(), "{document} shows no YAML");
        for block in blocks {
            cluster.apply_yaml(block).await.with_context(|| format!("{document}:\n{block}"))?;
        }
    }
    Ok(())
}

/// The blocks of a Markdown text that are marked as YAML.
fn blocks(text: &str) -> Vec<&str> {
    let rest = text.split("\n```yaml\n").skip(1);
    rest.filter_map(|rest| rest.split("\n```").next()).collect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
