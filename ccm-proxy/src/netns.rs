//! Network namespaces that outlive the process: one for each VLAN, pinned where `ip netns` looks.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// Where namespaces are pinned.
pub const PINS: &str = "/run/netns";

/// A network namespace that is pinned by its name.
#[derive(Clone, Debug)]
pub struct Namespace {
    path: PathBuf,
}

impl Namespace {
    /// The namespace of this name, made if there is none; whether it was there.
    ///
    /// # Errors
    /// The kernel's: making one takes `CAP_SYS_ADMIN`.
    pub fn open_or_make(name: &str) -> io::Result<(Self, bool)> {
        let pins = Path::new(PINS);
        let path = pins.join(name);
        let namespace = Self { path };
        if namespace.is_pinned() {
            return Ok((namespace, true));
        }
        fs::create_dir_all(pins)?;
        share(pins)?;
        File::create(&namespace.path)?;
        let pin = || -> io::Result<()> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let ours = Some("/proc/thread-self/ns/net");
            mount(ours, &namespace.path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            Ok(())
        };
        let pinned = in_thread(pin);
        if pinned.is_err() {
            let _ = fs::remove_file(&namespace.path);
        }
        pinned.map(|()| (namespace, false))
    }

    /// The namespace that this file is, which is not ours to make or to remove.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Opens it.
    ///
    /// # Errors
    /// There is none.
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Does something within the namespace, on a thread of its own. What is opened there stays
    /// there.
    ///
    /// # Errors
    /// It cannot be entered, or what was done failed.
    pub fn run<T: Send>(&self, what: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let file = self.open()?;
        in_thread(move || {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            what()
        })
    }

    /// Unpins the namespace. It ends with the last that is open in it.
    ///
    /// # Errors
    /// The kernel's; that there is none is none.
    pub fn remove(&self) -> io::Result<()> {
        match umount2(&self.path, MntFlags::MNT_DETACH) {
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether a namespace is mounted there: a file alone is left of a run that was killed between.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev());
        let ours = device(Path::new("/proc/self/ns/net"));
        matches!((device(&self.path), ours), (Ok(one), Ok(other)) if one == other)
    }
}

/// Makes the folder a mount that others see, as `ip netns` does.
fn share(pins: &Path) -> io::Result<()> {
    let none = None::<&str>;
    let shared = || mount(none, pins, none, MsFlags::MS_SHARED | MsFlags::MS_REC, none);
    match shared() {
        Err(nix::Error::EINVAL) => {
            mount(Some(pins), pins, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
            shared()?;
        }
        other => other?,
    }
    Ok(())
}

/// A thread's namespace is its own; when the thread is gone, nobody is in there.
fn in_thread<T: Send>(what: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, what)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread in a namespace panicked")))
    })
}
