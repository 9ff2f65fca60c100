//! Socket files that only this user can connect to.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::net::UnixListener;

/// Removed when it is dropped, unless another file has replaced it.
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at a socket file. It is created in a private folder and then moved, so that at no moment another user can
/// connect to it.
pub fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        // There is none, or one of a killed process, which is replaced.
        _ => {}
    }
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let name = format!(".{}-{}", std::process::id(), FOLDERS.fetch_add(1, Relaxed));
    let folder = path.with_file_name(name);
    DirBuilder::new().mode(0o700).create(&folder)?;
    let bound = (|| {
        let file = folder.join("s");
        let listener = UnixListener::bind(&file)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let inode = fs::symlink_metadata(&file)?.ino();
        fs::rename(&file, path)?;
        Ok((listener, SocketFile { path: path.to_owned(), inode }))
    })();
    let _ = fs::remove_dir_all(&folder);
    bound
}
