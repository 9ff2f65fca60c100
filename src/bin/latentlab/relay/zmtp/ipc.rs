//! Socket files.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::net::UnixListener;

/// Removed when it is dropped, unless another has taken its place.
pub struct SocketFile {
    path: PathBuf,
    number: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.number) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at a file that only this user can open, at no moment another one.
pub fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        // Nothing, or what a killed process has left.
        _ => {}
    }
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let name = format!(".{}-{}", std::process::id(), FOLDERS.fetch_add(1, Relaxed));
    let folder = path.with_file_name(name);
    DirBuilder::new().mode(0o700).create(&folder)?;
    let bound = (|| {
        let beginning = folder.join("s");
        let listener = UnixListener::bind(&beginning)?;
        fs::set_permissions(&beginning, Permissions::from_mode(0o600))?;
        let number = fs::symlink_metadata(&beginning)?.ino();
        fs::rename(&beginning, path)?;
        Ok((listener, SocketFile { path: path.to_owned(), number }))
    })();
    let _ = fs::remove_dir_all(&folder);
    bound
}
