//! Atomic writes: a file is there whole or not at all. The command-line tool compiles this file too.

use std::{
    fs::{self, Metadata, OpenOptions},
    io::{self, ErrorKind as Io, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::error::{Error, ErrorKind, Result};

/// Writes a file, replacing what was there: first beside it under a temporary name, then renamed.
///
/// Any number of threads and processes may write to one path: each write is whole, the last one stays. When the disk
/// is full, or the process is killed at any moment, the file holds either the old content or the new. The next write
/// into the folder removes what a killed one left there.
///
/// A link stays a link: the file behind it is replaced. Its permissions, and where possible its owner, stay; a
/// read-only file is not replaced.
///
/// # Errors
/// When the file cannot be written, or the path is that of a folder.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    check_name(path)?;
    let failed = |error| failed(path, error);
    match fs::metadata(path) {
        Ok(old) if old.is_dir() => Err(folder(path)),
        // A device or a pipe cannot be replaced: write into it.
        Ok(old) if !old.is_file() => fs::write(path, bytes).map_err(failed),
        Ok(old) => {
            // Renaming needs only the folder's permission; only opening the file checks its own.
            if old.permissions().readonly() {
                let error = Error::new(ErrorKind::Io, path.display().to_string(), "cannot write it (it is read-only)");
                return Err(error.hint("Make it writable, or save under another name"));
            }
            OpenOptions::new().write(true).open(path).map_err(failed)?;
            let target = fs::canonicalize(path).map_err(failed)?;
            let part = temporary(&target, bytes, Some(&old)).map_err(failed)?;
            part.persist(&target).map(drop).map_err(|error| failed(error.error))
        }
        Err(error) if error.kind() == Io::NotFound => {
            let target = behind_links(path).map_err(failed)?;
            let part = temporary(&target, bytes, None).map_err(failed)?;
            part.persist(&target).map(drop).map_err(|error| failed(error.error))
        }
        Err(error) => Err(failed(error)),
    }
}

/// [`write_whole`], but never over another file.
///
/// # Errors
/// When there is something at the path already (an [`ErrorKind::Io`] whose source is `AlreadyExists`), or it cannot be
/// written.
pub fn create_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    check_name(path)?;
    if fs::symlink_metadata(path).is_ok() {
        return Err(failed(path, Io::AlreadyExists.into()));
    }
    let persisted = temporary(path, bytes, None).map_err(|error| failed(path, error))?.persist_noclobber(path);
    match persisted {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == Io::AlreadyExists => Err(failed(path, error.error)),
        // A file system that can neither link nor rename without replacing: an empty file takes the name first.
        Err(refused) => {
            OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| failed(path, error))?;
            refused.file.persist(path).map(drop).map_err(|error| {
                let _ = fs::remove_file(path);
                failed(path, error.error)
            })
        }
    }
}

/// Bytes in lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const MARK: &str = ".latentlab-";
const ENDING: &str = ".part";
const RANDOM: usize = 16;

/// A whole file beside `target`, removed unless it is renamed; `old` is the file that it will replace. Its writer holds
/// a lock on it until it ends, however it ends: a file that can be locked has no writer any more.
fn temporary(target: &Path, bytes: &[u8], old: Option<&Metadata>) -> io::Result<NamedTempFile> {
    clear(target);
    let mut part = loop {
        let part = created_beside(target, old)?;
        // On a file system without locks nothing is cleared either.
        let _ = part.as_file().lock();
        // Another writer may have cleared it before it was locked.
        if part.path().exists() {
            break part;
        }
    };
    part.as_file_mut().write_all(bytes)?;
    if let Some(old) = old {
        inherit(part.as_file(), old)?;
    }
    // Without this, a renamed file could be empty after a power cut; and some file systems report a full disk only
    // here.
    match part.as_file().sync_data() {
        Err(error) if !matches!(error.kind(), Io::Unsupported | Io::InvalidInput) => Err(error),
        _ => Ok(part),
    }
}

fn created_beside(target: &Path, old: Option<&Metadata>) -> io::Result<NamedTempFile> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if old.is_some() {
        // Private until it has the permissions of the file that it replaces.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = old;
    let prefix = format!(".{}{MARK}", shortened_name(target));
    let mut names = tempfile::Builder::new();
    names.prefix(&prefix).suffix(ENDING).rand_bytes(RANDOM);
    names.make_in(folder_of(target), |path| options.open(path))
}

/// The path of a hidden file in the same folder: the file's name, shortened where need be, and an ending.
pub(crate) fn beside(target: &Path, ending: &str) -> PathBuf {
    target.with_file_name(format!(".{}{ending}", shortened_name(target)))
}

/// The target's name, cut so that something can be added: names have at most 255 bytes.
fn shortened_name(target: &Path) -> String {
    let mut name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let end = (0..=name.len().min(200)).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    name.truncate(end);
    name
}

fn folder_of(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes what killed writers left in the target's folder. What cannot be removed stays.
fn clear(target: &Path) {
    for entry in fs::read_dir(folder_of(target)).into_iter().flatten().flatten() {
        if is_part(&entry.file_name().to_string_lossy())
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = OpenOptions::new().write(true).open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_part(name: &str) -> bool {
    let random = name.strip_suffix(ENDING).and_then(|name| name.rsplit_once(MARK)).map(|(_, random)| random);
    name.starts_with('.')
        && random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Gives a new file the permissions, and where allowed the owner, of the file that it replaces.
fn inherit(file: &fs::File, old: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        let new = file.metadata()?;
        if new.gid() != old.gid() {
            let _ = fchown(file, None, Some(old.gid()));
        }
        if new.uid() != old.uid() {
            let _ = fchown(file, Some(old.uid()), None);
        }
        file.set_permissions(fs::Permissions::from_mode(old.permissions().mode() & 0o777))
    }
    #[cfg(not(unix))]
    file.set_permissions(old.permissions())
}

/// Where a link to a file that does not exist yet points.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}

fn check_name(path: &Path) -> Result<()> {
    let text = path.as_os_str().as_encoded_bytes();
    let ends_as_folder = text.last().is_some_and(|last| std::path::is_separator((*last).into()));
    if path.file_name().is_none() || ends_as_folder { Err(folder(path)) } else { Ok(()) }
}

fn folder(path: &Path) -> Error {
    let error =
        Error::new(ErrorKind::Io, path.display().to_string(), "cannot write it (expected a file, got a folder)");
    error.hint("Add a file's name")
}

fn failed(path: &Path, error: io::Error) -> Error {
    let folder = path.parent().filter(|folder| error.kind() == Io::NotFound && !folder.exists());
    let hint = folder.map(|folder| format!("There is no folder {}: make it first", folder.display()));
    let error = Error::io(path, "write", error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
