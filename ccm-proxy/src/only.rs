//! One speaker on a node at a time: a second one would take the first one's entries and its socket
//! away.
//!
//! The lock is on a file beside the status socket, which the Pods of a node share. The kernel
//! releases it when the process ends, however it ends; programs that it started do not hold it.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Waits until no other speaker runs on this node, and lets none run until the process ends.
///
/// # Errors
/// The file cannot be made, or not be locked.
pub(crate) async fn only_one(socket: &Path) -> anyhow::Result<()> {
    let path = beside(socket);
    let what = || format!("lock {} (beside --status-socket)", path.display());
    let file = match try_lock(&path).with_context(what)? {
        Ok(lock) => {
            keep(lock);
            return Ok(());
        }
        Err(file) => file,
    };
    tracing::warn!(lock = %path.display(), "another speaker runs on this node: waits for its end");
    // Whoever is told to stop meanwhile does not wait for this.
    let locked = tokio::task::spawn_blocking(move || lock(file)).await;
    let lock = locked.context("wait for the other speaker")?.with_context(what)?;
    tracing::info!("the other speaker ended");
    keep(lock);
    Ok(())
}

/// Keeps it until the end of the process: what the runtime leaves behind is ours until then.
fn keep(lock: Flock<File>) {
    std::mem::forget(lock);
}

fn beside(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// The lock, or the file that another process has locked.
fn try_lock(path: &Path) -> std::io::Result<Result<Flock<File>, File>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Ok(lock)),
        Err((file, Errno::EWOULDBLOCK)) => Ok(Err(file)),
        Err((_, error)) => Err(error.into()),
    }
}

fn lock(mut file: File) -> std::io::Result<Flock<File>> {
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(lock) => return Ok(lock),
            Err((file, Errno::EINTR)) => file,
            Err((_, error)) => return Err(error.into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn the_second_waits_for_the_end_of_the_first() {
        let folder = std::env::temp_dir().join(format!("ccm-proxy-only-{}", std::process::id()));
        let path = beside(&folder.join("ccm-proxy.sock"));
        assert!(path.ends_with("ccm-proxy.sock.lock"));
        let first = try_lock(&path).unwrap().unwrap();
        let refused = try_lock(&path).unwrap().unwrap_err();
        let second = std::thread::spawn(move || lock(refused));
        assert!(!second.is_finished());
        drop(first);
        let second = second.join().unwrap().unwrap();
        assert!(try_lock(&path).unwrap().is_err());
        drop(second);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn programs_that_are_started_do_not_hold_it() {
        let folder = std::env::temp_dir().join(format!("ccm-proxy-held-{}", std::process::id()));
        let path = beside(&folder.join("ccm-proxy.sock"));
        let first = try_lock(&path).unwrap().unwrap();
        let flags = nix::fcntl::fcntl(first.as_fd(), nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
