//! Files that are there whole or not at all. Public for the command-line tool, which writes its files likewise.

use std::{
    collections::hash_map::RandomState,
    fs::{self, File, Metadata, OpenOptions},
    hash::BuildHasher,
    io::{self, ErrorKind as Io, Write},
    path::{Path, PathBuf},
};

use crate::error::{Error, ErrorKind, Result};

/// Writes a file, replacing what was there: beside it under a name of its own, then renamed. Any number of threads and processes may write
/// to one path: each leaves its whole content, the last one stays. When the disk is full, or the process is killed at any moment, what was
/// there before is still there, or the new content already. The next writer into the folder removes what a killed one left beside.
///
/// A link stays a link: the file behind it is replaced. Its permissions, and where possible its owner, stay; a read-only file is not replaced.
///
/// # Errors
/// When the file cannot be written, or the path is that of a folder.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    check_name(path)?;
    let failed = |error| failed(path, error);
    match fs::metadata(path) {
        Ok(old) if old.is_dir() => Err(folder(path)),
        // A device or a pipe takes what is written into it, and nothing can be put in its place.
        Ok(old) if !old.is_file() => fs::write(path, bytes).map_err(failed),
        Ok(old) => {
            // Replacing asks only the folder; whether the file may be written, only opening it tells.
            if old.permissions().readonly() {
                let error = Error::new(ErrorKind::Io, path.display().to_string(), "cannot write it (it is read-only)");
                return Err(error.hint("Make it writable, or save under another name"));
            }
            OpenOptions::new().write(true).open(path).map_err(failed)?;
            let target = fs::canonicalize(path).map_err(failed)?;
            let part = Part::write(&target, bytes, Some(&old)).map_err(failed)?;
            part.replace(&target).map_err(failed)
        }
        Err(error) if error.kind() == Io::NotFound => {
            let target = behind_links(path).map_err(failed)?;
            Part::write(&target, bytes, None).and_then(|part| part.replace(&target)).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// [`write_whole`], but never in the place of another file.
///
/// # Errors
/// When there is something at the path already (an [`ErrorKind::Io`] whose source is `AlreadyExists`), or it cannot be written.
pub fn create_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    check_name(path)?;
    let failed = |error| failed(path, error);
    let taken = || failed(io::Error::from(Io::AlreadyExists));
    if fs::symlink_metadata(path).is_ok() {
        return Err(taken());
    }
    let part = Part::write(path, bytes, None).map_err(failed)?;
    match fs::hard_link(&part.path, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == Io::AlreadyExists => Err(taken()),
        // A file system without links: the name is taken first, by an empty file.
        Err(_) => OpenOptions::new().write(true).create_new(true).open(path).map_err(failed).and_then(|_| {
            part.replace(path).map_err(|error| {
                let _ = fs::remove_file(path);
                failed(error)
            })
        }),
    }
}

/// A file on its way, removed unless it gets its name. Locked by its writer, however that ends: what can be locked belongs to nobody.
struct Part {
    path: PathBuf,
    file: File,
}

const MARK: &str = ".latentlab-";
const ENDING: &str = ".part";

impl Part {
    /// `old`: the file whose place it will take.
    fn write(target: &Path, bytes: &[u8], old: Option<&Metadata>) -> io::Result<Self> {
        clear(target);
        let mut part = Self::create(target, old)?;
        part.file.write_all(bytes)?;
        if let Some(old) = old {
            inherit(&part.file, old)?;
        }
        // A renamed file whose content is not on the disk yet would be empty after a power cut; and only now do some tell that they are full.
        match part.file.sync_data() {
            Err(error) if !matches!(error.kind(), Io::Unsupported | Io::InvalidInput) => Err(error),
            _ => Ok(part),
        }
    }

    /// A new file beside the target, locked.
    fn create(target: &Path, old: Option<&Metadata>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if old.is_some() {
            // What others may not read they may not read meanwhile either.
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        #[cfg(not(unix))]
        let _ = old;
        for number in 0..100u64 {
            let path = beside(target, &format!("{MARK}{:016x}{ENDING}", RandomState::new().hash_one(number)));
            match options.open(&path) {
                Ok(file) => {
                    // Where files cannot be locked, nobody clears them.
                    let _ = file.lock();
                    // Another may have cleared it before it was locked. Nobody gets the same name by chance.
                    if path.exists() {
                        return Ok(Self { path, file });
                    }
                }
                Err(error) if error.kind() == Io::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(Io::AlreadyExists.into())
    }

    fn replace(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Not there any more once it has its name.
        let _ = fs::remove_file(&self.path);
    }
}

/// The path of a hidden file in the same folder: the file's name, as far as there is room for it (names end at 255 bytes), and an ending.
pub(crate) fn beside(target: &Path, ending: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let end = (0..=name.len().min(200)).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    target.with_file_name(format!(".{}{ending}", &name[..end]))
}

/// Removes what writers that were killed left in the target's folder. Nothing is done about what cannot be removed.
fn clear(target: &Path) {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
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
    let number = name.strip_suffix(ENDING).and_then(|name| name.rsplit_once(MARK)).map(|(_, number)| number);
    name.starts_with('.')
        && number.is_some_and(|number| number.len() == 16 && number.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Gives a new file the permissions, and where it is allowed the owner, of the one whose place it takes.
fn inherit(file: &File, old: &Metadata) -> io::Result<()> {
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

/// Where a link that leads to no file yet leads.
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
