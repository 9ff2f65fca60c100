//! The lock of a journal: the file beside it by which Optuna's workers exclude each other. Among the workers of this
//! library a lock of the operating system comes first (on Unix), which ends with its process: a lock file that a killed
//! one has left is then known as such, and nobody waits for it.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata, TryLockError},
    io::{self, ErrorKind as Io},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::error::{Error, Result};

/// Optuna takes a lock file that has been there for so long as left by a worker that has ended, and removes it.
const GRACE_PERIOD: Duration = Duration::from_secs(30);

/// A process that is suspended while it holds the lock must not block all others for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The lock, until it is dropped.
pub(super) struct Lock {
    /// On Unix locked by the operating system until it is closed.
    _journal: File,
    path: PathBuf,
    id: Id,
}

/// Tells one lock file from the next of the same name.
type Id = (u64, Option<SystemTime>);

impl Lock {
    /// Waits for the lock of a journal, whose path is canonical.
    pub(super) fn take(journal: &Path) -> Result<Self> {
        Self::take_after(journal, GRACE_PERIOD)
    }

    fn take_after(journal: &Path, grace_period: Duration) -> Result<Self> {
        let failed = |error| Error::io(journal, "lock", error);
        let file = File::options().read(true).write(true).open(journal).map_err(failed)?;
        let mut patience = Patience { start: Instant::now(), pause: Duration::from_micros(100) };
        // Elsewhere it would keep everybody else from reading the file.
        while cfg!(unix) {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => patience.wait(journal)?,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let mut path = journal.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mark = mark(journal);
        let mut seen: Option<(Id, Instant)> = None;
        loop {
            match create(&path, &mark) {
                Ok(()) => {
                    let id = id(&path).unwrap_or_default();
                    return Ok(Self { _journal: file, path, id });
                }
                Err(error) if error.kind() != Io::AlreadyExists => return Err(failed(error)),
                Err(_) => {}
            }
            let Some(now) = id(&path) else { continue };
            let since = seen.filter(|(id, _)| *id == now).map_or_else(Instant::now, |(_, since)| since);
            seen = Some((now, since));
            // One of ours would hold the operating system's lock as well.
            let left_behind = fs::read_link(&path).is_ok_and(|target| target.as_os_str() == mark);
            if (left_behind || since.elapsed() > grace_period) && id(&path) == Some(now) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != Io::NotFound => return Err(failed(error)),
                    _ => seen = None,
                }
                continue;
            }
            patience.wait(journal)?;
        }
    }

    /// Whether nobody has taken it away, as others do after a time.
    pub(super) fn is_held(&self) -> bool {
        id(&self.path) == Some(self.id)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.is_held() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct Patience {
    start: Instant,
    pause: Duration,
}

impl Patience {
    fn wait(&mut self, journal: &Path) -> Result<()> {
        if self.start.elapsed() > LONGEST_WAIT {
            let error = Error::io(journal, "lock", io::Error::from(Io::TimedOut));
            return Err(error.hint("Another process has held it for a minute: end that one, or let it go on"));
        }
        thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(Duration::from_millis(5));
        Ok(())
    }
}

/// What our lock files point to: the journal, as those of Optuna do, but in a spelling that nobody uses.
fn mark(journal: &Path) -> OsString {
    let mut mark = OsString::from(".//");
    mark.push(journal.file_name().unwrap_or_default());
    mark
}

/// Creates the lock file: a symbolic link, which has its target from the beginning, or where there are none, a file.
fn create(path: &Path, mark: &OsStr) -> io::Result<()> {
    #[cfg(unix)]
    match std::os::unix::fs::symlink(mark, path) {
        Err(error) if error.kind() != Io::AlreadyExists => {}
        done => return done,
    }
    #[cfg(not(unix))]
    let _ = mark;
    File::options().write(true).create_new(true).open(path).map(drop)
}

fn id(path: &Path) -> Option<Id> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((inode(&metadata), metadata.modified().ok()))
}

#[cfg(unix)]
pub(super) fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
pub(super) fn inode(_metadata: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_left_behind_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("study.log");
        fs::write(&journal, "").unwrap();
        let path = folder.path().join("study.log.lock");
        let grace_period = Duration::from_millis(200);
        for ours in [true, false] {
            #[cfg(unix)]
            {
                let target = if ours { mark(&journal) } else { "study.log".into() };
                std::os::unix::fs::symlink(target, &path).unwrap();
            }
            #[cfg(not(unix))]
            fs::write(&path, "").unwrap();
            let start = Instant::now();
            let lock = Lock::take_after(&journal, grace_period).unwrap();
            assert!(lock.is_held() && (ours || start.elapsed() > grace_period));
            // Another worker does the same to us: its lock is left alone.
            fs::remove_file(&path).unwrap();
            fs::write(&path, "").unwrap();
            assert!(!lock.is_held());
            drop(lock);
            assert!(path.exists());
            fs::remove_file(&path).unwrap();
        }
        drop(Lock::take(&journal).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("study.log");
        fs::write(&journal, "0").unwrap();
        let count = || {
            for _ in 0..50 {
                let _lock = Lock::take(&journal).unwrap();
                let number: usize = fs::read_to_string(&journal).unwrap().parse().unwrap();
                thread::yield_now();
                fs::write(&journal, (number + 1).to_string()).unwrap();
            }
        };
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
        assert_eq!(fs::read_to_string(&journal).unwrap(), "200");
    }
}
