//! The folder of a user, for what his kernels write if the installation is one that many share.

use crate::project::{Outcome, Project, make_private_folder};
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// Where the kernels of this user work: what they write lies there.
pub fn slots(project: &Project) -> Outcome<PathBuf> {
    if project.shared.is_some() { state() } else { Ok(project.build()) }
}

/// `latentlab` in the user's folder of files that can be made again. Nobody else may enter it: what cells print and
/// compute goes through files and sockets in it.
fn state() -> Outcome<PathBuf> {
    let folder = place(|name| env::var_os(name), env::home_dir())?;
    make_private_folder(&folder)
        .map_err(|error| format!("{error}. The Rust kernel needs a folder that it may write: {HINT}"))?;
    // For the kernel, all ways to it are the same.
    folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))
}

const HINT: &str = "set XDG_CACHE_HOME to one of yours, where nobody else may write.";

/// By the XDG Base Directory Specification 0.8: `$XDG_CACHE_HOME`, unless it is relative, or `.cache` in the home.
fn place(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Outcome<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute);
    let cache = cache.or_else(|| Some(home.filter(absolute)?.join(".cache")));
    let folder = cache.ok_or_else(|| format!("This user has no home folder (HOME): {HINT}"))?.join("latentlab");
    match folder.to_str() {
        // evcxr sends its child process the library to load in a line whose fields are separated by spaces.
        Some(text) if !text.contains(char::is_whitespace) => Ok(folder),
        _ => Err(format!(
            "The Rust kernel cannot work in a folder whose path has a space in it, or is not Unicode: {}. For a place \
             without, {HINT}",
            folder.display()
        )),
    }
}

/// The user's folder for sockets, which his login makes and which ends with it, if there is one: see the same
/// specification.
#[cfg(unix)]
pub fn runtime() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let folder = PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?);
    let found = folder.metadata().ok().filter(|_| folder.is_absolute())?;
    let is_private = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
    is_private.then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_folder_follows_the_specification() {
        let of = |cache: Option<&str>, home: Option<&str>| {
            place(|name| cache.filter(|_| name == "XDG_CACHE_HOME").map(OsString::from), home.map(PathBuf::from))
        };
        let home = Some("/home/ada");
        assert_eq!(of(None, home).unwrap(), Path::new("/home/ada/.cache/latentlab"));
        assert_eq!(of(Some("/scratch/ada"), home).unwrap(), Path::new("/scratch/ada/latentlab"));
        assert_eq!(of(Some("/scratch/ada"), None).unwrap(), Path::new("/scratch/ada/latentlab"));
        for relative in ["", "cache"] {
            assert_eq!(of(Some(relative), home).unwrap(), Path::new("/home/ada/.cache/latentlab"));
        }
        for home in [None, Some(""), Some("ada")] {
            let error = of(None, home).unwrap_err();
            assert!(error.contains("HOME") && error.contains("XDG_CACHE_HOME"), "{error}");
        }
        let error = of(None, Some("/home/a da")).unwrap_err();
        assert!(error.contains("space") && error.contains("/home/a da/.cache"), "{error}");
    }
}
