//! What a cluster's etcd held at a moment, and going back to it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Cluster;

impl Cluster {
    /// Copies what etcd holds into the folder `name` beside its data. The API server is away for a
    /// few seconds.
    ///
    /// # Errors
    /// When a process does not end or start, or the copy fails.
    pub async fn snapshot(&self, name: &str) -> Result<PathBuf> {
        self.stop_server().await?;
        let copy = self.data.join(name);
        copy_folder(&self.data.join("etcd"), &copy)?;
        self.start_server().await?;
        Ok(copy)
    }

    /// Replaces what etcd holds by a snapshot, of this cluster or of another. The API server is
    /// away for a few seconds.
    ///
    /// # Errors
    /// When a process does not end or start, or the copy fails.
    pub async fn set_back(&self, snapshot: &Path) -> Result<()> {
        self.stop_server().await?;
        let data = self.data.join("etcd");
        std::fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
        copy_folder(snapshot, &data)?;
        self.start_server().await
    }

    async fn stop_server(&self) -> Result<()> {
        self.api_server.kill().await?;
        self.etcd.kill().await
    }

    async fn start_server(&self) -> Result<()> {
        self.etcd.start_again()?;
        self.api_server.start_again()?;
        self.ready().await
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            std::fs::copy(&from, &to).with_context(|| format!("copy {}", from.display()))?;
        }
    }
    Ok(())
}
