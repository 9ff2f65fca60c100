//! Socket files that only this user can connect to.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

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
    let private = Permissions::from_mode(0o700);
    let beside = path.parent().unwrap_or(Path::new(""));
    let folder = tempfile::Builder::new().prefix(".").permissions(private).tempdir_in(beside)?;
    let file = folder.path().join("s");
    let listener = UnixListener::bind(&file)?;
    fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(&file)?.ino();
    fs::rename(&file, path)?;
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}
